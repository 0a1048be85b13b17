//! One try at a new generation, from its beginning to its commit: the start, a reload, or the start after a crash.
//! What becomes of one that fails is in `refusal`.

use std::time::Duration;

use crate::names::Generation;
use crate::strategy::Moved;

use super::action::{Action, Answer, answer};
use super::carried::Carried;
use super::event::{Asker, PlumbingDemand, Proof, Source, Strictness};
use super::life::{FirstLife, Life, LifeState};
use super::limits::{CARRY_DEADLINE, PROBATION, SWITCH_DEADLINE};
use super::machine::Supervisor;
use super::outcome::{Attempted, Cause};
use super::report::Report;
use super::rollback::Succession;
use super::stage::{Attempt, AttemptStage, Purpose};
use super::steps::Steps;
use crate::failure::Failure;

impl Supervisor {
    /// A new generation is wanted; `askers` is empty at the start and after a crash.
    pub(super) fn begin_attempt(
        &mut self,
        source: Source,
        askers: Vec<Asker>,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        self.begin(Purpose::Serve, source, askers, now, todo);
    }

    /// The same, to serve or not.
    pub(super) fn begin(
        &mut self,
        purpose: Purpose,
        source: Source,
        askers: Vec<Asker>,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let generation = self.next;
        self.next = generation.next();
        self.restart = None;
        let cause = match askers.first() {
            Some(asker) if asker.rolls_back() => Cause::Rollback,
            Some(_) => Cause::Reload,
            None if self.served.is_some() => Cause::Crash,
            None => Cause::Start,
        };
        let stage = AttemptStage::Preparing;
        self.attempt = Some(Attempt {
            generation,
            purpose,
            source,
            same_as: None,
            cause,
            askers,
            since: now,
            stage,
            entered: now,
            steps: Steps::default(),
            moved: Vec::new(),
            carried: Carried::default(),
            misplaced: None,
            strictness: Strictness::Strict,
        });
        todo.push(match purpose {
            Purpose::Serve => Action::Prepare(generation, source),
            Purpose::Trial => Action::Try(generation),
        });
    }

