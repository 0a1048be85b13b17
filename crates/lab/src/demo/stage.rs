//! What the demo stands on: the lab, the servers and the example configuration.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::DEADLINE;
use crate::balancer::{Balancer, Kind};
use crate::kernel::Snapshot;
use crate::load::Ask;
use crate::server::{Mode, Server};
use crate::session::Session;
use crate::topology::{FRONT, Family, Topology};

/// The lab, the servers and the configuration.
pub(super) struct Stage {
    pub(super) lab: Topology,
    _servers: Vec<Server>,
    pub(super) before: Snapshot,
    folder: TempDir,
    example: String,
    kind: Kind,
}

impl Stage {
    pub(super) fn raise(kind: Kind) -> Result<Self> {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/transparent.cfg");
        let example = fs::read_to_string(&example)
            .with_context(|| format!("reading the example configuration {}", example.display()))?;
        let lab = Topology::three_hosts("demo")?;
        let servers = lab.start_servers(80, Mode::Line)?;
        let before = Snapshot::take(&lab.balancer)?;
        let folder = tempfile::tempdir()?;
        let stage = Self { lab, _servers: servers, before, folder, example, kind };
        stage.write(1, "")?;
        Ok(stage)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("haproxy.cfg")
    }

    /// The example, a frontend that says which version of the file is served, and what else is asked for.
    pub(super) fn write(&self, version: u32, more: &str) -> Result<()> {
        let example = &self.example;
        let config = format!(
            "{example}\n# added by the demo\nfrontend version\n    mode http\n    bind :81\n    \
             http-request return status 200 content-type text/plain string v{version}\n{more}\n"
        );
        fs::write(self.config(), config).context("writing the configuration")
    }

    /// Starts the balancer and waits until both families are served.
    pub(super) fn start(&self) -> Result<Balancer> {
        let mut balancer = Balancer::start(&self.lab.balancer, self.kind, &self.config(), &[], &[])?;
        balancer.wait_ready(&self.lab.client, at(FRONT[0], 81), Ask::Http, DEADLINE)?;
        Ok(balancer)
    }

    /// Waits until this version of the file answers.
    pub(super) fn wait_for_version(&self, balancer: &mut Balancer, version: u32) -> Result<()> {
        let wanted = format!("v{version}");
        let version = at(FRONT[0], 81);
        balancer
            .wait_for_answer(&self.lab.client, version, Ask::Http, |answer| answer == wanted, DEADLINE)
            .map(|_| ())
    }

    /// A session with a server that has seen the client's own address.
    pub(super) fn session(&self, family: Family) -> Result<Session> {
        let (front, own) = (front(family), self.lab.clients(family)[1]);
        let session = Session::open(&self.lab.client, front, Some(own))?;
        let seen = session.peer_seen();
        ensure!(seen == own.to_string(), "the client was {own}, but {} saw {seen}", session.server());
        Ok(session)
    }
}

fn at(address: std::net::IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

/// The service of a family.
pub(super) fn front(family: Family) -> SocketAddr {
    at(FRONT[usize::from(family == Family::V6)], 80)
}
