//! How long a takeover takes, by the number of sockets, beside a reload of the same file: both make one new HAProxy and
//! give it what is there.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::large::binds;
use super::rig;
use crate::balancer::Kind;
use crate::bench::rig::{NAMED, Rig, Transparency};
use crate::bench::row::{About, Better, Goal, Row, Side};
use crate::bench::statistics::Summary;

/// Between two Clearways with so many sockets.
#[derive(Debug)]
struct Takeover {
    rig: Option<Rig>,
    about: About,
    sockets: u16,
    times: usize,
}

/// The rows, by their size.
const SIZES: [(u16, &str, &str); 3] = [
    (
        250,
        "takeover-250",
        "250 listening sockets more: signal, or start of the next Clearway, to first answer",
    ),
    (1000, "takeover-1000", "The same with 1,000"),
    (3000, "takeover-3000", "The same with 3,000"),
];

pub(super) fn all(quick: bool) -> impl Iterator<Item = Box<dyn Row>> {
    SIZES.into_iter().map(move |(sockets, name, what)| -> Box<dyn Row> {
        let sides = ["clearway, reload", "clearway, takeover"];
        let about = About { name, what, unit: "ms", better: Better::Lower, sides, goal: Goal::Ratio(1.2) };
        Box::new(Takeover { rig: None, about, sockets, times: if quick { 2 } else { 3 } })
    })
}

impl Row for Takeover {
    fn about(&self) -> About {
        self.about
    }

    fn measure(&mut self, side: Side, clearway: &Path) -> Result<f64> {
        let sockets = self.sockets;
        let rig = rig(&mut self.rig, clearway, || {
            let mut rig = Rig::raise()?;
            rig.add(binds(sockets));
            Ok(rig)
        })?;
        let mut balancer = rig.start_with(Kind::Clearway, Transparency::Off, &[NAMED])?;
        let (mut took, mut former) = (Vec::<Duration>::new(), Vec::new());
        for _ in 0..self.times {
            Rig::rest(&balancer)?;
            took.push(match side {
                Side::A => rig.reload(&mut balancer)?,
                Side::B => {
                    let (begun, next) = rig.begin_takeover(&[NAMED])?;
                    former.push(std::mem::replace(&mut balancer, next));
                    rig.wait_for_version(&mut balancer)?;
                    begun.elapsed()
                }
            });
            // One that was taken over from would serve again if the next one left too early.
            former.drain(..).try_for_each(Rig::assert_relieved)?;
        }
        Rig::stop(balancer)?;
        let took: Vec<f64> = took.iter().map(|one| one.as_secs_f64() * 1e3).collect();
        Ok(Summary::of(&took).median)
    }
}
