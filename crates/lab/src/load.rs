//! The load generator: new connections on a fixed schedule, and what became of each.
//!
//! A reload that drops SYNs is invisible to tools that time only request and answer on an open connection. Here
//! every connection is new, its latency counts from the moment at which the schedule *intended* it, `connect()`
//! included, and a slow answer never delays the next connection (open loop). The generator's own lateness is
//! reported as `slip`: a run in which it is large says little about the balancer.
//!
//! Connections end politely, so that the generator never is the cause of a reset: after the answer our side is
//! shut down, then everything is read to the end, and a reset on that last stretch is counted. That leaves
//! `TIME_WAIT` with us; with `sources` given, each address walks through its own ports in order, and the kernel
//! lets a port in `TIME_WAIT` be used again (`tcp_tw_reuse`, set in the lab's namespaces), so ports do not run out.

mod bulk;
mod collector;
mod connection;
mod engine;
mod report;
mod source;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

pub use bulk::download;
pub use connection::{Class, ask_once};
pub use report::{Answered, Bucket, Failure, LoadReport, Lost, Quantiles, Tally};

use crate::namespace::Namespace;
use crate::wait::{LOOK_EVERY, eventually, patience};
use engine::Control;

/// When connections begin.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many per second over all targets, whatever becomes of them.
    Open {
        /// Connections per second.
        rate: f64,
    },
    /// So many at any time, each followed by the next at once.
    Closed {
        /// Concurrent connections.
        connections: usize,
    },
}

/// How a connection asks for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Ask {
    /// Wait for a line.
    Line,
    /// `GET /`, and the answer is the body of a 200.
    Http,
}

/// What answer is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Any.
    Anything,
    /// One with this address as its first word.
    Peer(IpAddr),
    /// One with the address that the connection came from as its first word: nothing hid the client.
    OwnAddress,
    /// One that begins so.
    Prefix(String),
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to; taken in turn.
    pub targets: Vec<SocketAddr>,
    /// From where; those of the target's family are taken in turn. None of that family: the kernel chooses.
    pub sources: Vec<IpAddr>,
    /// When.
    pub pace: Pace,
    /// For how long connections begin.
    pub duration: Duration,
    /// After how long a connection counts as lost.
    pub timeout: Duration,
    /// How to ask.
    pub ask: Ask,
    /// What must come back.
    pub expect: Expect,
    /// How many may be under way before the schedule of an open loop waits for them: it is no open loop then.
    pub at_most: Option<u64>,
    /// Whether the report lists each good connection: for short loads only.
    pub each: bool,
}

/// How many connections a load may have under way where the machine is slow (see [`patience`]). More would wait
/// in line there, and time out, which says nothing about the balancer.
const FEW: u64 = 16;

impl Plan {
    /// A line from `targets`, `rate` new connections per second, three seconds of patience.
    pub fn open(targets: &[SocketAddr], rate: f64, duration: Duration) -> Self {
        Self {
            targets: targets.to_vec(),
            sources: Vec::new(),
            pace: Pace::Open { rate },
            duration,
            timeout: Duration::from_secs(3),
            ask: Ask::Line,
            expect: Expect::Anything,
            at_most: None,
            each: false,
        }
    }

    /// As [`Plan::open`], with `connections` at any time instead of a rate.
    pub fn closed(targets: &[SocketAddr], connections: usize, duration: Duration) -> Self {
        Self { pace: Pace::Closed { connections }, ..Self::open(targets, 1.0, duration) }
    }

    /// The same from these addresses.
    #[must_use]
    pub fn from(self, sources: Vec<IpAddr>) -> Self {
        Self { sources, ..self }
    }

    /// The same with another expectation.
    #[must_use]
    pub fn expecting(self, expect: Expect) -> Self {
        Self { expect, ..self }
    }

    /// The same with another way to ask.
    #[must_use]
    pub fn asking(self, ask: Ask) -> Self {
        Self { ask, ..self }
    }

