//! How long a start, a reload and a crash take, beside HAProxy's own master and worker on the same file.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::large::File;
use super::rig;
use crate::balancer::Kind;
use crate::bench::rig::{Rig, Transparency};
use crate::bench::row::{About, Better, Goal, Row, Side};
use crate::bench::statistics::Summary;

const SIDES: [&str; 2] = ["haproxy -W", "clearway"];
const KINDS: [Kind; 2] = [Kind::PlainMasterWorker, Kind::Clearway];

/// From `exec` to the first answer.
#[derive(Debug, Default)]
pub(super) struct Start {
    rig: Option<Rig>,
}

impl Row for Start {
    fn about(&self) -> About {
        About {
            name: "start",
            what: "Start to first answer",
            unit: "ms",
            better: Better::Lower,
            sides: SIDES,
            goal: Goal::RatioOrAbove(1.1, 20.0),
        }
    }

    fn measure(&mut self, side: Side, clearway: &Path) -> Result<f64> {
        let rig = rig(&mut self.rig, clearway, Rig::raise)?;
        let begun = Instant::now();
        let balancer = rig.start(KINDS[side.index()], Transparency::Off)?;
        let took = begun.elapsed();
        Rig::stop(balancer)?;
        Ok(took.as_secs_f64() * 1e3)
    }
}

/// From the signal to the first answer of the new configuration, as a client sees it.
#[derive(Debug)]
pub(super) struct Reload {
    rig: Option<Rig>,
    file: File,
    reloads: usize,
}

/// The rows of reloads: of a small file, and of large ones.
pub(super) fn reloads(quick: bool) -> impl Iterator<Item = Box<dyn Row>> {
    File::ALL.into_iter().map(move |file| -> Box<dyn Row> {
        let reloads = match file {
            File::Small => 7,
            _ => 3,
        };
        Box::new(Reload { rig: None, file, reloads: if quick { 2 } else { reloads } })
    })
}

impl Row for Reload {
    fn about(&self) -> About {
        let (name, what) = self.file.words();
        let goal = match self.file {
            File::Small => Goal::RatioOrAbove(1.1, 20.0),
            _ => Goal::Ratio(1.1),
        };
        About { name, what, unit: "ms", better: Better::Lower, sides: SIDES, goal }
    }

    fn measure(&mut self, side: Side, clearway: &Path) -> Result<f64> {
        let file = self.file;
        let rig = rig(&mut self.rig, clearway, || file.raise())?;
        let mut balancer = rig.start(KINDS[side.index()], Transparency::Off)?;
        let mut took = Vec::new();
        for _ in 0..self.reloads {
            Rig::rest(&balancer)?;
            took.push(rig.reload(&mut balancer)?.as_secs_f64() * 1e3);
        }
        Rig::stop(balancer)?;
        Ok(Summary::of(&took).median)
    }
}

/// How long no process answers after `kill -9` of HAProxy's worker; beside a start of HAProxy alone on the same file,
/// which is the least that it can take.
#[derive(Debug, Default)]
pub(super) struct Crash {
    rig: Option<Rig>,
}

/// A generation that served for so long did not die of its own start: the next one follows without a pause.
const SERVED: Duration = Duration::from_millis(1200);

impl Row for Crash {
    fn about(&self) -> About {
        About {
            name: "crash",
            what: "From `kill -9` of the worker to the next answer",
            unit: "ms",
            better: Better::Lower,
            sides: ["a start of haproxy -W", "clearway, after kill -9"],
            goal: Goal::Ratio(1.5),
        }
    }

    fn measure(&mut self, side: Side, clearway: &Path) -> Result<f64> {
        let rig = rig(&mut self.rig, clearway, Rig::raise)?;
        let begun = Instant::now();
        let mut balancer = rig.start(KINDS[side.index()], Transparency::Off)?;
        let mut took = begun.elapsed();
        if side == Side::B {
            sleep(SERVED);
            let worker = balancer.haproxy_processes().last().copied().context("a worker")?;
            let begun = Instant::now();
            balancer.kill_descendant(worker)?;
            rig.wait_for_version(&mut balancer)?;
            took = begun.elapsed();
        }
        Rig::stop(balancer)?;
        Ok(took.as_secs_f64() * 1e3)
    }
}
