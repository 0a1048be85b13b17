//! Caddy as a reverse proxy for HTTP.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{Answer, Instance, answer};
use crate::bench::events::peer::CADDY;
use crate::bench::rig::Rig;
use crate::process::Process;

/// Long enough for a slow machine.
const SOON: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Caddy(Process);

pub(super) fn path(rig: &Rig) -> PathBuf {
    rig.folder().join("Caddyfile")
}

/// The file of the version that was written last.
pub(super) fn configuration(rig: &Rig) -> String {
    format!(
        "{{\n\tauto_https off\n}}\n\
         :80 {{\n\treverse_proxy 10.2.0.2:80 10.2.0.3:80\n}}\n\
         :81 {{\n\trespond {}\n}}\n",
        rig.version()
    )
}

/// A command with its file, and with a home below the folder of the run.
fn command(rig: &Rig, word: &str) -> Command {
    let mut command = rig.lab.balancer.command(CADDY);
    command.args([word, "--adapter", "caddyfile", "--config"]).arg(path(rig));
    command.env("HOME", rig.folder()).env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
    command
}

impl Caddy {
    pub(super) fn launch(rig: &Rig) -> Result<Self> {
        let log = File::create(rig.folder().join("caddy.log")).context("making the log of Caddy")?;
        let mut command = command(rig, "run");
        command.stdout(log.try_clone()?).stderr(log);
        Ok(Self(rig.lab.balancer.spawn(command)?))
    }
}

impl Instance for Caddy {
    fn reload(&mut self, rig: &Rig) -> Result<Answer> {
        Ok(answer(&command(rig, "reload").output().context("running `caddy reload`")?))
    }

    fn worker(&self) -> Result<u32> {
        Ok(self.0.pid())
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    fn replace(&mut self, rig: &Rig) -> Result<()> {
        self.stop()?;
        *self = Self::launch(rig)?;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.0.signal(Signal::TERM)?;
        self.0.wait_exit(SOON).map(|_| ())
    }
}
