//! The life of generations: a state machine that is told what happened and answers what to do.
//!
//! ```text
//!                 Begin, ReloadAsked, a crash
//!                            |
//!                            v
//!   Prepare ---> Launch ---> proof ---> Commit        an attempt; at most one at a time
//!      |           |           |           |
//!      +-----------+-----------+           +--> the former generation: Drain ---> gone
//!                  v
//!         Refused: nothing has changed
//! ```
//!
//! The contract:
//!
//! - Before the commit everything can be undone, and the former generation serves. After it the former
//!   generation only finishes its sessions.
//! - Requests that arrive while an attempt is under way become one more attempt after it: what they
//!   wanted may have been written after the running attempt had read the files.
//! - An attempt that failed is asked to finish, never killed: it may have accepted somebody.
//! - If the serving generation dies, its sockets stay open in custody and the next start follows at
//!   once; if that dies young again, after a pause that doubles up to [`LONGEST_PAUSE`].
//! - A stop drains every generation; a second `SIGTERM` or `SIGINT`, or the end of the drain timeout, ends them with
//!   `SIGTERM` and, [`GRACE`] later, with `SIGKILL`. The plumbing goes when the last generation that
//!   needs it is gone, and always before Clearway leaves.
//!
//! Time is a duration since Clearway began; the shell calls [`Supervisor::step`] with
//! [`Event::TimePassed`] no later than [`Supervisor::next_deadline`] says.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::exit::ExitCode;
use crate::names::Generation;

mod attempt;
mod event;
mod report;
mod status;
mod stop;

pub use event::{Action, Answer, Asker, End, Event, Failure, How, Plumbing, Proof, RequestId};
pub use report::{Cut, Next, Report, Severity};
pub use status::{Attempted, GenerationStatus, Status};

use attempt::Attempt;
use stop::Stop;

/// After `SIGTERM`, before `SIGKILL`; after HAProxy closed its private socket, before its end is no
/// longer waited for.
pub const GRACE: Duration = Duration::from_secs(2);

/// The longest pause between two starts of a HAProxy that keeps dying.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A generation that served at least so long did not die of its own start.
const PROVEN_AGE: Duration = Duration::from_secs(1);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From a stop to the cut of what is left.
    pub drain: Duration,
    /// From the launch of a generation to its proof.
    pub ready: Duration,
}

/// A generation that has a process.
#[derive(Clone, Debug)]
struct Life {
    pid: u32,
    plumbing: Plumbing,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Launched, has not proved itself yet; belongs to the attempt.
    Proving,
    Serving {
        since: Duration,
        proof: Proof,
    },
    Draining {
        since: Duration,
    },
}

/// The state machine. It owns no process and no socket, only what is known about them.
#[derive(Debug)]
pub struct Supervisor {
    limits: Limits,
    /// Every generation that has a process.
    lives: BTreeMap<Generation, Life>,
    /// The number that the next attempt gets.
    next: Generation,
    attempt: Option<Attempt>,
    /// Who asked for a reload while an attempt was under way.
    waiting: Vec<Asker>,
    /// When to start again after a crash.
    restart_at: Option<Duration>,
    /// Crashes in a row, each before [`PROVEN_AGE`].
    young_deaths: u32,
    stop: Option<Stop>,
    /// Whether there is plumbing in the kernel, as far as is known.
    plumbed: bool,
    /// How the last attempt went, for the status.
    last: Option<Attempted>,
    /// Whether any generation has ever served: if not, a failure is Clearway's end.
    ever_served: bool,
    left: bool,
}

