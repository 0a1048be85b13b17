//! The schedule: one thread, a kernel timer, a small task per connection.
//!
//! The runtime's own timer counts in milliseconds, too coarse for a schedule of a thousand per second; a timer
//! descriptor is exact. Whenever it fires, everything that is due is begun, so that a generator that was kept
//! from the processor catches up, and says how late it was.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::collector::Collector;
use super::connection::{Attempt, Class, Outcome};
use super::source::Sources;
use super::{LoadReport, Pace, Plan};
use crate::process::raise_descriptor_limit;

/// What the owner of a running load can see and do.
#[derive(Debug)]
pub(super) struct Control {
    stop: AtomicBool,
    stopped: Notify,
    begun: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
}

impl Control {
    pub(super) fn new() -> Arc<Self> {
        let [begun, done, failed] = [(); 3].map(|()| AtomicU64::new(0));
        Arc::new(Self { stop: AtomicBool::new(false), stopped: Notify::new(), begun, done, failed })
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.stopped.notify_one();
    }

    /// How many have ended, and how many of them badly, never fewer: the other order of these two, or of the two in
    /// [`Control::count`], would tell of a failure for a moment as of one that ended well.
    pub(super) fn progress(&self) -> (u64, u64) {
        let done = self.done.load(Ordering::Acquire);
        (done, self.failed.load(Ordering::Relaxed))
    }

    pub(super) fn under_way(&self) -> u64 {
        let done = self.done.load(Ordering::Relaxed);
        self.begun.load(Ordering::Relaxed).saturating_sub(done)
    }

    fn count(&self, outcome: &Outcome) {
        self.failed.fetch_add(u64::from(outcome.class != Class::Ok), Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::Release);
    }
}

/// Runs the plan in the namespace of the calling thread.
pub(super) fn run(plan: Plan, control: &Control) -> Result<LoadReport> {
    plan.check()?;
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let plan = Arc::new(plan);
        let mut collector = Collector::new(&plan.targets, plan.each, Instant::now())?;
        match plan.pace {
            Pace::Open { rate } => open_loop(&plan, rate, control, &mut collector).await?,
            Pace::Closed { connections } => closed_loop(&plan, connections, control, &mut collector).await,
        }
        Ok(collector.report())
    })
}

async fn open_loop(plan: &Arc<Plan>, rate: f64, control: &Control, collector: &mut Collector) -> Result<()> {
    let (report, mut outcomes) = unbounded_channel();
    let mut sources = Sources::new(&plan.sources);
    let schedule = Schedule { rate, duration: plan.duration };
    let timer = every(Duration::from_secs_f64(1.0 / rate)).context("setting the schedule's timer")?;
    let start = Instant::now();
    let (mut begun, mut ended) = (0, 0);
    let mut beginning = true;
    while beginning || ended < begun {
        tokio::select! {
            biased;
            ready = timer.readable(), if beginning => {
                let mut ready = ready?;
                let _ = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0_u8; 8])?));
                let due = schedule.due(start.elapsed()).min(plan.at_most.map_or(u64::MAX, |most| ended + most));
                while begun < due {
                    // A schedule that waits for others is none: each connection has its time from its own begin.
                    let on_time = start + schedule.offset(begun);
                    let intended = if plan.at_most.is_some() { Instant::now() } else { on_time };
                    begin(plan, &mut sources, begun, intended, &report);
                    begun += 1;
                    control.begun.store(begun, Ordering::Relaxed);
                }
                beginning = begun < schedule.total();
            }
            () = control.stopped.notified(), if beginning => beginning = false,
            Some(outcome) = outcomes.recv() => {
                ended += 1;
                control.count(&outcome);
                collector.add(outcome);
            }
        }
    }
    Ok(())
}

/// A timer that fires now and then every `interval`.
fn every(interval: Duration) -> Result<AsyncFd<OwnedFd>> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let soon = Timespec { tv_sec: 0, tv_nsec: 1 };
    let setting = Itimerspec { it_interval: Timespec::try_from(interval)?, it_value: soon };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
    // SAFETY: an `OwnedFd` is open and the same until it is dropped, and the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register(timer) }.map_err(std::io::Error::from)?)
}

fn begin(
    plan: &Arc<Plan>,
    sources: &mut Sources,
    number: u64,
    intended: Instant,
    report: &UnboundedSender<Outcome>,
) {
    let attempt = attempt(plan, sources, number, intended);
    let (plan, report) = (Arc::clone(plan), report.clone());
    tokio::spawn(async move {
        let outcome = attempt.run(plan.ask, &plan.expect, plan.timeout).await;
        let _ = report.send(outcome);
    });
}

fn attempt(plan: &Plan, sources: &mut Sources, number: u64, intended: Instant) -> Attempt {
    let target = usize::try_from(number).unwrap_or(0) % plan.targets.len();
    let to = plan.targets[target];
    Attempt { target, to, from: sources.next(to), intended }
}

async fn closed_loop(plan: &Arc<Plan>, connections: usize, control: &Control, collector: &mut Collector) {
    let (report, mut outcomes): (_, UnboundedReceiver<Outcome>) = unbounded_channel();
    let mut sources = Sources::new(&plan.sources);
    let start = Instant::now();
    let mut number = 0;
    let mut begin_next = || {
        begin(plan, &mut sources, number, Instant::now(), &report);
        number += 1;
        control.begun.store(number, Ordering::Relaxed);
    };
    (0..connections).for_each(|_| begin_next());
    let mut under_way = connections;
    while under_way > 0 {
        let Some(outcome) = outcomes.recv().await else { break };
        control.count(&outcome);
        collector.add(outcome);
        if start.elapsed() < plan.duration && !control.stop.load(Ordering::Relaxed) {
            begin_next();
        } else {
            under_way -= 1;
        }
    }
}

/// Which connection is due when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) rate: f64,
    pub(super) duration: Duration,
}

impl Schedule {
    /// When connection `number` is intended, from the start.
    #[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 connections")]
    pub(super) fn offset(self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// How many connections there are in all.
    pub(super) fn total(self) -> u64 {
        whole(self.duration.as_secs_f64() * self.rate)
    }

    /// How many of them are due by now, the first at once.
    pub(super) fn due(self, elapsed: Duration) -> u64 {
        (whole(elapsed.as_secs_f64() * self.rate) + 1).min(self.total())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
fn whole(number: f64) -> u64 {
    number.floor() as u64
}
