//! What becomes of an attempt that fails: its process is gone, it does not answer, or the shell could not do its part.

use std::time::Duration;

use super::action::{Action, Answer, answer};
use super::carried::Carried;
use super::end::End;
use super::event::{Source, Strictness};
use super::limits::{GRACE, SWITCH_DEADLINE};
use super::machine::Supervisor;
use super::report::Report;
use super::stage::{Attempt, AttemptStage, Purpose};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::names::Generation;

impl Supervisor {
    /// The process of the attempt is gone, so nothing is committed any more. Its last words are waited for.
    pub(super) fn attempt_gone(&mut self, generation: Generation, end: &End, now: Duration) {
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.generation == generation) else {
            return;
        };
        if matches!(attempt.stage, AttemptStage::Tried { .. }) {
            return;
        }
        let was_ready = attempt.has_proved();
        let message = if was_ready {
            format!("HAProxy was ready, and then ended by itself ({end})")
        } else {
            format!("HAProxy ended before it was ready ({end})")
        };
        let failure = Failure::new(ExitCode::NotReady, message);
        attempt.enter(AttemptStage::Gone { until: now + GRACE, failure, was_ready, end: *end }, now);
    }

    /// The last words of a process that is gone: if it was the attempt's, they tell why that failed.
    pub(super) fn attempt_explained(
        &mut self,
        generation: Generation,
        told: Failure,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let failure = match &self.attempt {
            Some(Attempt {
                generation: current,
                stage: AttemptStage::Gone { failure, was_ready, .. },
                ..
            }) if *current == generation => {
                if *was_ready {
                    Failure { message: failure.message.clone(), code: failure.code, ..told }
                } else {
                    told
                }
            }
            Some(Attempt { generation: current, stage: AttemptStage::Tried { .. }, .. })
                if *current == generation =>
            {
                return self.trial_over(generation, now, todo);
            }
            _ => return,
        };
        let is_strict = self.attempt.as_ref().is_some_and(|attempt| attempt.strictness == Strictness::Strict);
        if failure.lacks_only_ours && is_strict {
            self.attempt_again(generation, failure, now, todo);
        } else {
            self.attempt_over(generation, failure, now, todo);
        }
    }

    /// It would start without the descriptors that Clearway adds: it is started so at once, for the same askers.
    fn attempt_again(
        &mut self,
        generation: Generation,
        failure: Failure,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let Some(mut former) = self.attempt.take() else { return };
        former.count(now);
        let next = self.next;
        todo.push(Action::Report(Report::Again { generation, failure, next }));
        todo.push(Action::Abandon(generation));
        self.begin(former.purpose, former.source, former.askers, now, todo);
        if let Some(attempt) = &mut self.attempt {
            attempt.since = former.since;
            attempt.steps = former.steps;
            attempt.applied = former.applied;
            attempt.strictness = Strictness::Lenient;
        }
    }

    /// The shell says that preparing, launching or proving failed.
    pub(super) fn failed(
        &mut self,
        generation: Generation,
        failure: Failure,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        match &mut self.attempt {
            // That it does not answer is no news when it is gone.
            Some(attempt)
                if matches!(attempt.stage, AttemptStage::Gone { .. } | AttemptStage::Tried { .. }) => {}
            Some(attempt)
                if attempt.generation == generation
                    && matches!(attempt.stage, AttemptStage::Applying { .. }) =>
            {
                self.apply_failed(&failure, now, todo);
            }
            Some(attempt) if attempt.generation == generation => {
                if failure.closed && self.lives.contains_key(&generation) {
                    attempt.enter(AttemptStage::Ending { until: now + GRACE, failure }, now);
                } else {
                    self.attempt_over(generation, failure, now, todo);
                }
            }
            _ => {}
        }
    }

    pub(super) fn attempt_timed_out(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let Some(attempt) = &self.attempt else { return };
        let failure = match &attempt.stage {
            AttemptStage::Carrying { .. } => {
                let carried = Carried::failed("the state of the servers, which took too long");
                return self.carried(attempt.generation, carried, now, todo);
            }
            AttemptStage::Settling { .. } => return self.settled(now, todo),
            AttemptStage::Switching { .. } => return self.switch_timed_out(now, todo),
            AttemptStage::Tried { .. } => return self.trial_timed_out(attempt.generation, now, todo),
            AttemptStage::Ending { failure, .. } | AttemptStage::Gone { failure, .. } => failure.clone(),
            AttemptStage::Planning { .. } | AttemptStage::Applying { .. } => {
                return self.apply_timed_out(now, todo);
            }
            _ => Failure::new(
                ExitCode::NotReady,
                format!("HAProxy did not answer within {} s", self.limits.ready.as_secs_f32()),
            )
            .hint("a configuration that takes longer to load needs a higher CLEARWAY_READY_TIMEOUT"),
        };
        self.attempt_over(attempt.generation, failure, now, todo);
    }

    /// The commit comes all the same. But a predecessor would keep sockets open of which we do not know that they are to be
    /// closed to new clients, and as long as it does another one serves.
    fn switch_timed_out(&mut self, now: Duration, todo: &mut Vec<Action>) {
        let has_predecessor = self.has_predecessor();
        match self.attempt.as_mut().map(|attempt| &mut attempt.stage) {
            Some(AttemptStage::Switching { until, .. }) if has_predecessor => *until = now + SWITCH_DEADLINE,
            _ => self.commit_ready(now, todo),
        }
    }

    /// The attempt failed. The former generation is still serving; without one Clearway tries again,
    /// and if there never was one it leaves.
    pub(super) fn attempt_over(
        &mut self,
        generation: Generation,
        failure: Failure,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let Some(attempt) = self.attempt.take_if(|attempt| attempt.generation == generation) else { return };
        if attempt.purpose == Purpose::Trial {
            return self.trial_refused(&attempt, failure, now, todo);
        }
        let serving = self.serving();
        let code = failure.code;
        todo.push(Action::Report(Report::Refused { generation, failure: failure.clone(), serving }));
        todo.push(Action::Abandon(generation));
        answer(&attempt.askers, &Answer::Refused(failure.clone()), todo);
        let source = attempt.source;
        let attempted = attempt.over(Some(failure), self.another_one_serves(), now);
        self.remember(attempted, todo);
        if self.lives.contains_key(&generation) {
            self.drain(generation, now, todo);
        }
        if self.stop.is_some() {
            self.after_an_end(now, todo);
        } else if serving.is_none() && self.served.is_none() && !self.inherited {
            self.stop_with(code, now, todo);
        } else {
            if serving.is_none() {
                self.restart_after_a_refusal(source, now);
            } else {
                self.mend_after_a_refusal(source, now);
            }
            self.after_an_attempt(now, todo);
            self.after_an_end(now, todo);
        }
    }

    /// No generation serves, and the attempt failed. What was trusted, what served last and what is on the disk
    /// are tried in turns: the one may not start any more (its certificate is gone), the other may not live, and
    /// while none serves even a file that no reload asked for is better than nothing.
    fn restart_after_a_refusal(&mut self, tried: Source, now: Duration) {
        let at = now + self.pause();
        let mut turns: Vec<Source> = self.good.into_iter().chain(self.served).map(Source::Served).collect();
        turns.dedup();
        turns.push(Source::Disk);
        let next = turns.iter().position(|turn| *turn == tried).map_or(0, |place| place + 1);
        let source = turns.get(next).or(turns.first()).copied().unwrap_or(Source::Disk);
        self.restart = Some(super::Restart { at, source });
    }
}
