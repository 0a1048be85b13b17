//! What traffic notices: of transparency, and of reloads.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::rig;
use crate::balancer::Kind;
use crate::bench::rig::{Rig, Transparency};
use crate::bench::row::{About, Better, Goal, Row, Side, Timeline};
use crate::load::{self, Expect, LoadReport, Plan};

/// How long one reload leaves the next waiting.
const BETWEEN_RELOADS: Duration = Duration::from_millis(400);
/// New connections per second while reloading.
const RATE: f64 = 500.0;
/// What counts as the window of a reload, from its signal on, for both sides: longer than either needs until the
/// former generation is told to drain (Clearway lets the new one settle for 200 ms).
const WINDOW: Duration = Duration::from_millis(300);

/// The four rows.
pub(super) fn all(quick: bool) -> Vec<Box<dyn Row>> {
    let run = Duration::from_secs(if quick { 1 } else { 4 });
    let under_reloads = Duration::from_secs(if quick { 2 } else { 10 });
    let transparency = |what| -> Box<dyn Row> { Box::new(Transparent { rig: None, what, run }) };
    let reloads = |baseline| -> Box<dyn Row> {
        Box::new(Reloads { rig: None, baseline, run: under_reloads, timeline: None })
    };
    vec![
        transparency(What::Connections),
        transparency(What::Throughput),
        reloads(Baseline::NoReload),
        reloads(Baseline::MasterWorker),
    ]
}

#[derive(Debug, Clone, Copy)]
enum What {
    Connections,
    Throughput,
}

/// Clearway without and with transparency.
#[derive(Debug)]
struct Transparent {
    rig: Option<Rig>,
    what: What,
    run: Duration,
}

impl Row for Transparent {
    fn about(&self) -> About {
        let (name, what, unit) = match self.what {
            What::Connections => ("connections", "New connections per second, 64 at a time", "/s"),
            What::Throughput => ("throughput", "Throughput of one download", "MB/s"),
        };
        let sides = ["not transparent", "transparent"];
        About { name, what, unit, better: Better::Higher, sides, goal: Goal::Ratio(0.9) }
    }

    fn measure(&mut self, side: Side) -> Result<f64> {
        let rig = rig(&mut self.rig)?;
        let transparency = [Transparency::Off, Transparency::On][side.index()];
        let balancer = rig.start(Kind::Clearway, transparency)?;
        let figure = match self.what {
            What::Throughput => load::download(&rig.lab.client, Rig::service()[0], self.run)? / 1e6,
            What::Connections => {
                let plan = Plan::closed(&Rig::service()[..1], 64, self.run).from(rig.lab.client_addresses());
                let report = load::start(&rig.lab.client, plan.expecting(expected(transparency)))?.wait()?;
                none_failed(&report)?;
                report.per_second()
            }
        };
        Rig::stop(balancer)?;
        Ok(figure)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Baseline {
    NoReload,
    MasterWorker,
}

/// The tail of an open-loop load while reloading.
#[derive(Debug)]
struct Reloads {
    rig: Option<Rig>,
    baseline: Baseline,
    run: Duration,
    timeline: Option<Timeline>,
}

impl Row for Reloads {
    fn about(&self) -> About {
        let (name, sides) = match self.baseline {
            Baseline::NoReload => ("reload-tail", ["clearway, no reload", "clearway, reloads"]),
            Baseline::MasterWorker => ("reload-tail-peer", ["haproxy -W, reloads", "clearway, reloads"]),
        };
        let what = match self.baseline {
            Baseline::NoReload => "p99 of 500 new connections/s: the cost of reloads",
            Baseline::MasterWorker => {
                "p99 of 500 new connections/s, those within 300 ms of a reload's signal"
            }
        };
        let goal = match self.baseline {
            Baseline::NoReload => Goal::None,
            Baseline::MasterWorker => Goal::Ratio(1.1),
        };
        About { name, what, unit: "ms", better: Better::Lower, sides, goal }
    }

    fn measure(&mut self, side: Side) -> Result<f64> {
        let rig = rig(&mut self.rig)?;
        let (kind, reloading) = match (self.baseline, side) {
            (Baseline::NoReload, Side::A) => (Kind::Clearway, false),
            (Baseline::MasterWorker, Side::A) => (Kind::PlainMasterWorker, true),
            (_, Side::B) => (Kind::Clearway, true),
        };
        let mut balancer = rig.start(kind, Transparency::Off)?;
        Rig::rest(&balancer)?;
        let plan = Plan::open(&Rig::service(), RATE, self.run).from(rig.lab.client_addresses());
        let running = load::start(&rig.lab.client, plan.listing_each())?;
        let (mut signals, mut marks_ms) = (Vec::new(), Vec::new());
        while reloading && running.elapsed() + BETWEEN_RELOADS < self.run {
            sleep(BETWEEN_RELOADS);
            marks_ms.push(u64::try_from(running.elapsed().as_millis())?);
            // Nobody asks whether it is over before its window is: that would be a load of its own.
            signals.push(rig.begin_reload(&mut balancer)?);
            sleep(WINDOW);
            Rig::rest(&balancer)?;
        }
        let report = running.wait()?;
        rig.wait_for_version(&mut balancer)?;
        Rig::stop(balancer)?;
        none_failed(&report)?;
        let p99 = match self.baseline {
            Baseline::NoReload => report.total.latency.p99,
            Baseline::MasterWorker => p99_within(&report, &signals),
        };
        if side == Side::B {
            self.timeline = Some(Timeline { report, marks_ms });
        }
        Ok(p99)
    }

    fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_ref()
    }
}

/// Of the connections that were to begin in a window after one of the signals.
fn p99_within(report: &LoadReport, signals: &[Instant]) -> f64 {
    let within = |at: Instant| signals.iter().any(|signal| at >= *signal && at < *signal + WINDOW);
    let mut latencies: Vec<Duration> =
        report.each.iter().filter(|one| within(one.intended)).map(|one| one.latency).collect();
    latencies.sort_unstable();
    let place = (latencies.len() * 99).div_ceil(100).saturating_sub(1);
    latencies.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}

fn expected(transparency: Transparency) -> Expect {
    match transparency {
        Transparency::On => Expect::OwnAddress,
        Transparency::Off => Expect::Anything,
    }
}

/// A side that loses connections does not work, however fast it is.
fn none_failed(report: &LoadReport) -> Result<()> {
    ensure!(report.total.failed() == 0 && report.total.ok > 0, "connections failed: {report}");
    Ok(())
}
