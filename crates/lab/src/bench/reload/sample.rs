//! One run of a side: a load, reloads in the middle of it, and what clients saw.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::running::{Running, Started};
use super::side::Side;
use super::told::{Told, Window};
use crate::bench::rig::Rig;
use crate::bench::rounds::Outcome;
use crate::load::{self, Answered, Expect, LoadReport, Plan};
use crate::topology::{BACK, Family};

/// What counts as delayed.
pub(super) const DELAYED: Duration = Duration::from_millis(200);
/// After how long a connection counts as lost: longer than the retransmissions of the original technique take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// What counts as near a reload, from its beginning: longer than any of Clearway's takes.
pub(super) const NEAR: Duration = Duration::from_secs(1);
/// What the kernel gets to take the namespaces of the run before away, and to come to rest.
const REST: Duration = Duration::from_millis(500);

/// The load and what happens in it, the same for every side.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// New connections per second.
    pub rate: f64,
    /// How many reloads.
    pub reloads: u32,
    /// How far they are apart.
    pub every: Duration,
}

impl Shape {
    /// How long connections begin.
    pub(super) fn length(self) -> Duration {
        self.every * self.reloads
    }
}

/// What a run has come to.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What became of the connections.
    pub report: LoadReport,
    /// How many were answered late, after more than 200 ms.
    pub delayed: u64,
    /// Each answered one: seconds from the start, and its latency in milliseconds.
    pub points: Vec<(f64, f64)>,
    /// When each reload began, in seconds; without reloads, when it would have.
    pub marks: Vec<f64>,
    /// The slowest of the connections that were to begin within a second of each of them, in milliseconds.
    pub worst_near: Vec<f64>,
    /// How long the command of each took, in milliseconds.
    pub took: Vec<f64>,
    /// What was said of each.
    pub told: Vec<Told>,
    /// The times in which clients were kept back, as the log told them.
    pub windows: Vec<Window>,
}

/// Raises a side in namespaces of its own, with this Clearway if it has one, and measures it. An error means that it
/// does not work.
pub fn take(side: Side, shape: Shape, clearway: &Path) -> Result<Outcome<Sample>> {
    let mut running = match Started::new(side, clearway)? {
        Started::Running(running) => *running,
        Started::Missing(words) => return Ok(Outcome::Missing(words)),
    };
    sleep(REST);
    let lab = &running.rig.lab;
    let plan = Plan::open(&Rig::service()[..1], shape.rate, shape.length())
        .from(lab.clients(Family::V4))
        .patient_for(PATIENCE)
        .expecting(Expect::Prefix(format!("{} s", BACK[0])))
        .listing_each();
    let begun = Instant::now();
    let load = load::start(&lab.client, plan)?;
    let reloads = reload_all(&mut running, begun, shape, side);
    // Joined also where a reload failed: the load must not outlive its namespace.
    let (report, reloads) = (load.wait()?, reloads?);
    let windows = running.finish()?;
    Ok(Outcome::Measured(Sample { windows, ..Sample::new(report, begun, reloads) }))
}

/// What was done: its moment, how long the command took, and what it said.
type Reload = (Instant, Duration, Told);

fn reload_all(running: &mut Running, begun: Instant, shape: Shape, side: Side) -> Result<Vec<Reload>> {
    let mut done = Vec::new();
    for number in 0..shape.reloads {
        let due = begun + shape.every / 2 + shape.every * number;
        if !side.is_idle() {
            running.prepare()?;
        }
        sleep(due.saturating_duration_since(Instant::now()));
        let at = Instant::now();
        let told = if side.is_idle() { Told::default() } else { running.reload()? };
        done.push((at, at.elapsed(), told));
    }
    Ok(done)
}

impl Sample {
    fn new(mut report: LoadReport, begun: Instant, reloads: Vec<Reload>) -> Self {
        let each = std::mem::take(&mut report.each);
        let since = |at: Instant| at.saturating_duration_since(begun).as_secs_f64();
        let (mut marks, mut worst_near, mut took, mut told) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (at, lasted, words) in reloads {
            marks.push(since(at));
            worst_near.push(worst_within(&each, at..at + NEAR));
            took.push(millis(lasted));
            told.push(words);
        }
        let delayed = each.iter().filter(|one| one.latency > DELAYED).count() as u64;
        let points = each.iter().map(|one| (since(one.intended), millis(one.latency))).collect();
        let windows = Vec::new();
        Self { report, delayed, points, marks, worst_near, took, told, windows }
    }

    /// The part of all connections that was delayed, in percent.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 connections")]
    pub fn delayed_percent(&self) -> f64 {
        self.delayed as f64 * 100.0 / (self.report.total.count().max(1)) as f64
    }

    /// The tenths of a second in which connections began that were lost, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a short run")]
    pub(super) fn losses(&self) -> Vec<f64> {
        let failed = self.report.series.iter().filter(|bucket| bucket.failed > 0);
        failed.map(|bucket| bucket.at_ms as f64 / 1e3 + 0.05).collect()
    }
}

fn worst_within(each: &[Answered], when: std::ops::Range<Instant>) -> f64 {
    let within = each.iter().filter(|one| when.contains(&one.intended));
    within.map(|one| millis(one.latency)).fold(0.0, f64::max)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::load::{Bucket, Quantiles, Tally};

    /// A run with these latencies in milliseconds, a hundredth of a second apart, a reload at the third.
    pub fn sample(latencies: &[u64], tally: Tally) -> Sample {
        let begun = Instant::now();
        let step = |index: usize| begun + Duration::from_millis(10) * u32::try_from(index).unwrap();
        let each = latencies.iter().enumerate().map(|(index, latency)| Answered {
            intended: step(index),
            latency: Duration::from_millis(*latency),
        });
        let report = LoadReport {
            total: Tally { ok: latencies.len() as u64, ..tally },
            targets: std::collections::BTreeMap::default(),
            seconds: 1.0,
            slip: Quantiles::default(),
            series: vec![Bucket::default(), Bucket { at_ms: 100, count: 2, failed: 1, max_ms: 1.0 }],
            failures: Vec::new(),
            lost: Vec::new(),
            each: each.collect(),
        };
        Sample::new(report, begun, vec![(step(2), Duration::from_millis(30), Told::default())])
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn delays_are_those_over_200_ms_of_all_connections() {
        let tally = Tally { refused: 3, reset: 1, ..Tally::default() };
        let one = sample(&[900, 1, 2, 200, 201, 1000], tally);
        assert_eq!((one.delayed, one.delayed_percent()), (3, 30.0));
        assert_eq!(one.worst_near, [1000.0], "the one before the reload does not count");
        assert!(one.losses().len() == 1 && (one.losses()[0] - 0.15).abs() < 1e-9);
        assert_eq!(one.points.len(), 6);
        assert_eq!(sample(&[], Tally::default()).delayed_percent(), 0.0);
    }
}
