//! The stop: drain, cut what is left, leave.

use std::time::Duration;

use crate::exit::ExitCode;
use crate::names::Generation;
use crate::programs;

use super::action::Action;
use super::asker::Asker;
use super::event::{How, Survey};
use super::life::LifeState;
use super::limits::GRACE;
use super::machine::Supervisor;
use super::report::{Cut, Report};
use super::stopping::{Stop, StopStage};

/// How long after the beginning it is said for the first time what is left; then after twice as long, and so on. What
/// stops Clearway may kill it when it likes (`docker stop` after ten seconds), and the log is to tell what was lost.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// The longest time between two looks.
const PACE: Duration = Duration::from_hours(1);

impl Supervisor {
    /// Whether another Clearway has taken over, and what is left finishes here as planned: no stop was asked for.
    pub fn drains_as_planned(&self) -> bool {
        self.stop.map_or_else(|| self.is_superseded(), |stop| stop.superseded)
    }

    /// Whether new clients should still be sent here: what a probe wants to know.
    pub fn is_ready(&self) -> bool {
        self.serving().is_some() && self.stop.is_none() && self.announced.is_none()
    }

    pub(super) fn look_at_the_announced(&mut self, now: Duration, todo: &mut Vec<Action>) {
        if let Some((by, at)) = self.announced
            && at <= now
            && !self.left
        {
            self.stop_asked(by, now, todo);
        }
    }

    /// The first time it is announced, if there is to be a delay and a generation serves; the second time, or after the
    /// delay, it begins.
    pub(super) fn stop_asked(&mut self, by: Asker, now: Duration, todo: &mut Vec<Action>) {
        let delay = self.limits.stop_delay;
        let announce = !delay.is_zero() && self.stop.is_none() && self.serving().is_some();
        match self.announced {
            None if announce => {
                self.announced = Some((by, now + delay));
                return todo.push(Action::Report(Report::StopAnnounced { by, delay }));
            }
            // Asking twice in another way than by an insisting signal means nothing.
            Some((_, at)) if at > now && !by.insists() => {
                return todo.push(Action::Report(Report::StopUnderWay { by }));
            }
            _ => self.announced = None,
        }
        let code = self.limits.exit_code(by);
        if let Some(stop) = self.stop.as_mut().filter(|stop| stop.code == ExitCode::Done) {
            stop.code = code;
        }
        match self.stop {
            None => {
                let generations = self.lives.len();
                todo.push(Action::Report(Report::Stopping { by, generations, limit: self.limits.drain }));
                self.begin_stop(code, self.limits.drain, by.insists(), now, todo);
            }
            Some(Stop { stage: StopStage::Draining { .. }, insisted: true, .. }) if by.insists() => {
                self.cut(Cut::Asked(by), now, todo);
            }
            Some(Stop { stage: StopStage::Draining { until }, superseded, insisted, .. })
                if superseded || (by.insists() && !insisted) =>
            {
                self.stop_once_more(by, until, now, todo);
            }
            Some(_) => todo.push(Action::Report(Report::StopUnderWay { by })),
        }
    }

    /// It drains already, for another reason or because it was asked less urgently: no later than the drain timeout from
    /// now on it is cut.
    fn stop_once_more(&mut self, by: Asker, until: Duration, now: Duration, todo: &mut Vec<Action>) {
        let Some(stop) = &mut self.stop else { return };
        let limit = self.limits.drain;
        let sooner = now.saturating_add(limit);
        if sooner < until {
            stop.limit = limit;
            stop.since = now;
            stop.ask_at = stop.ask_at.map(|_| now.saturating_add(FIRST_LOOK));
        }
        let until = until.min(sooner);
        stop.stage = StopStage::Draining { until };
        stop.insisted |= by.insists();
        stop.superseded = false;
        let (generations, limit) = (self.lives.len(), until.saturating_sub(now));
        todo.push(Action::Report(Report::Stopping { by, generations, limit }));
    }

    /// The first generation failed: what may be left of it gets a moment to go.
    pub(super) fn stop_with(&mut self, code: ExitCode, now: Duration, todo: &mut Vec<Action>) {
        self.begin_stop(code, GRACE, false, now, todo);
    }

