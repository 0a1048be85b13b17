//! The engine: its command line, with a deadline on everything.

use std::fs::File;
use std::net::IpAddr;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::LABEL;
use crate::namespace::{Namespace, is_orphan};
use crate::process::Process;

/// How long a command of the engine may take. The longest are stops, which wait for sessions.
const PATIENCE: Duration = Duration::from_mins(1);

/// A container engine that answers: `docker`, or what `$CLEARWAY_ENGINE` names.
#[derive(Debug, Clone)]
pub struct Engine {
    program: String,
    host: Arc<Namespace>,
}

impl Engine {
    /// The engine of this machine; the error says why there is none.
    pub fn find() -> Result<Self> {
        let program = std::env::var("CLEARWAY_ENGINE").unwrap_or_else(|_| "docker".to_owned());
        let engine = Self { program, host: Arc::new(Namespace::host()?) };
        engine
            .done(&["version", "--format", "{{.Server.Version}}"])
            .with_context(|| format!("`{}` does not answer", engine.program))?;
        Ok(engine)
    }

    /// Whether there is an image of this name.
    pub fn has_image(&self, name: &str) -> Result<bool> {
        Ok(self.ask(&["image", "inspect", name])?.status.success())
    }

    /// A fact of `docker info`, such as `{{.MemoryLimit}}`.
    pub fn info(&self, template: &str) -> Result<String> {
        Ok(self.done(&["info", "--format", template])?.trim().to_owned())
    }

    /// The machine's own address in the network that containers get without being asked.
    pub fn bridge_address(&self) -> Result<IpAddr> {
        let option = "{{index .Options \"com.docker.network.bridge.name\"}}";
        let interface = self.done(&["network", "inspect", "bridge", "--format", option])?;
        let lines = self.host.ip(&["-4", "-oneline", "address", "show", "dev", interface.trim()])?;
        // `5: docker0    inet 172.17.0.1/16 brd ...`
        let address = lines.split_whitespace().skip_while(|word| *word != "inet").nth(1);
        let address = address.and_then(|word| word.split('/').next()?.parse().ok());
        address.with_context(|| format!("no address of the bridge {}", interface.trim()))
    }

    /// Removes the containers of lab processes that no longer live, and says which.
    pub fn sweep(&self) -> Result<Vec<String>> {
        let filter = format!("label={LABEL}");
        let names = self.done(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"])?;
        let orphans: Vec<String> = names.lines().filter(|name| is_orphan(name)).map(str::to_owned).collect();
        for name in &orphans {
            self.done(&["rm", "--force", "--volumes", name])?;
        }
        Ok(orphans)
    }

    /// A command of the engine, to its end; its standard output. Anything but success is an error.
    pub fn done(&self, words: &[&str]) -> Result<String> {
        self.done_within(PATIENCE, words)
    }

    /// The same with a deadline of its own.
    pub fn done_within(&self, deadline: Duration, words: &[&str]) -> Result<String> {
        let output = self.ask_within(deadline, words)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`{} {}` failed with {}: {}", self.program, words.join(" "), output.status, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A command of the engine, to its end, whatever that is.
    pub fn ask(&self, words: &[&str]) -> Result<Output> {
        self.ask_within(PATIENCE, words)
    }

    fn ask_within(&self, deadline: Duration, words: &[&str]) -> Result<Output> {
        let folder = tempfile::Builder::new().prefix("clearway-lab-").tempdir()?;
        let paths = ["stdout", "stderr"].map(|name| folder.path().join(name));
        let mut command = self.command(words);
        command.stdout(File::create(&paths[0])?).stderr(File::create(&paths[1])?);
        let said = || format!("`{} {}`", self.program, words.join(" "));
        let status = self.spawn(command)?.wait_exit(deadline).with_context(said)?;
        Ok(Output { status, stdout: std::fs::read(&paths[0])?, stderr: std::fs::read(&paths[1])? })
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).stdin(Stdio::null());
        command
    }

    /// Starts a command of the engine, which dies with us.
    pub(super) fn spawn(&self, command: Command) -> Result<Process> {
        self.host.spawn(command)
    }
}
