//! One try at a new generation, from its beginning to its commit: the start, a reload, or the start after a crash.
//! What asks for one is in `asking`, one that begins with a plan in `applying`, its commit in `commit`; what becomes of one
//! that fails is in `refusal`.

use std::time::Duration;

use crate::names::Generation;
use crate::strategy::Moved;

use super::action::{Action, Answer, answer};
use super::asker::Asker;
use super::carried::Carried;
use super::event::{PlumbingDemand, Source, Strictness};
use super::life::{Has, Life, LifeState};
use super::limits::{CARRY_DEADLINE, SWITCH_DEADLINE};
use super::machine::Supervisor;
use super::outcome::Cause;
use super::proof::Proof;
use super::report::Report;
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
        let generation = self.begin_at(AttemptStage::Preparing, purpose, source, askers, now);
        todo.push(match purpose {
            Purpose::Serve => Action::Prepare(generation, source),
            Purpose::Trial => Action::Try(generation),
        });
    }

    /// One begins at this stage, with the next number.
    pub(super) fn begin_at(
        &mut self,
        stage: AttemptStage,
        purpose: Purpose,
        source: Source,
        askers: Vec<Asker>,
        now: Duration,
    ) -> Generation {
        let generation = self.next;
        self.next = generation.next();
        self.restart = None;
        let cause = match askers.first() {
            Some(asker) if asker.rolls_back() => Cause::Rollback,
            Some(_) => Cause::Reload,
            None if self.serving().is_some() => Cause::Mend,
            None if self.served.is_some() => Cause::Crash,
            None => Cause::Start,
        };
        self.attempt = Some(Attempt {
            generation,
            purpose,
            source,
            same_as: None,
            cause,
            askers,
            since: now,
            stage,
            applied: None,
            entered: now,
            steps: Steps::default(),
            moved: Vec::new(),
            carried: Carried::default(),
            misplaced: None,
            strictness: Strictness::Strict,
        });
        generation
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
            started_from: source.read_for(generation),
            configuration: source.read_for(generation),
            configured: Duration::ZERO,
            has: Has::ItsConfiguration,
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

    /// It listens where no client waits, now that the one that serves is about to be told to have ended.
    pub(super) fn misplaced(&mut self, generation: Generation, failure: Failure) {
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.generation == generation) {
            attempt.misplaced = Some(failure);
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
