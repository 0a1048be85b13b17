//! The commit of an attempt: from then on its generation serves, and the former one drains.

use std::time::Duration;

use crate::names::Generation;

use super::action::{Action, Answer, answer};
use super::life::{FirstLife, LifeState};
use super::limits::PROBATION;
use super::machine::Supervisor;
use super::outcome::{Attempted, Cause};
use super::report::Report;
use super::rollback::Succession;
use super::stage::Attempt;

impl Supervisor {
    /// The commit, if there is something to commit: from here on the new generation serves.
    pub(super) fn commit_ready(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let Some(attempt) = self.attempt.take_if(|attempt| attempt.ready().is_some()) else { return };
        let Some(proof) = attempt.ready().cloned() else { return };
        let Attempt { generation, source, same_as, cause, since, .. } = attempt;
        let former = self.serving();
        let Some(life) = self.lives.get_mut(&generation) else { return };
        life.state = LifeState::Serving { since: now, proof: proof.clone() };
        life.configured = now;
        let configuration = life.configuration;
        todo.push(Action::Commit(generation));
        let attempted = attempt.over(None, self.another_one_serves(), now);
        let Attempted { by: askers, moved, carried, applied, took, .. } = &attempted;
        let (askers, moved, carried) = (askers.clone(), moved.clone(), carried.clone());
        let applied = applied.clone();
        let serving = Report::Serving { generation, proof: proof.clone(), moved: moved.clone(), took: *took };
        todo.push(Action::Report(serving));
        let all_moved = proof.all_moved(moved.clone());
        self.remember(Attempted { proof: Some(proof.clone()), moved: all_moved, ..attempted }, todo);
        if matches!(cause, Cause::Reload | Cause::Rollback) {
            self.crashes.reloaded(since);
        }
        let gave_way = self.served.replace(configuration);
        self.supersede(now, todo);
        if let Some(former) = former {
            self.served_until_now(former, now);
            self.drain(former, now, todo);
            self.count_a_reload();
        }
        self.succeeds(Succession { generation, configuration, gave_way, source, same_as, cause }, now, todo);
        self.remember_only(configuration, todo);
        let rolled_back = self.rolled_back.filter(|_| cause == Cause::Rollback);
        let serving = Answer::Serving { generation, proof, moved, carried, rolled_back, applied };
        answer(&askers, &serving, todo);
        self.after_an_attempt(now, todo);
    }

    /// How an attempt went, for the status and for the history.
    pub(super) fn remember(&mut self, attempted: Attempted, todo: &mut Vec<Action>) {
        todo.push(Action::Attempted(Box::new(attempted.clone())));
        self.last = Some(attempted);
    }

    /// These configurations may be wanted again, and no others.
    pub(super) fn remember_only(&self, serves: Generation, todo: &mut Vec<Action>) {
        let wanted = [Some(serves), self.good, self.before];
        todo.push(Action::RememberOnly(wanted.into_iter().flatten().collect()));
    }

    /// A generation gives way to its successor: what can be said of it and of its configuration.
    fn served_until_now(&mut self, generation: Generation, now: Duration) {
        let Some(life) = self.lives.get(&generation) else { return };
        let LifeState::Serving { since, .. } = life.state else { return };
        let (configuration, configured) = (life.configuration, life.configured);
        self.lived(now.saturating_sub(since));
        // It did not die: a kill of its successors is no start that fails.
        self.first_life = FirstLife::Lived;
        self.gives_way(configuration, configured, now);
    }

    /// A configuration has served since then, and gives way to another one. One that was replaced in a hurry is not trusted
    /// more than one that served for long.
    pub(super) fn gives_way(&mut self, configuration: Generation, configured: Duration, now: Duration) {
        if now.saturating_sub(configured) >= PROBATION || self.good.is_none() {
            self.good = Some(configuration);
        }
    }

    pub(super) fn drain(&mut self, generation: Generation, now: Duration, todo: &mut Vec<Action>) {
        if let Some(life) = self.lives.get_mut(&generation) {
            life.begins_to_drain(now);
            todo.push(Action::Drain(generation));
            todo.push(Action::Report(Report::Draining { generation }));
        }
    }
}
