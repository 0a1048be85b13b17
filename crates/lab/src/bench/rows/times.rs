//! How long a start and a reload take, beside HAProxy's own master and worker on the same file.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::rig;
use crate::balancer::Kind;
use crate::bench::rig::{Rig, Transparency};
use crate::bench::row::{About, Better, Goal, Row, Side};
use crate::bench::statistics::Summary;

const SIDES: [&str; 2] = ["haproxy -W", "clearway"];
/// Each reload begins from rest: neither side may still be busy with the end of the one before.
const REST: Duration = Duration::from_millis(300);
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

    fn measure(&mut self, side: Side) -> Result<f64> {
        let rig = rig(&mut self.rig)?;
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
    reloads: usize,
}

impl Reload {
    pub(super) fn new(quick: bool) -> Self {
        Self { rig: None, reloads: if quick { 2 } else { 7 } }
    }
}

impl Row for Reload {
    fn about(&self) -> About {
        About {
            name: "reload",
            what: "Reload: signal to first answer of the new configuration",
            unit: "ms",
            better: Better::Lower,
            sides: SIDES,
            goal: Goal::RatioOrAbove(1.1, 20.0),
        }
    }

    fn measure(&mut self, side: Side) -> Result<f64> {
        let rig = rig(&mut self.rig)?;
        let mut balancer = rig.start(KINDS[side.index()], Transparency::Off)?;
        let mut took = Vec::new();
        for _ in 0..self.reloads {
            sleep(REST);
            balancer.settle()?;
            let begun = Instant::now();
            rig.reload(&mut balancer)?;
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Rig::stop(balancer)?;
        Ok(Summary::of(&took).median)
    }
}
