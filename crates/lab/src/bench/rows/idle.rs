//! What the supervisor costs while nothing happens, beside HAProxy's master, which has the same part.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::rig;
use crate::balancer::Kind;
use crate::bench::rig::{Rig, Transparency};
use crate::bench::row::{About, Better, Goal, Row, Side};
use crate::process::Facts;

/// Time to come to rest after a start: Clearway looks closely for three seconds at what HAProxy's master does after it has
/// said something.
const REST: Duration = Duration::from_secs(5);

/// The four rows.
pub(super) fn all(quick: bool) -> Vec<Box<dyn Row>> {
    let watch = Duration::from_secs(if quick { 2 } else { 10 });
    let row = |what| -> Box<dyn Row> { Box::new(Idle { rig: None, what, watch }) };
    vec![row(What::Resident), row(What::Wakeups), row(What::Processor), row(What::Haproxy)]
}

#[derive(Debug, Clone, Copy)]
enum What {
    Resident,
    Wakeups,
    Processor,
    /// What HAProxy itself costs: the way in which it was started must not make a difference.
    Haproxy,
}

#[derive(Debug)]
struct Idle {
    rig: Option<Rig>,
    what: What,
    watch: Duration,
}

impl Row for Idle {
    fn about(&self) -> About {
        let (name, what, unit, goal) = match self.what {
            What::Resident => {
                ("resident", "Resident memory of the first process", "KiB", Goal::AtMost(4096.0))
            }
            What::Wakeups => ("wakeups", "Wake-ups per second while idle", "/s", Goal::AtMost(0.5)),
            What::Processor => {
                ("processor", "Processor time per second while idle", "ms/s", Goal::AtMost(1.0))
            }
            What::Haproxy => {
                ("haproxy", "The same of the HAProxy processes below it", "ms/s", Goal::AtMost(1.0))
            }
        };
        About { name, what, unit, better: Better::Lower, sides: ["haproxy -W", "clearway"], goal }
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn measure(&mut self, side: Side, clearway: &Path) -> Result<f64> {
        let kind = [Kind::PlainMasterWorker, Kind::Clearway][side.index()];
        let balancer = rig(&mut self.rig, clearway, Rig::raise)?.start(kind, Transparency::Off)?;
        sleep(REST);
        let watched = match self.what {
            What::Haproxy => balancer.haproxy_processes(),
            _ => vec![balancer.pid()],
        };
        // Of the processor, a tick is 10 ms.
        let count = || -> Result<u64> {
            let facts: Vec<Facts> = watched.iter().map(|pid| Facts::of(*pid)).collect::<Result<_>>()?;
            Ok(facts
                .iter()
                .map(|facts| match self.what {
                    What::Resident => facts.resident_kib,
                    What::Wakeups => facts.wakeups,
                    What::Processor | What::Haproxy => facts.cpu_ticks * 10,
                })
                .sum())
        };
        let before = count()?;
        let figure = if matches!(self.what, What::Resident) {
            before as f64
        } else {
            sleep(self.watch);
            (count()? - before) as f64 / self.watch.as_secs_f64()
        };
        Rig::stop(balancer)?;
        Ok(figure)
    }
}