impl Supervisor {
    /// A supervisor that has not begun.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lives: BTreeMap::new(),
            next: Generation::FIRST,
            attempt: None,
            waiting: Vec::new(),
            restart_at: None,
            young_deaths: 0,
            stop: None,
            plumbed: false,
            last: None,
            ever_served: false,
            left: false,
        }
    }

    /// Takes one event in and answers what is to be done, in this order. After [`Action::Exit`]
    /// nothing more is ever answered.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut todo = Vec::new();
        if self.left {
            return todo;
        }
        match event {
            Event::Begin => self.begin_attempt(Vec::new(), now, &mut todo),
            Event::ReloadAsked(by) => self.reload_asked(by, now, &mut todo),
            Event::StopAsked(by) => self.stop_asked(by, now, &mut todo),
            Event::Prepared { generation, plumbing } => self.prepared(generation, plumbing, now, &mut todo),
            Event::Started { generation, pid } => self.started(generation, pid, &mut todo),
            Event::Proved { generation, proof } => self.proved(generation, proof, now, &mut todo),
            Event::Failed { generation, failure } => self.failed(generation, failure, now, &mut todo),
            Event::Exited { generation, end, failure } => {
                self.exited(generation, &end, failure, now, &mut todo);
            }
            Event::TimePassed => {}
        }
        self.look_at_the_clock(now, &mut todo);
        todo
    }

    /// When something is due although nothing happens.
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.left {
            return None;
        }
        let attempt = self.attempt.as_ref().and_then(Attempt::deadline);
        let stop = self.stop.as_ref().map(Stop::deadline);
        [attempt, stop, self.restart_at].into_iter().flatten().min()
    }

    /// The generation that accepts connections.
    pub fn serving(&self) -> Option<Generation> {
        self.lives.iter().find(|(_, life)| matches!(life.state, State::Serving { .. })).map(|(g, _)| *g)
    }

    fn look_at_the_clock(&mut self, now: Duration, todo: &mut Vec<Action>) {
        if self.attempt.as_ref().and_then(Attempt::deadline).is_some_and(|at| at <= now) {
            self.attempt_timed_out(now, todo);
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            let askers = std::mem::take(&mut self.waiting);
            self.begin_attempt(askers, now, todo);
        }
        if !self.left {
            self.look_at_the_stop(now, todo);
        }
    }

    /// A process has ended, and it was known why or not.
    fn exited(
        &mut self,
        generation: Generation,
        end: &End,
        failure: Failure,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let Some(life) = self.lives.remove(&generation) else { return };
        match life.state {
            State::Proving => self.attempt_over(generation, failure, now, todo),
            State::Draining { since } if *end == End::Clean => {
                todo.push(Action::Report(Report::Drained(generation, now.saturating_sub(since))));
            }
            State::Draining { .. } => {
                todo.push(Action::Report(Report::DrainedBadly(generation, end.to_string())));
            }
            State::Serving { since, .. } => self.crashed(generation, end, since, now, todo),
        }
        self.after_an_end(todo);
    }

    /// The serving generation is gone. Its sockets are in custody: whoever connects waits in their queue.
    fn crashed(
        &mut self,
        generation: Generation,
        end: &End,
        since: Duration,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        if now.saturating_sub(since) >= PROVEN_AGE {
            self.young_deaths = 0;
        }
        let next = if let Some(attempt) = &self.attempt {
            Next::Starting(attempt.generation)
        } else {
            let pause = self.pause();
            self.restart_at = Some(now + pause);
            Next::In(pause)
        };
        todo.push(Action::Report(Report::Crashed { generation, how: end.to_string(), next }));
    }

    /// How long to wait before the next start, and one more death counted: nothing, 100 ms, 200 ms, ...
    fn pause(&mut self) -> Duration {
        let pause = match self.young_deaths {
            0 => Duration::ZERO,
            deaths => Duration::from_millis(100) * 2_u32.saturating_pow(deaths.min(10) - 1),
        };
        self.young_deaths = self.young_deaths.saturating_add(1);
        pause.min(LONGEST_PAUSE)
    }

    /// Something has ended: is the plumbing still needed, and was it the last one of a stop?
    fn after_an_end(&mut self, todo: &mut Vec<Action>) {
        if let Some(stop) = &self.stop
            && self.lives.is_empty()
        {
            let code = stop.code;
            self.leave(code, todo);
        } else if self.plumbed
            && self.attempt.is_none()
            && self.restart_at.is_none()
            && self.lives.values().all(|life| life.plumbing == Plumbing::NotNeeded)
        {
            self.plumbed = false;
            todo.push(Action::Unplumb);
        }
    }

    /// Everything is over: custody closed, the kernel clean, out.
    fn leave(&mut self, code: ExitCode, todo: &mut Vec<Action>) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        todo.push(Action::ReleaseCustody);
        todo.push(Action::Unplumb);
        todo.push(Action::Exit(code));
    }
}

#[cfg(test)]
mod tests;
