//! What the tests of containers in a network of their own share: the engine's own bridge.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::RwLockReadGuard;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clearway_lab::container::{Container, Engine};
use clearway_lab::load::{Ask, Expect, Plan, RunningLoad, ask_once};
use clearway_lab::namespace::Namespace;
use clearway_lab::server::{Mode, Server};
use clearway_lab::wait::eventually_because;
use tempfile::TempDir;

use super::engine::{among_others, engine, image};
use super::rig::volume;
use crate::stage::SOON;

/// The machine as client and server, and a directory for a configuration.
pub struct Bridge {
    pub host: Namespace,
    pub engine: Engine,
    server: SocketAddr,
    _server: Server,
    name: String,
    folder: TempDir,
    _turn: RwLockReadGuard<'static, ()>,
}

impl Bridge {
    pub fn new(name: &str) -> Result<Self> {
        let engine = engine()?;
        let turn = among_others();
        let host = Namespace::host()?;
        let folder = tempfile::Builder::new().prefix("clearway-e2e-").tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let address = engine.bridge_address()?;
        let port = TcpListener::bind((address, 0))?.local_addr()?.port();
        let server = SocketAddr::new(address, port);
        let process = Server::start(&host, "s1", &[server], Mode::Line)?;
        Ok(Self { host, engine, server, _server: process, name: name.to_owned(), folder, _turn: turn })
    }

    /// A path in the directory of the configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a plain configuration with these lines before it, on port 80.
    pub fn write(&self, global: &str, source: &str) -> Result<()> {
        self.write_to(global, source, &self.server.to_string())
    }

    /// The same with another server.
    pub fn write_to(&self, global: &str, source: &str, server: &str) -> Result<()> {
        let text = format!(
            "{global}defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n\
             listen f\n    bind :80\n    {source}\n    server s {server}\n"
        );
        std::fs::write(self.path("haproxy.cfg"), text).context("writing the configuration")
    }

    /// `--volume` for that directory.
    pub fn volume(&self) -> String {
        volume(self.folder.path())
    }

    /// Starts a container with these options and that directory.
    pub fn run(&self, options: &[&str]) -> Result<Container> {
        self.run_with(&self.volume(), options)
    }

    /// The same with another volume.
    pub fn run_with(&self, volume: &str, options: &[&str]) -> Result<Container> {
        let line: Vec<&str> = options.iter().copied().chain([volume]).collect();
        Container::run(&self.engine, &self.name, &line, image(), &[])
    }

    /// Starts it with that directory, until it serves.
    pub fn start(&self, options: &[&str]) -> Result<Container> {
        let mut container = self.run(options)?;
        container.wait_for_event(0, "generation.serving", &[], SOON)?;
        Self::assert_serving(&mut container)?;
        Ok(container)
    }

    /// Where it listens.
    pub fn front(container: &Container) -> Result<SocketAddr> {
        let address = container.state()?.address.context("the container has no address")?;
        Ok(SocketAddr::new(address, 80))
    }

    /// Waits until it answers.
    pub fn assert_serving(container: &mut Container) -> Result<()> {
        let front = Self::front(container)?;
        let answered = eventually_because(SOON, &format!("an answer of {front}"), || {
            match ask_once(front, Ask::Line, Duration::from_secs(1)) {
                Ok(_) => Ok(true),
                Err(_) if container.has_ended() => Ok(false),
                Err(class) => bail!("the connection ended with {class:?}"),
            }
        });
        ensure!(answered?, "the container ended: {}", container.log_for_people());
        Ok(())
    }

    /// Open-loop connections until they are told to finish; the server sees the container.
    pub fn load(&self, container: &Container) -> Result<RunningLoad> {
        let front = Self::front(container)?;
        let plan = Plan::open(&[front], 300.0, Duration::from_mins(1)).expecting(Expect::Peer(front.ip()));
        clearway_lab::load::start(&self.host, plan)
    }
}
