//! The life of generations: a state machine that is told what happened and answers what to do.
//!
//! ```text
//!                 Begin, ReloadAsked, a crash
//!                            |
//!                            v
//!   Prepare -> Launch -> proof -> Carry -> settling -> Switch -> Commit        an attempt; at most one at a time
//!      |          |        |        |         |          |         |
//!      +----------+--------+--------+---------+----------+         +--> the former generation: Drain ---> gone
//!                       v
//!              Refused: nothing has changed
//! ```
//!
//! The contract:
//!
//! - Before the commit everything can be undone, and the former generation serves. After it the former
//!   generation only finishes its sessions.
//! - Requests that arrive while an attempt is under way become one more attempt after it: what they
//!   wanted may have been written after the running attempt had read the files.
//! - What the former generation knew of its servers is carried over before the new one accepts clients, whether another
//!   one serves or not. If that does not work out, the attempt goes on, and the report says so.
//! - Between that and the commit both generations accept, for as long as [`Limits::settle`] says. Then the clients of
//!   sockets that were not handed over are brought to the new generation (the switch), until the queues
//!   of the former one's are empty. If the new one dies, or the switch fails, nothing has changed. If the former one dies, the
//!   commit comes at once.
//! - An attempt that is asked for may begin with a plan, and end with another configuration of the generation that serves, and
//!   without a process (`applying`).
//! - An attempt that failed is asked to finish, never killed: it may have accepted a client.
//! - If the serving generation dies, its sockets stay open in custody and the next start follows at
//!   once, with the configuration that served; if that dies young again, after a pause that doubles up to
//!   [`LONGEST_PAUSE`]. If it dies within [`PROBATION`] of its commit, its configuration is not trusted: the
//!   one that served before is started, until another reload is asked for.
//! - If none has ever served for a second, and [`MOST_YOUNG_DEATHS`] have died younger, Clearway leaves: that is a start
//!   that fails, and whatever has started Clearway is to know.
//! - A rollback is a reload whose configuration is the one that served before, as it was read then (`rollback`).
//! - A stop drains every generation; a second `SIGTERM` or `SIGINT`, or the end of the drain timeout, ends them with
//!   `SIGTERM` and, [`GRACE`] later, with `SIGKILL`. The plumbing goes when the last generation that
//!   needs it is gone, and always before Clearway leaves.
//!
//! Time is a duration since Clearway began; the shell calls [`Supervisor::step`] with
//! [`Event::TimePassed`] no later than [`Supervisor::due`] says.

use std::time::Duration;

use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::names::Generation;
use crate::programs;

mod action;
mod applying;
mod asker;
mod asking;
mod attempt;
mod bound;
mod budget;
mod carried;
mod commit;
mod cuts;
mod end;
mod event;
mod life;
mod limits;
mod machine;
mod outcome;
mod planned;
mod proof;
mod refusal;
mod reminder;
mod report;
mod role;
mod rollback;
mod sidecars;
mod stage;
mod status;
mod steps;
mod stop;
mod stopping;
mod takeover;
mod trial;
mod turn;

pub use action::{Action, Answer};
pub use asker::{Asker, RequestId};
pub use bound::Bound;
pub use budget::WARNING;
pub use carried::Carried;
pub use end::{End, Killed, Unclean};
pub use event::{Declined, Event, How, Peer, PlumbingDemand, Source, Strictness, Survey};
pub use limits::{
    APPLY_DEADLINE, Budget, CARRY_DEADLINE, GRACE, LONGEST_PAUSE, Limits, MOST_YOUNG_DEATHS, PLAN_DEADLINE,
    PROBATION, SWITCH_DEADLINE, SWITCHING, longest_reload,
};
pub use machine::Supervisor;
pub use outcome::{AttemptResult, Attempted, Cause, CrashView, Crashes, RolledBack};
pub use planned::{Applied, ApplyOutcome, Planned};
pub use proof::Proof;
pub use report::{Cut, Next, Over, Report};
pub use status::{GenerationView, LifePhase, Phase, SupervisorStatus};
pub use steps::Steps;
pub use turn::Turn;

use life::{FirstLife, Life, LifeState, Restart, WaitsFor};
use limits::PROVEN_AGE;
use stage::Attempt;
use stopping::Stop;

