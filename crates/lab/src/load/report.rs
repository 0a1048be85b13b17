//! What a load has seen.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The width of a [`Bucket`].
pub(super) const BUCKET: Duration = Duration::from_millis(100);

/// Quantiles in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of all.
    pub p50: f64,
    /// 90 of 100.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The worst.
    pub max: f64,
}

/// The connections to one target, or to all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Whole and right answers.
    pub ok: u64,
    /// No process listened.
    pub refused: u64,
    /// Reset, before or after the answer.
    pub reset: u64,
    /// No end within the timeout.
    pub timeout: u64,
    /// Closed before the answer was whole.
    pub short: u64,
    /// Whole but not what was expected.
    pub wrong_answer: u64,
    /// Other errors by name.
    pub other: BTreeMap<String, u64>,
    /// Connections that took more than 900 ms to open: their first SYN was lost.
    pub syn_retransmitted: u64,
    /// From the intended begin to the answer, of those that ended well.
    pub latency: Quantiles,
    /// How often each answer came (the first 64 different ones).
    pub answers: BTreeMap<String, u64>,
}

impl Tally {
    /// All connections that did not end well.
    pub fn failed(&self) -> u64 {
        let other: u64 = self.other.values().sum();
        self.refused + self.reset + self.timeout + self.short + self.wrong_answer + other
    }

    /// All connections.
    pub fn count(&self) -> u64 {
        self.ok + self.failed()
    }
}

/// A tenth of a second of the schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its begin, from the start of the load.
    pub at_ms: u64,
    /// Connections intended in it.
    pub count: u64,
    /// Of those, how many did not end well.
    pub failed: u64,
    /// The slowest of them.
    pub max_ms: f64,
}

/// A connection that did not end well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// When it was intended, from the start of the load.
    pub at_ms: f64,
    /// Where it went.
    pub target: String,
    /// What became of it.
    pub class: String,
    /// What was answered, if anything.
    pub answer: String,
}

/// From when to when a connection was under way that did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// When it began, which may be later than it was to.
    pub begun: Instant,
    /// When that was known.
    pub ended: Instant,
    /// Where it went.
    pub target: String,
}

/// One good connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// When it was to begin.
    pub intended: Instant,
    /// From then to the answer.
    pub latency: Duration,
}

/// What a load has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// All targets together.
    pub total: Tally,
    /// Each target by its address.
    pub targets: BTreeMap<String, Tally>,
    /// From the start to the end of the last connection.
    pub seconds: f64,
    /// How late the generator itself began connections: the noise of this machine.
    pub slip: Quantiles,
    /// The load over time.
    pub series: Vec<Bucket>,
    /// The first failures, word for word.
    pub failures: Vec<Failure>,
    /// When those were under way that did not end well, the first ten thousand.
    #[serde(skip)]
    pub lost: Vec<Lost>,
    /// Each good connection in the order in which they ended, if the plan asked for that.
    #[serde(skip)]
    pub each: Vec<Answered>,
}

impl LoadReport {
    /// Good connections per second.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 connections")]
    pub fn per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.total.ok as f64 / self.seconds } else { 0.0 }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ok", self.ok)?;
        let named = [
            ("refused", self.refused),
            ("reset", self.reset),
            ("timeout", self.timeout),
            ("short", self.short),
            ("wrong answer", self.wrong_answer),
        ];
        let other = self.other.iter().map(|(name, count)| (name.as_str(), *count));
        for (name, count) in named.into_iter().chain(other).filter(|(_, count)| *count > 0) {
            write!(out, ", {count} {name}")?;
        }
        let Quantiles { p50, p99, p999, max, .. } = self.latency;
        write!(out, "; ms p50 {p50:.2}, p99 {p99:.2}, p99.9 {p999:.2}, max {max:.2}")?;
        if self.syn_retransmitted > 0 {
            write!(out, "; {} lost their first SYN", self.syn_retransmitted)?;
        }
        Ok(())
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "all: {}", self.total)?;
        for (target, tally) in self.targets.iter().filter(|_| self.targets.len() > 1) {
            writeln!(out, "{target}: {tally}")?;
        }
        writeln!(
            out,
            "{:.0} good connections per second; the generator was late by p50 {:.2}, p99 {:.2}, max {:.2} ms",
            self.per_second(),
            self.slip.p50,
            self.slip.p99,
            self.slip.max
        )?;
        for failure in &self.failures {
            let Failure { at_ms, target, class, answer } = failure;
            writeln!(out, "  at {at_ms:.0} ms, {target}: {class} {answer:?}")?;
        }
        Ok(())
    }
}