    pub(super) fn begin_stop(
        &mut self,
        code: ExitCode,
        limit: Duration,
        insisted: bool,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        self.cancel_attempt(todo);
        self.part(now, todo);
        // Custody first: new connections are refused from now on, and no client waits in a queue that is
        // never read.
        todo.push(Action::ReleaseCustody);
        self.drain_all(now, todo);
        let stage = StopStage::Draining { until: now.saturating_add(limit) };
        let ask_at = Some(now.saturating_add(FIRST_LOOK));
        self.stop = Some(Stop { code, stage, insisted, since: now, limit, superseded: false, ask_at });
        self.tell_programs(programs::ProgramEvent::Stop, now, todo);
        self.after_an_end(now, todo);
    }

    /// The successor does well: what is left may take as long as this, and it is not a stop that was asked for.
    pub(super) fn finish_superseded(&mut self, limit: Duration, now: Duration, todo: &mut Vec<Action>) {
        self.begin_stop(ExitCode::Done, limit, false, now, todo);
        if let Some(stop) = &mut self.stop {
            stop.superseded = true;
        }
    }

    /// Lets every generation finish that does not do so already.
    pub(super) fn drain_all(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let not_draining: Vec<Generation> = self
            .lives
            .iter()
            .filter(|(_, life)| !matches!(life.state, LifeState::Draining { .. }))
            .map(|(generation, _)| *generation)
            .collect();
        for generation in not_draining {
            self.drain(generation, now, todo);
        }
    }

    pub(super) fn look_at_the_stop(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let Some(Stop { code, stage, limit, .. }) = self.stop.filter(|_| !self.left) else { return };
        match stage {
            StopStage::Draining { until } if until <= now => {
                self.cut(Cut::TimedOut(limit), now, todo);
            }
            StopStage::Terminating { until } if until <= now => {
                self.end_all(Cut::Ignored, How::Kill, StopStage::Killing { until: now + GRACE }, todo);
                self.tell_programs(programs::ProgramEvent::Cut, now, todo);
            }
            StopStage::Killing { until } if until <= now => self.leave(code, todo),
            StopStage::Draining { .. } => self.look_at_what_is_left(now, todo),
            _ => {}
        }
    }

    fn look_at_what_is_left(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let Some(stop) = &mut self.stop else { return };
        if stop.ask_at.is_some_and(|at| at <= now) {
            stop.ask_at = None;
            todo.push(Action::Survey(self.lives.keys().copied().collect()));
        }
    }

    /// The shell has looked: says what is left, and when to look again.
    pub(super) fn surveyed_while_stopping(
        &mut self,
        surveys: &[Survey],
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let Some(Stop { stage: StopStage::Draining { until }, since, ask_at, .. }) = &mut self.stop else {
            return;
        };
        if ask_at.is_some() {
            // Of before the stop.
            return;
        }
        let after = now.saturating_sub(*since);
        *ask_at = Some(now.saturating_add(after.clamp(FIRST_LOOK, PACE)));
        let left: Vec<_> = surveys.iter().filter(|one| self.lives.contains_key(&one.generation)).collect();
        if left.is_empty() {
            return;
        }
        let sessions = left.iter().map(|survey| survey.sessions).sum();
        todo.push(Action::Report(Report::Left { sessions, after, cut_in: until.saturating_sub(now) }));
    }

    fn cut(&mut self, why: Cut, now: Duration, todo: &mut Vec<Action>) {
        if self.lives.is_empty() {
            // Programs are left, which have had their `SIGTERM`.
            self.tell_programs(programs::ProgramEvent::Cut, now, todo);
        }
        self.end_all(why, How::Terminate, StopStage::Terminating { until: now + GRACE }, todo);
    }

    fn end_all(&mut self, why: Cut, how: How, stage: StopStage, todo: &mut Vec<Action>) {
        let generations: Vec<Generation> = self.lives.keys().copied().collect();
        todo.extend(generations.iter().map(|generation| Action::End(*generation, how)));
        if !generations.is_empty() {
            todo.push(Action::Report(Report::Cutting { why, generations }));
        }
        if let Some(stop) = &mut self.stop {
            stop.stage = stage;
        }
    }
}