impl Supervisor {
    /// Takes one event in and answers what is to be done, in this order. After [`Action::Exit`]
    /// nothing more is ever answered.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut todo = Vec::new();
        if self.left {
            return todo;
        }
        match event {
            Event::Begin => self.begin_attempt(Source::Disk, Vec::new(), now, &mut todo),
            Event::ReloadAsked(by) => self.asked(by, now, &mut todo),
            Event::ApplyAsked(request) => self.asked(Asker::Apply(request), now, &mut todo),
            Event::RollbackAsked(request) => self.asked(Asker::Rollback(request), now, &mut todo),
            Event::TrialAsked(request) => self.trial_asked(request, now, &mut todo),
            Event::StopAsked(by) => self.stop_asked(by, now, &mut todo),
            Event::EndAsked(generation) => self.end_asked(generation, now, &mut todo),
            Event::SameFiles { generation, former } => self.same_files(generation, former),
            Event::Planned { generation, planned } => self.planned(generation, planned, now, &mut todo),
            Event::Applied { generation, outcome } => self.applied(generation, outcome, now, &mut todo),
            Event::Prepared { generation, plumbing, most_reloads } => {
                self.prepared(generation, plumbing, most_reloads, now, &mut todo);
            }
            Event::Started { generation, pid } => self.started(generation, pid, &mut todo),
            Event::Proved { generation, proof } => self.proved(generation, proof, now, &mut todo),
            Event::Carried { generation, carried } => self.carried(generation, carried, now, &mut todo),
            Event::Switched { generation, moved } => self.switched(generation, moved, now, &mut todo),
            Event::Replaced { generation, worker } => self.replaced(generation, worker, now, &mut todo),
            Event::Surveyed(surveys) => self.surveyed(&surveys, now, &mut todo),
            Event::Failed { generation, failure } => self.failed(generation, failure, now, &mut todo),
            Event::Misplaced { generation, failure } => self.misplaced(generation, failure),
            Event::Exited { generation, end } => self.exited(generation, &end, now, &mut todo),
            Event::LastWords { generation, failure } => self.heard(generation, failure, now, &mut todo),
            Event::TakeoverAsked(peer) => self.takeover_asked(peer, now, &mut todo),
            Event::Superseded(peer) => self.superseded(peer, now, &mut todo),
            Event::SuccessorSettled(peer) => self.successor_settled(peer, now, &mut todo),
            Event::PeerGone(peer) => self.peer_gone(peer, now, &mut todo),
            Event::PredecessorGone => self.predecessor_gone(now, &mut todo),
            Event::Withdrawn(failure) => self.withdrawn(failure, now, &mut todo),
            Event::Programs { generation, sections, on_death } => {
                self.programs_known(generation, sections, on_death, now, &mut todo);
            }
            Event::Program(event) => self.tell_programs(event, now, &mut todo),
            Event::TimePassed => {}
        }
        self.look_at_the_clock(now, &mut todo);
        self.tell_programs_of_the_other(now, &mut todo);
        todo
    }

    /// When something is due although nothing happens.
    pub fn due(&self) -> Option<Duration> {
        if self.left {
            return None;
        }
        let attempt = self.attempt.as_ref().and_then(Attempt::deadline);
        let stop = self.stop.as_ref().map(Stop::deadline);
        let restart = self.restart_due().map(|restart| restart.at);
        let announced = self.announced.map(|(_, at)| at);
        let programs = self.programs.due();
        let (cuts, other, reminder) = (self.cuts.deadline(), self.role.deadline(), self.next_reminder());
        [attempt, stop, announced, restart, cuts, other, programs, reminder].into_iter().flatten().min()
    }

    /// The generation that accepts connections.
    pub fn serving(&self) -> Option<Generation> {
        self.lives.iter().find(|(_, life)| matches!(life.state, LifeState::Serving { .. })).map(|(g, _)| *g)
    }

    fn look_at_the_clock(&mut self, now: Duration, todo: &mut Vec<Action>) {
        if self.attempt.as_ref().and_then(Attempt::deadline).is_some_and(|at| at <= now) {
            self.attempt_timed_out(now, todo);
        }
        if let Some(restart) = self.restart_due().filter(|restart| restart.at <= now) {
            self.begin_the_restart(restart, now, todo);
        }
        if !self.left {
            self.look_at_the_asking(now, todo);
            self.look_at_the_other(now, todo);
            self.look_at_the_announced(now, todo);
            self.look_at_the_old(now, todo);
            self.look_at_the_reminders(now, todo);
            self.look_at_the_stop(now, todo);
        }
        if !self.left && self.programs.due().is_some_and(|at| at <= now) {
            self.tell_programs(programs::ProgramEvent::TimePassed, now, todo);
        }
    }

    /// A process has ended; why it did is heard later, and nothing waits for that but a report, and a leave.
    fn exited(&mut self, generation: Generation, end: &End, now: Duration, todo: &mut Vec<Action>) {
        let Some(life) = self.lives.remove(&generation) else { return };
        self.unheard.insert(generation);
        match life.state {
            LifeState::Proving => self.attempt_gone(generation, end, now),
            LifeState::Draining { since } if *end == End::Clean => {
                todo.push(Action::Report(Report::Drained { generation, took: now.saturating_sub(since) }));
            }
            LifeState::Draining { .. } => {
                todo.push(Action::Report(Report::DrainedBadly { generation, how: end.to_string() }));
            }
            LifeState::Serving { since, .. } => self.crashed(generation, &life, end, since, now, todo),
        }
        self.after_an_end(now, todo);
    }

    /// A process that has ended was heard to the end.
    fn heard(&mut self, generation: Generation, failure: Failure, now: Duration, todo: &mut Vec<Action>) {
        if self.unheard.remove(&generation) {
            if self.first_life == FirstLife::GivenUp(generation) {
                todo.push(Action::Report(Report::GivenUp { generation, failure: failure.clone() }));
            }
            self.attempt_explained(generation, failure, now, todo);
            self.after_an_end(now, todo);
        }
    }

    /// The serving generation is gone. Its sockets are in custody: new clients wait in their queues.
    fn crashed(
        &mut self,
        generation: Generation,
        life: &Life,
        end: &End,
        since: Duration,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let (age, configuration) = (now.saturating_sub(since), life.configuration);
        self.lived(age);
        if let FirstLife::Awaited { deaths } = &mut self.first_life {
            *deaths += 1;
        }
        if now.saturating_sub(life.configured) >= PROBATION {
            self.good = Some(configuration);
        }
        let how = end.to_string();
        self.crashes.count(generation, &how, now);
        self.give_up_a_trial(now, todo);
        self.give_up_a_plan(todo);
        if let Some(attempt) = &mut self.attempt {
            let (starting, misplaced) = (attempt.generation, attempt.misplaced.take());
            todo.push(Action::Report(Report::Crashed { generation, how, next: Next::Starting(starting) }));
            match misplaced {
                Some(failure) => self.attempt_over(starting, failure, now, todo),
                // One that has proved itself already need not wait any longer.
                None if self.go_on_as_the_restart(now, todo) => {}
                None => self.commit_ready(now, todo),
            }
            return;
        }
        if self.give_back(now, todo) {
            return;
        }
        if let FirstLife::Awaited { deaths: MOST_YOUNG_DEATHS.. } = self.first_life
            && !self.inherited
        {
            self.first_life = FirstLife::GivenUp(generation);
            todo.push(Action::Report(Report::Crashed { generation, how, next: Next::Leaving }));
            return self.stop_with(ExitCode::NotReady, now, todo);
        }
        // What has lived for long, and was changed shortly before, is started again with the change.
        let former = self.good.filter(|good| *good != configuration && age < PROBATION);
        let pause = self.pause();
        let source = Source::Served(former.unwrap_or(configuration));
        self.restart = Some(Restart { at: now + pause, source });
        let next = Next::In { pause, back_to: former };
        todo.push(Action::Report(Report::Crashed { generation, how, next }));
    }

    /// A start is due that nothing has asked for; what waits goes first, unless it waits for this.
    fn begin_the_restart(&mut self, restart: Restart, now: Duration, todo: &mut Vec<Action>) {
        if self.waits_for == WaitsFor::ItsTurn {
            self.begin_what_waits(now, todo);
        }
        if self.attempt.is_none() {
            if let Some(serving) = self.serving() {
                todo.push(Action::Report(Report::Mending { serving }));
            }
            self.begin_attempt(restart.source, Vec::new(), now, todo);
        }
    }

    /// A generation has served for so long.
    fn lived(&mut self, age: Duration) {
        if age >= PROVEN_AGE {
            self.young_deaths = 0;
            self.first_life = FirstLife::Lived;
        }
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
    fn after_an_end(&mut self, now: Duration, todo: &mut Vec<Action>) {
        if let Some(stop) = &self.stop
            && self.lives.is_empty()
            && self.unheard.is_empty()
        {
            let code = stop.code;
            if self.programs.is_gone() {
                self.leave(code, todo);
            } else {
                self.wait_for_programs(now, todo);
            }
        } else if self.plumbed
            && self.attempt.is_none()
            && self.restart.is_none()
            && self.lives.values().all(|life| life.plumbing == PlumbingDemand::NotNeeded)
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
