//! Adds outcomes up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use super::connection::{Class, Outcome};
use super::report::{Answered, BUCKET, Bucket, Failure, LoadReport, Lost, Quantiles, Tally};

/// A connection that took longer than this to open has lost its first SYN (the kernel repeats it after one
/// second).
const LOST_SYN: Duration = Duration::from_millis(900);
/// How many different answers are counted by name.
const ANSWERS: usize = 64;
/// How many failures are kept word for word.
const FAILURES: usize = 20;
/// Of how many it is kept when they were under way.
const LOST: usize = 10_000;

/// What has come in so far.
#[derive(Debug)]
pub(super) struct Collector {
    start: Instant,
    total: Side,
    targets: Vec<(String, Side)>,
    slip: Histogram<u64>,
    series: Vec<Bucket>,
    failures: Vec<Failure>,
    lost: Vec<Lost>,
    each: Option<Vec<Answered>>,
    last_end: Duration,
}

/// Counts and latencies of one target, or of all.
#[derive(Debug)]
struct Side {
    tally: Tally,
    latency: Histogram<u64>,
}

impl Collector {
    pub(super) fn new(targets: &[SocketAddr], each: bool, start: Instant) -> Result<Self> {
        let sides = targets.iter().map(|target| Ok((target.to_string(), Side::new()?)));
        Ok(Self {
            start,
            total: Side::new()?,
            targets: sides.collect::<Result<_>>()?,
            slip: microseconds()?,
            series: Vec::new(),
            failures: Vec::new(),
            lost: Vec::new(),
            each: each.then(Vec::new),
            last_end: Duration::ZERO,
        })
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        let at = outcome.intended.saturating_duration_since(self.start);
        self.last_end = self.last_end.max(at + outcome.latency);
        self.slip.saturating_record(micros(outcome.slip));
        self.bucket(at, &outcome);
        self.total.add(&outcome);
        if let (Some(each), Class::Ok) = (&mut self.each, &outcome.class) {
            each.push(Answered { intended: outcome.intended, latency: outcome.latency });
        }
        let Some((target, side)) = self.targets.get_mut(outcome.target) else { return };
        side.add(&outcome);
        if outcome.class != Class::Ok && self.lost.len() < LOST {
            let ended = outcome.intended + outcome.latency;
            self.lost.push(Lost { begun: outcome.intended + outcome.slip, ended, target: target.clone() });
        }
        if outcome.class != Class::Ok && self.failures.len() < FAILURES {
            self.failures.push(Failure {
                at_ms: millis(at),
                target: target.clone(),
                class: format!("{:?}", outcome.class),
                answer: outcome.answer,
            });
        }
    }

    fn bucket(&mut self, at: Duration, outcome: &Outcome) {
        let index = usize::try_from(at.as_millis() / BUCKET.as_millis()).unwrap_or(0);
        while self.series.len() <= index {
            let at_ms = self.series.len() as u64 * 100;
            self.series.push(Bucket { at_ms, ..Bucket::default() });
        }
        if let Some(bucket) = self.series.get_mut(index) {
            bucket.count += 1;
            bucket.failed += u64::from(outcome.class != Class::Ok);
            bucket.max_ms = bucket.max_ms.max(millis(outcome.latency));
        }
    }

    pub(super) fn report(self) -> LoadReport {
        let mut targets = BTreeMap::new();
        for (name, side) in self.targets {
            targets.insert(name, side.finish());
        }
        LoadReport {
            total: self.total.finish(),
            targets,
            seconds: self.last_end.as_secs_f64(),
            slip: quantiles(&self.slip),
            series: self.series,
            failures: self.failures,
            lost: self.lost,
            each: self.each.unwrap_or_default(),
        }
    }
}

impl Side {
    fn new() -> Result<Self> {
        Ok(Self { tally: Tally::default(), latency: microseconds()? })
    }

    fn add(&mut self, outcome: &Outcome) {
        let tally = &mut self.tally;
        match &outcome.class {
            Class::Ok => tally.ok += 1,
            Class::Refused => tally.refused += 1,
            Class::Reset => tally.reset += 1,
            Class::Timeout => tally.timeout += 1,
            Class::Short => tally.short += 1,
            Class::WrongAnswer => tally.wrong_answer += 1,
            Class::Other(name) => *tally.other.entry(name.clone()).or_default() += 1,
        }
        tally.syn_retransmitted += u64::from(outcome.connecting.is_some_and(|took| took > LOST_SYN));
        if !outcome.answer.is_empty()
            && (tally.answers.len() < ANSWERS || tally.answers.contains_key(&outcome.answer))
        {
            *tally.answers.entry(outcome.answer.clone()).or_default() += 1;
        }
        if outcome.class == Class::Ok {
            self.latency.saturating_record(micros(outcome.latency));
        }
    }

    fn finish(self) -> Tally {
        Tally { latency: quantiles(&self.latency), ..self.tally }
    }
}

/// One microsecond to two minutes, three digits.
fn microseconds() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 120_000_000, 3)?)
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    let at = |quantile| millis(Duration::from_micros(histogram.value_at_quantile(quantile)));
    Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds with three digits after the point.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
