//! A peer that runs, and what can be done with it.

mod caddy;
mod clearway;
mod haproxy;
mod nginx;
mod script;

use std::fmt::Debug;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

pub(super) use clearway::{holder, wait_until_it_holds};

use super::peer::Peer;
use crate::bench::rig::{Rig, Transparency};

/// What was answered to a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was taken.
    Taken,
    /// It was refused, in these words.
    Refused(String),
    /// Nothing: a signal waits for nothing.
    None,
}

/// A peer that runs. Dropped, its children are killed; its namespace takes care of the rest.
pub(super) trait Instance: Debug {
    /// Tells it that there is a new configuration.
    fn reload(&mut self, rig: &Rig) -> Result<Answer>;

    /// A process that serves clients.
    fn worker(&self) -> Result<u32>;

    /// Whether its first process has ended.
    fn has_ended(&mut self) -> Result<bool>;

    /// Puts another instance in its place, as a new container does.
    fn replace(&mut self, rig: &Rig) -> Result<()>;

    /// Puts another program file in the place of its own, in the same container.
    fn upgrade(&mut self, _: &Rig) -> Result<()> {
        bail!("it has no way to do this")
    }

    /// Tells it to finish, and waits until it has ended.
    fn stop(&mut self) -> Result<()>;
}

/// Starts a peer on the configuration that is there, as people do it by hand. It may not serve yet.
pub(super) fn launch(peer: Peer, rig: &Rig) -> Result<Box<dyn Instance>> {
    Ok(match peer {
        Peer::Clearway | Peer::Transparent => Box::new(clearway::Clearway::launch(rig)?),
        Peer::MasterWorker => Box::new(haproxy::MasterWorker::launch(rig)?),
        Peer::Script => Box::new(script::Script::launch(rig)?),
        Peer::Nginx => Box::new(nginx::Nginx::launch(rig)?),
        Peer::Caddy => Box::new(caddy::Caddy::launch(rig)?),
    })
}

/// Whether a configuration is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Good,
    Broken,
}

/// What is an error in the syntax of all of them.
const NONSENSE: &str = "\n}\n";

/// Writes the next version of a peer's configuration.
pub(super) fn write(peer: Peer, rig: &mut Rig, file: File) -> Result<()> {
    let transparency = if peer == Peer::Transparent { Transparency::On } else { Transparency::Off };
    rig.write_next(transparency)?;
    let path = path(peer, rig);
    let mut text = match peer {
        Peer::Nginx => nginx::configuration(rig),
        Peer::Caddy => caddy::configuration(rig),
        Peer::Clearway | Peer::Transparent | Peer::MasterWorker | Peer::Script => {
            std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?
        }
    };
    if file == File::Broken {
        text.push_str(NONSENSE);
    }
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}

fn path(peer: Peer, rig: &Rig) -> PathBuf {
    match peer {
        Peer::Nginx => nginx::path(rig),
        Peer::Caddy => caddy::path(rig),
        Peer::Clearway | Peer::Transparent | Peer::MasterWorker | Peer::Script => rig.config(),
    }
}

/// What a command line that tells of a reload came to.
fn answer(output: &std::process::Output) -> Answer {
    if output.status.success() {
        return Answer::Taken;
    }
    Answer::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