    /// A reload or a rollback is asked for.
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
            if !by.rolls_back() {
                todo.push(Action::Report(Report::ReloadAsked { by }));
            }
            self.begin_asked(vec![by], now, todo);
        }
    }

    /// What these want, which is the same for all of them.
    fn begin_asked(&mut self, askers: Vec<Asker>, now: Duration, todo: &mut Vec<Action>) {
        let Some(by) = askers.iter().find(|asker| asker.rolls_back()).copied() else {
            // A reload that was asked for means what is on the disk.
            return self.begin_attempt(Source::Disk, askers, now, todo);
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
        todo.push(Action::Report(Report::Replaced { generation, worker }));
        match &mut life.state {
            LifeState::Draining { .. } => return todo.push(Action::Drain(generation)),
            LifeState::Serving { proof, .. } => proof.worker = worker,
            LifeState::Proving => {}
        }
        self.asked(Asker::Master, now, todo);
    }

    pub(super) fn prepared(
        &mut self,
        generation: Generation,
        plumbing: PlumbingDemand,
        most_reloads: Option<u32>,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        // Known even if the attempt is over by now: what was plumbed has to be taken out again.
        self.plumbed |= plumbing == PlumbingDemand::Needed;
        let until = now + self.limits.ready;
        match &mut self.attempt {
            Some(attempt)
                if attempt.generation == generation && matches!(attempt.stage, AttemptStage::Preparing) =>
            {
                attempt.enter(AttemptStage::Proving { plumbing, most_reloads, until }, now);
                todo.push(Action::Launch(generation, attempt.strictness));
            }
            _ => todo.push(Action::Abandon(generation)),
        }
    }

    pub(super) fn started(&mut self, generation: Generation, pid: u32, todo: &mut Vec<Action>) {
        let Some(Attempt { generation: current, source, stage, .. }) = &self.attempt else { return };
        let AttemptStage::Proving { plumbing, most_reloads, .. } = stage else { return };
        if *current != generation {
            return;
        }
        let life = Life {
            pid,
            configuration: source.read_for(generation),
            plumbing: *plumbing,
            most_reloads: *most_reloads,
            outlived: 0,
            state: LifeState::Proving,
            has_proved: false,
            reminder: None,
        };
        self.lives.insert(generation, life);
        todo.push(Action::Report(Report::Started { generation, pid }));
    }

    /// It answers: it is given what is known of its servers, before it accepts clients.
    pub(super) fn proved(
        &mut self,
        generation: Generation,
        proof: Proof,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let life = self.lives.get_mut(&generation);
        let is_there = life.map(Life::proves_itself).is_some();
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.generation == generation) else {
            // Too late: it was told to finish, perhaps before it could hear that.
            if is_there {
                todo.push(Action::Abandon(generation));
                todo.push(Action::Drain(generation));
            }
            return;
        };
        if !is_there || !matches!(attempt.stage, AttemptStage::Proving { .. }) {
            return;
        }
        if attempt.purpose == Purpose::Trial {
            return self.tried(generation, proof, now, todo);
        }
        attempt.enter(AttemptStage::Carrying { proof, until: now + CARRY_DEADLINE }, now);
        todo.push(Action::Carry(generation));
    }

    /// It has what could be had of the state of the servers. While another one serves, it has to show that it lives on.
    pub(super) fn carried(
        &mut self,
        generation: Generation,
        carried: Carried,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let beside = self.serving().is_some() || self.another_one_serves();
        let settle = self.limits.settle;
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.generation == generation) else {
            return;
        };
        let AttemptStage::Carrying { proof, .. } = &attempt.stage else { return };
        let proof = proof.clone();
        attempt.enter(AttemptStage::Settling { proof, until: now + settle }, now);
        if !carried.is_nothing() {
            todo.push(Action::Report(Report::Carried { generation, carried: carried.clone() }));
        }
        attempt.carried = carried;
        if !beside {
            self.commit_ready(now, todo);
        } else if settle.is_zero() {
            self.settled(now, todo);
        }
    }

    /// It has lived on for long enough. What it has not taken over would lose clients if it were closed now.
    pub(super) fn settled(&mut self, now: Duration, todo: &mut Vec<Action>) {
        if let Some(attempt) = &mut self.attempt
            && let AttemptStage::Settling { proof, .. } = &attempt.stage
            && !proof.unclaimed.is_empty()
        {
            let proof = proof.clone();
            attempt.enter(AttemptStage::Switching { proof, until: now + SWITCH_DEADLINE }, now);
            todo.push(Action::Switch(attempt.generation));
        } else {
            self.commit_ready(now, todo);
        }
    }

    /// No client waits any more in a socket that the commit closes.
    pub(super) fn switched(
        &mut self,
        generation: Generation,
        moved: Vec<Moved>,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let switching = |one: &&mut Attempt| {
            one.generation == generation && matches!(one.stage, AttemptStage::Switching { .. })
        };
        if let Some(attempt) = self.attempt.as_mut().filter(switching) {
            attempt.moved = moved;
            self.commit_ready(now, todo);
        }
    }

    /// The commit, if there is something to commit: from here on the new generation serves.
    pub(super) fn commit_ready(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let Some(attempt) = self.attempt.take_if(|attempt| attempt.ready().is_some()) else { return };
        let Some(proof) = attempt.ready().cloned() else { return };
        let Attempt { generation, source, same_as, cause, since, .. } = attempt;
        let former = self.serving();
        let Some(life) = self.lives.get_mut(&generation) else { return };
        life.state = LifeState::Serving { since: now, proof: proof.clone() };
        let configuration = life.configuration;
        todo.push(Action::Commit(generation));
        let attempted = attempt.over(None, self.another_one_serves(), now);
        let Attempted { by: askers, moved, carried, took, .. } = &attempted;
        let (askers, moved, carried) = (askers.clone(), moved.clone(), carried.clone());
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
        let wanted = [Some(configuration), self.good, self.before];
        todo.push(Action::RememberOnly(wanted.into_iter().flatten().collect()));
        let rolled_back = self.rolled_back.filter(|_| cause == Cause::Rollback);
        answer(&askers, &Answer::Serving { generation, proof, moved, carried, rolled_back }, todo);
        self.after_an_attempt(now, todo);
    }

    /// How an attempt went, for the status and for the history.
    pub(super) fn remember(&mut self, attempted: Attempted, todo: &mut Vec<Action>) {
        todo.push(Action::Attempted(Box::new(attempted.clone())));
        self.last = Some(attempted);
    }

    /// A generation gives way to its successor: what can be said of it and of its configuration.
    fn served_until_now(&mut self, generation: Generation, now: Duration) {
        let Some(&Life { configuration, state: LifeState::Serving { since, .. }, .. }) =
            self.lives.get(&generation)
        else {
            return;
        };
        let age = now.saturating_sub(since);
        self.lived(age);
        // It did not die: a kill of its successors is no start that fails.
        self.first_life = FirstLife::Lived;
        // One that was replaced in a hurry is not trusted more than one that served for long.
        if age >= PROBATION || self.good.is_none() {
            self.good = Some(configuration);
        }
    }

    /// It listens where no client waits, now that the one that serves is about to be told to have ended.
    pub(super) fn misplaced(&mut self, generation: Generation, failure: Failure) {
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.generation == generation) {
            attempt.misplaced = Some(failure);
        }
    }

    /// Requests that came meanwhile become one more attempt.
    pub(super) fn after_an_attempt(&mut self, now: Duration, todo: &mut Vec<Action>) {
        if !self.role.refuses_reloads() {
            self.begin_what_waits(now, todo);
        }
    }

    pub(super) fn drain(&mut self, generation: Generation, now: Duration, todo: &mut Vec<Action>) {
        if let Some(life) = self.lives.get_mut(&generation) {
            life.begins_to_drain(now);
            todo.push(Action::Drain(generation));
            todo.push(Action::Report(Report::Draining { generation }));
        }
    }

    /// A stop ends the attempt: nothing new begins, requests that wait are answered.
    pub(super) fn cancel_attempt(&mut self, todo: &mut Vec<Action>) {
        self.restart = None;
        if let Some(attempt) = self.attempt.take() {
            answer(&attempt.askers, &Answer::Stopping, todo);
            todo.push(Action::Abandon(attempt.generation));
        }
        answer(&std::mem::take(&mut self.waiting), &Answer::Stopping, todo);
    }
}
