//! A side that serves, and how it is reloaded.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::Signal;

use super::side::Side;
use super::told::{Told, Window, windows};
use crate::balancer::{Balancer, Kind};
use crate::bench::daemon::{self, Daemon};
use crate::bench::rig::{Rig, Transparency};
use crate::kernel::ss;
use crate::wait::eventually;

/// How long a generation lives beside the former one (`CLEARWAY_SETTLE`).
const SETTLE: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_secs(10);

/// A side that serves. Fields are dropped in order: the balancer before its network.
#[derive(Debug)]
pub(super) struct Running {
    serving: Serving,
    pub(super) rig: Rig,
    side: Side,
}

#[derive(Debug)]
enum Serving {
    Child(Balancer),
    Daemon(Daemon),
}

/// What came of a start.
#[derive(Debug)]
pub(super) enum Started {
    /// It serves.
    Running(Box<Running>),
    /// It cannot be had here, in its own words.
    Missing(String),
}

impl Started {
    /// Raises a side in namespaces of its own, with this Clearway if it has one, and waits until it serves.
    pub(super) fn new(side: Side, clearway: &Path) -> Result<Self> {
        if side == Side::Original
            && let Some(reason) = daemon::missing()?
        {
            return Ok(Self::Missing(one_line(&reason)));
        }
        let mut rig = Rig::raise()?;
        rig.run(clearway);
        let serving = match (side.flags(), side) {
            (Some(flags), _) => {
                rig.write_next(Transparency::Off)?;
                let mut balancer = rig.launch_clearway(&flags, &[])?;
                if let Err(error) = rig.wait_for_version(&mut balancer) {
                    // Only one that ended by itself has refused; one that hangs is broken.
                    return if balancer.is_running()? {
                        Err(error)
                    } else {
                        Ok(Self::Missing(one_line(&balancer.stderr()?)))
                    };
                }
                Serving::Child(balancer)
            }
            (None, Side::IdleHaproxy | Side::MasterWorker) => {
                Serving::Child(rig.start(Kind::PlainMasterWorker, Transparency::Off)?)
            }
            (None, _) => {
                rig.write_next(Transparency::Off)?;
                Serving::Daemon(Daemon::start(&rig)?)
            }
        };
        if let Serving::Child(balancer) = &serving {
            Rig::rest(balancer)?;
        }
        rig.wait_for_version_of_any()?;
        Ok(Self::Running(Box::new(Running { serving, rig, side })))
    }
}

impl Running {
    /// Writes the next version, and waits until a reload will not be lost.
    pub(super) fn prepare(&mut self) -> Result<()> {
        if self.side == Side::StartBeside {
            return Ok(());
        }
        self.rig.write_next(Transparency::Off)?;
        match &self.serving {
            Serving::Child(balancer) => balancer.settle(),
            Serving::Daemon(_) => Ok(()),
        }
    }

    /// Reloads, as this side does it, and gives what it says of that.
    pub(super) fn reload(&mut self) -> Result<Told> {
        match (&mut self.serving, self.side) {
            (Serving::Daemon(daemon), Side::Original) => daemon.reload_behind_dropped_syns(&self.rig)?,
            (Serving::Daemon(daemon), Side::StopStart) => daemon.restart(&self.rig, Signal::TERM)?,
            (Serving::Daemon(daemon), _) => daemon.reload(&self.rig)?,
            (Serving::Child(_), Side::StartBeside) => self.start_beside()?,
            (Serving::Child(balancer), _) if balancer.kind() == Kind::Clearway => return self.ask_clearway(),
            (Serving::Child(balancer), _) => balancer.reload()?,
        }
        Ok(Told::default())
    }

    /// Another HAProxy with the same file but for its ports; ended when a reload would have settled.
    fn start_beside(&self) -> Result<()> {
        let text = std::fs::read_to_string(self.rig.config()).context("reading the configuration")?;
        let text = text.replace("bind :8", "bind :90").replace("bind :::8", "bind :::90");
        let file = self.rig.folder().join("beside.cfg");
        std::fs::write(&file, text).context("writing the configuration of another HAProxy")?;
        let kind = Kind::PlainMasterWorker;
        let other = Balancer::start(&self.rig.lab.balancer, kind, &file, &[], &[])?;
        let listens =
            || ss(&self.rig.lab.balancer, &["-tln", "sport = :901"]).ok().filter(|all| !all.is_empty());
        eventually(SOON, "another HAProxy to listen", listens)?;
        sleep(SETTLE);
        Rig::stop(other)
    }

    /// `clearway reload`, which waits until the new generation serves.
    fn ask_clearway(&self) -> Result<Told> {
        let said = self.rig.ask_clearway(&["reload", "--json"])?;
        let said = said.map_err(|words| anyhow!("`clearway reload` failed: {words}"))?;
        Told::read(&said).with_context(|| format!("understanding what `clearway reload` said: {said}"))
    }

    /// Waits until the last reload has taken effect, and ends the balancer. Gives the windows that its log tells of.
    pub(super) fn finish(self) -> Result<Vec<Window>> {
        self.rig.wait_for_version_of_any().context("after the last reload")?;
        match self.serving {
            // Which fails if it has ended already.
            Serving::Child(balancer) => {
                let windows = windows(&balancer.stderr()?);
                Rig::stop(balancer)?;
                Ok(windows)
            }
            // Its namespace ends it.
            Serving::Daemon(_) => Ok(Vec::new()),
        }
    }
}

/// What a program has said, for a table: without the usage that follows, nor the time in front of each line.
fn one_line(said: &str) -> String {
    let lines = said.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let words = lines.filter(|line| !line.is_empty() && !line.contains(" INFO ")).map(without_time);
    let text = words.collect::<Vec<_>>().join("; ").replace('|', "\\|");
    if text.is_empty() { "it ended and said nothing".into() } else { text.chars().take(400).collect() }
}

fn without_time(line: &str) -> &str {
    match line.split_once(' ') {
        Some((time, rest)) if time.ends_with('Z') && time.contains('T') => rest.trim_start(),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn what_it_said_fits_into_a_cell() {
        let said =
            "error: unexpected argument '--strategy' found\n\n  tip: another | one\n\nUsage: clearway\n";
        assert_eq!(one_line(said), "error: unexpected argument '--strategy' found; tip: another \\| one");
        let log = "2026-11-28T06:48:04.1Z  INFO begins\n2026-11-28T06:48:04.1Z ERROR no `queue` here\n";
        assert_eq!(one_line(log), "ERROR no `queue` here");
        assert_eq!(one_line(""), "it ended and said nothing");
        assert_eq!(one_line(&"x".repeat(1000)).len(), 400);
    }
}
