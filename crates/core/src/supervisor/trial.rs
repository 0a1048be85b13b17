//! An attempt that ends before its commit, on purpose: `clearway reload --dry-run`.
//!
//! ```text
//!   TrialAsked -> Try -> Prepared: Launch -> Proved: End -> gone: Answer
//!                  |                  |
//!                  +------------------+--> Answer (refused), as an attempt
//! ```
//!
//! It is begun only while a generation serves and no attempt is under way, and is given up if that generation ends.
//! Reloads that are asked for meanwhile follow it. Its number is used again, if nothing of it is left. It tells nothing
//! about the last reload, and is no reason to start anything.

use std::time::Duration;

use crate::exit::ExitCode;
use crate::names::Generation;

use super::action::{Action, Answer, answer};
use super::asker::{Asker, RequestId};
use super::event::{How, Source};
use super::limits::GRACE;
use super::machine::Supervisor;
use super::proof::Proof;
use super::report::Report;
use super::stage::{Attempt, AttemptStage, Purpose};
use crate::failure::Failure;

impl Supervisor {
    /// Whether a generation would serve is to be tried.
    pub(super) fn trial_asked(&mut self, request: RequestId, now: Duration, todo: &mut Vec<Action>) {
        let asker = Asker::Admin(request);
        if self.stop.is_some() || self.is_superseded() {
            return answer(&[asker], &Answer::Stopping, todo);
        }
        let is_busy = self.attempt.is_some() || self.restart.is_some() || self.serving().is_none();
        if is_busy || self.role.refuses_reloads() {
            let message = "nothing can be tried now: a start, a reload or a takeover is under way";
            let failure = Failure::new(ExitCode::NotReady, message).hint("try again when it is over");
            return answer(&[asker], &Answer::Refused(failure), todo);
        }
        let generation = self.next;
        todo.push(Action::Report(Report::TrialAsked { generation }));
        self.begin(Purpose::Trial, Source::Disk, vec![asker], now, todo);
    }

    /// It would serve. The request is answered when nothing of it is left.
    pub(super) fn tried(
        &mut self,
        generation: Generation,
        proof: Proof,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let Some(attempt) = &mut self.attempt else { return };
        attempt.enter(AttemptStage::Tried { proof, until: now + GRACE }, now);
        todo.push(Action::Report(Report::Tried { generation }));
        // It has accepted nothing.
        todo.push(Action::End(generation, How::Terminate));
    }

    /// It does not end, or its last words are not heard.
    pub(super) fn trial_timed_out(&mut self, generation: Generation, now: Duration, todo: &mut Vec<Action>) {
        if !self.lives.contains_key(&generation) {
            return self.trial_over(generation, now, todo);
        }
        if let Some(Attempt { stage: AttemptStage::Tried { until, .. }, .. }) = &mut self.attempt {
            *until = now + GRACE;
            todo.push(Action::End(generation, How::Kill));
        }
    }

    /// It would not serve.
    pub(super) fn trial_refused(
        &mut self,
        attempt: &Attempt,
        failure: Failure,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let generation = attempt.generation;
        todo.push(Action::Report(Report::TrialRefused { generation, failure: failure.clone() }));
        todo.push(Action::Abandon(generation));
        answer(&attempt.askers, &Answer::Refused(failure), todo);
        if self.lives.contains_key(&generation) {
            self.drain(generation, now, todo);
        }
        self.trial_left(generation, now, todo);
    }

    /// Everything of it is gone.
    pub(super) fn trial_over(&mut self, generation: Generation, now: Duration, todo: &mut Vec<Action>) {
        let Some(attempt) = self.attempt.take_if(|attempt| attempt.generation == generation) else { return };
        if let AttemptStage::Tried { proof, .. } = attempt.stage {
            answer(&attempt.askers, &Answer::Tried { proof, changes: Vec::new() }, todo);
        }
        todo.push(Action::Abandon(generation));
        self.trial_left(generation, now, todo);
    }

    /// What serves has ended: that counts more.
    pub(super) fn give_up_a_trial(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let Some(attempt) = self.attempt.take_if(|attempt| attempt.purpose == Purpose::Trial) else { return };
        let generation = attempt.generation;
        let message = "the generation that serves has ended meanwhile";
        let failure = Failure::new(ExitCode::NotReady, message).hint("try again when one serves");
        todo.push(Action::Abandon(generation));
        answer(&attempt.askers, &Answer::Refused(failure), todo);
        if self.lives.contains_key(&generation) {
            self.drain(generation, now, todo);
        }
    }

    fn trial_left(&mut self, generation: Generation, now: Duration, todo: &mut Vec<Action>) {
        let is_gone = !self.lives.contains_key(&generation) && !self.unheard.contains(&generation);
        if is_gone && self.next == generation.next() {
            self.next = generation;
        }
        self.after_an_attempt(now, todo);
        self.after_an_end(now, todo);
    }
}
