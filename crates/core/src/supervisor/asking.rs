//! What asks for an attempt, and waits for one that is under way.

use std::time::Duration;

use crate::names::Generation;

use super::action::{Action, Answer, answer};
use super::asker::Asker;
use super::event::Source;
use super::life::{Has, LifeState, WaitsFor};
use super::machine::Supervisor;
use super::report::Report;

impl Supervisor {
    /// A reload, an apply or a rollback is asked for.
    pub(super) fn asked(&mut self, by: Asker, now: Duration, todo: &mut Vec<Action>) {
        if self.stop.is_some() || self.is_superseded() {
            todo.push(Action::Report(Report::ReloadIgnored { by }));
            answer(&[by], &Answer::Stopping, todo);
        } else if self.attempt.is_some() || self.role.refuses_reloads() {
            // Signals need no memory of their own: one that waits stands for all of its name, unless a rollback is between.
            let last_of_a_kind = self.waiting.rsplit(|waits| waits.rolls_back()).next();
            if by.request().is_some() || !last_of_a_kind.is_some_and(|last| last.contains(&by)) {
                self.waiting.push(by);
                todo.push(Action::Report(Report::ReloadQueued { by }));
            }
        } else {
            match by {
                Asker::Rollback(_) => {}
                Asker::Apply(_) => todo.push(Action::Report(Report::ApplyAsked { by })),
                _ => todo.push(Action::Report(Report::ReloadAsked { by })),
            }
            // Some wait although none is under way, if the generation that served has ended in the middle of their plan.
            self.waiting.push(by);
            self.begin_what_waits(now, todo);
        }
    }

    /// What these want, which is the same for all of them.
    fn begin_asked(&mut self, askers: Vec<Asker>, now: Duration, todo: &mut Vec<Action>) {
        let Some(by) = askers.iter().find(|asker| asker.rolls_back()).copied() else {
            // Both mean what is on the disk.
            return match self.serving_to_plan_for(&askers) {
                Some(serving) => self.begin_plan(serving, askers, now, todo),
                None => self.begin_attempt(Source::Disk, askers, now, todo),
            };
        };
        todo.push(Action::Report(Report::RollbackAsked { by, back_to: self.before }));
        match self.before {
            Some(before) => self.begin_attempt(Source::Served(before), askers, now, todo),
            None => answer(&askers, &Answer::Refused(self.nothing_before()), todo),
        }
    }

    /// Begins with what waits, if there is anything: the first of it, and all behind that which wants the same.
    pub(super) fn begin_what_waits(&mut self, now: Duration, todo: &mut Vec<Action>) {
        while self.attempt.is_none()
            && let Some(first) = self.waiting.first()
        {
            let rolls_back = first.rolls_back();
            let other = self.waiting.iter().position(|asker| asker.rolls_back() != rolls_back);
            let rest = other.map(|other| self.waiting.split_off(other)).unwrap_or_default();
            let askers = std::mem::replace(&mut self.waiting, rest);
            self.begin_asked(askers, now, todo);
            self.waits_for = WaitsFor::ItsTurn;
        }
    }

    /// A master has reloaded behind our back. What its new worker uses is neither proved nor in custody, so a reload of
    /// ours follows, and its generation takes over from it; one that drains does not begin to serve again.
    pub(super) fn replaced(
        &mut self,
        generation: Generation,
        worker: u32,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let Some(life) = self.lives.get_mut(&generation) else { return };
        life.has = Has::SomethingElse;
        todo.push(Action::Report(Report::Replaced { generation, worker }));
        match &mut life.state {
            LifeState::Draining { .. } => return todo.push(Action::Drain(generation)),
            LifeState::Serving { proof, .. } => proof.worker = worker,
            LifeState::Proving => {}
        }
        self.asked(Asker::Master, now, todo);
    }

    /// Requests that came meanwhile become one more attempt.
    pub(super) fn after_an_attempt(&mut self, now: Duration, todo: &mut Vec<Action>) {
        if !self.role.refuses_reloads() {
            self.begin_what_waits(now, todo);
        }
    }
}