    /// The same with another timeout.
    #[must_use]
    pub fn patient_for(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same, and the report lists each good connection with its moment.
    #[must_use]
    pub fn listing_each(self) -> Self {
        Self { each: true, ..self }
    }

    /// The same load, slower and longer, where the machine is slow (see [`patience`]).
    fn patiently(self) -> Self {
        let pace = match self.pace {
            Pace::Open { rate } => Pace::Open { rate: rate / f64::from(patience()) },
            closed @ Pace::Closed { .. } => closed,
        };
        let longest = Duration::from_mins(1).max(self.timeout);
        let timeout = (self.timeout * patience()).min(longest);
        let at_most = if patience() > 1 { Some(FEW) } else { self.at_most };
        Self { pace, duration: self.duration * patience(), timeout, at_most, ..self }
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.targets.is_empty(), "no target: give at least one address and port");
        match self.pace {
            Pace::Open { rate } => {
                ensure!((0.1..=50_000.0).contains(&rate), "a rate is between 0.1 and 50000 per second");
            }
            Pace::Closed { connections } => {
                ensure!((1..=10_000).contains(&connections), "1 to 10000 connections at a time, please");
            }
        }
        ensure!(self.duration <= Duration::from_hours(12), "a run lasts twelve hours at most");
        let patience = Duration::from_millis(1)..=Duration::from_mins(1);
        ensure!(patience.contains(&self.timeout), "a timeout is between 1 ms and 60 s");
        Ok(())
    }
}

/// Runs a plan to its end in the namespace of the calling thread.
pub fn run(plan: Plan) -> Result<LoadReport> {
    engine::run(plan.patiently(), &Control::new())
}

/// Starts a plan inside a namespace, on a thread of its own.
pub fn start(host: &Namespace, plan: Plan) -> Result<RunningLoad> {
    let plan = plan.patiently();
    plan.check()?;
    let control = Control::new();
    let inside = Arc::clone(&control);
    Ok(RunningLoad {
        begun: Instant::now(),
        control,
        thread: host.thread(move || engine::run(plan, &inside)),
    })
}

/// A load under way. Its thread ends by itself, at the latest with the plan.
#[derive(Debug)]
pub struct RunningLoad {
    begun: Instant,
    control: Arc<Control>,
    thread: JoinHandle<std::io::Result<Result<LoadReport>>>,
}

impl RunningLoad {
    /// How long it has been running: the place of a mark in [`LoadReport::series`].
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Connections that have ended so far, and how many of them badly.
    pub fn progress(&self) -> (u64, u64) {
        self.control.progress()
    }

    /// Waits until hardly any client is under way any more: those that waited for a balancer are answered then. A kill
    /// before that would cut dozens of clients that were accepted at once.
    pub fn settle(&self) -> Result<()> {
        const FEW: u64 = 5;
        let settled = || (self.control.under_way() <= FEW).then_some(());
        eventually(Duration::from_secs(15), "the clients that waited to be answered", settled)
    }

    /// Begins no more connections, waits for those under way and reports.
    pub fn finish(self) -> Result<LoadReport> {
        self.control.stop();
        self.wait()
    }

    /// As [`RunningLoad::finish`], as soon as so many connections have ended well: how many the load comes to while a
    /// test does its work depends on how fast the machine is. On a slow one fewer will do, as its load is slower
    /// ([`patience`]). Ends with the plan where they never come to so many.
    pub fn finish_after(self, ended_well: u64) -> Result<LoadReport> {
        let wanted = ended_well.div_ceil(u64::from(patience()));
        let well = || {
            let (ended, badly) = self.progress();
            ended.saturating_sub(badly)
        };
        while well() < wanted && !self.thread.is_finished() {
            std::thread::sleep(LOOK_EVERY);
        }
        self.finish()
    }

    /// As [`RunningLoad::finish_after`], as soon as so many more than now have ended well.
    pub fn finish_after_more(self, ended_well: u64) -> Result<LoadReport> {
        let (ended, badly) = self.progress();
        self.finish_after(ended.saturating_sub(badly) * u64::from(patience()) + ended_well)
    }

    /// Waits until the plan is done and reports.
    pub fn wait(self) -> Result<LoadReport> {
        let outcome = self.thread.join().map_err(|_| anyhow!("the load generator panicked"))?;
        outcome.context("entering the namespace of the client")?
    }
}
