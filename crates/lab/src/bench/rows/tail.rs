//! What a client notices of a switch from one HAProxy to the next: the slowest of many new connections.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::rig;
use super::traffic::none_failed;
use crate::balancer::Kind;
use crate::bench::rig::{NAMED, Rig, Transparency};
use crate::bench::row::{About, Better, Goal, Row, Side, Timeline};
use crate::load::{self, LoadReport, Plan};

/// How long one switch leaves the next waiting.
const BETWEEN: Duration = Duration::from_millis(400);
/// New connections per second.
const RATE: f64 = 500.0;
/// What counts as the window of a switch, from the signal (or the start of the next Clearway) on, for both sides: longer
/// than either needs until the former generation is told to drain (Clearway lets the new one settle for 200 ms).
const WINDOW: Duration = Duration::from_millis(300);

/// From one HAProxy to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    /// Not at all.
    Never,
    /// By the signal for it.
    Reload,
    /// By another Clearway of the same name.
    Takeover,
}

/// The tail of an open-loop load.
#[derive(Debug)]
struct Tail {
    rig: Option<Rig>,
    about: About,
    sides: [(Kind, Switch); 2],
    run: Duration,
    timeline: Option<Timeline>,
}

/// The three rows.
pub(super) fn all(quick: bool) -> impl Iterator<Item = Box<dyn Row>> {
    let run = Duration::from_secs(if quick { 2 } else { 10 });
    let about =
        |name, what, sides, goal| About { name, what, unit: "ms", better: Better::Lower, sides, goal };
    let reload = (Kind::Clearway, Switch::Reload);
    let rows = [
        (
            about(
                "reload-tail",
                "p99 of 500 new connections/s: the cost of reloads",
                ["clearway, no reload", "clearway, reloads"],
                Goal::None,
            ),
            [(Kind::Clearway, Switch::Never), reload],
        ),
        (
            about(
                "reload-tail-peer",
                "p99 of 500 new connections/s, those within 300 ms of a reload's signal",
                ["haproxy -W, reloads", "clearway, reloads"],
                Goal::Ratio(1.1),
            ),
            [(Kind::PlainMasterWorker, Switch::Reload), reload],
        ),
        (
            about(
                "takeover-tail",
                "p99 of 500 new connections/s, those within 300 ms of the beginning of a takeover",
                ["clearway, reloads", "clearway, takeovers"],
                Goal::Ratio(1.2),
            ),
            [reload, (Kind::Clearway, Switch::Takeover)],
        ),
    ];
    rows.into_iter().map(move |(about, sides)| -> Box<dyn Row> {
        Box::new(Tail { rig: None, about, sides, run, timeline: None })
    })
}

impl Row for Tail {
    fn about(&self) -> About {
        self.about
    }

    fn measure(&mut self, side: Side, clearway: &Path) -> Result<f64> {
        let (kind, switch) = self.sides[side.index()];
        let rig = rig(&mut self.rig, clearway, Rig::raise)?;
        let mut balancer = rig.start_with(kind, Transparency::Off, &[NAMED])?;
        Rig::rest(&balancer)?;
        let plan = Plan::open(&Rig::service(), RATE, self.run).from(rig.lab.client_addresses());
        let running = load::start(&rig.lab.client, plan.listing_each())?;
        let (mut begun, mut marks_ms, mut former) = (Vec::new(), Vec::new(), Vec::new());
        while switch != Switch::Never && running.elapsed() + BETWEEN < self.run {
            sleep(BETWEEN);
            marks_ms.push(u64::try_from(running.elapsed().as_millis())?);
            // It is not asked whether the reload is over before its window is: that would be a load of its own.
            if switch == Switch::Reload {
                begun.push(rig.begin_reload(&mut balancer)?);
            } else {
                let (at, next) = rig.begin_takeover(&[NAMED])?;
                begun.push(at);
                former.push(std::mem::replace(&mut balancer, next));
            }
            sleep(WINDOW);
            Rig::rest(&balancer)?;
        }
        let report = running.wait()?;
        rig.wait_for_version(&mut balancer)?;
        // Were the last one stopped while another waits whether it does well, that one would serve again.
        former.into_iter().try_for_each(Rig::assert_relieved)?;
        Rig::stop(balancer)?;
        none_failed(&report)?;
        // Beside a side without a switch there is no window to compare.
        let whole = self.sides[0].1 == Switch::Never;
        let p99 = if whole { report.total.latency.p99 } else { p99_within(&report, &begun) };
        if side == Side::B {
            self.timeline = Some(Timeline { report, marks_ms });
        }
        Ok(p99)
    }

    fn timeline(&mut self) -> Option<Timeline> {
        self.timeline.take()
    }
}

/// Of the connections that were to begin in a window after one of the moments.
fn p99_within(report: &LoadReport, moments: &[Instant]) -> f64 {
    let within = |at: Instant| moments.iter().any(|moment| at >= *moment && at < *moment + WINDOW);
    let mut latencies: Vec<Duration> =
        report.each.iter().filter(|one| within(one.intended)).map(|one| one.latency).collect();
    latencies.sort_unstable();
    let place = (latencies.len() * 99).div_ceil(100).saturating_sub(1);
    latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}
