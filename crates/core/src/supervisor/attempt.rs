//! One try at a new generation: the start, a reload, or the start after a crash.

use std::time::Duration;

use crate::exit::ExitCode;
use crate::names::Generation;

use super::event::{Action, Answer, Asker, Failure, Plumbing, Proof};
use super::report::Report;
use super::status::Attempted;
use super::{GRACE, Life, State, Supervisor};

/// An attempt under way. At most one exists.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) generation: Generation,
    askers: Vec<Asker>,
    since: Duration,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Preparing,
    /// Launched; what it says counts until then.
    Proving {
        plumbing: Plumbing,
        until: Duration,
    },
    /// HAProxy closed its private socket: its end will tell why.
    Ending {
        until: Duration,
        failure: Failure,
    },
}

impl Attempt {
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.stage {
            Stage::Preparing => None,
            Stage::Proving { until, .. } | Stage::Ending { until, .. } => Some(until),
        }
    }
}

impl Supervisor {
    /// A new generation is wanted, by nobody in particular at the start and after a crash.
    pub(super) fn begin_attempt(&mut self, askers: Vec<Asker>, now: Duration, todo: &mut Vec<Action>) {
        let generation = self.next;
        self.next = generation.next();
        self.restart_at = None;
        self.attempt = Some(Attempt { generation, askers, since: now, stage: Stage::Preparing });
        todo.push(Action::Prepare(generation));
    }

    pub(super) fn reload_asked(&mut self, by: Asker, now: Duration, todo: &mut Vec<Action>) {
        if self.stop.is_some() {
            todo.push(Action::Report(Report::ReloadIgnored(by)));
            answer(&[by], &Answer::Stopping, todo);
        } else if self.attempt.is_some() {
            // Signals need no memory of their own: one that waits stands for all of its name.
            if matches!(by, Asker::Admin(_)) || !self.waiting.contains(&by) {
                self.waiting.push(by);
                todo.push(Action::Report(Report::ReloadQueued(by)));
            }
        } else {
            todo.push(Action::Report(Report::ReloadAsked(by)));
            self.begin_attempt(vec![by], now, todo);
        }
    }

    pub(super) fn prepared(
        &mut self,
        generation: Generation,
        plumbing: Plumbing,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        // Known even if the attempt is over by now: what was plumbed has to be taken out again.
        self.plumbed |= plumbing == Plumbing::Needed;
        let until = now + self.limits.ready;
        match &mut self.attempt {
            Some(attempt)
                if attempt.generation == generation && matches!(attempt.stage, Stage::Preparing) =>
            {
                attempt.stage = Stage::Proving { plumbing, until };
                todo.push(Action::Launch(generation));
            }
            _ => todo.push(Action::Abandon(generation)),
        }
    }

    pub(super) fn started(&mut self, generation: Generation, pid: u32, todo: &mut Vec<Action>) {
        let plumbing = match &self.attempt {
            Some(Attempt { generation: current, stage: Stage::Proving { plumbing, .. }, .. })
                if *current == generation =>
            {
                *plumbing
            }
            _ => return,
        };
        self.lives.insert(generation, Life { pid, plumbing, state: State::Proving });
        todo.push(Action::Report(Report::Started(generation, pid)));
    }

    /// The commit: from here on the new generation serves.
    pub(super) fn proved(
        &mut self,
        generation: Generation,
        proof: Proof,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let mine = self.attempt.take_if(|attempt| attempt.generation == generation);
        let Some(attempt) = mine else {
            // Too late: it was told to finish, perhaps before it could hear that.
            if self.lives.contains_key(&generation) {
                todo.push(Action::Drain(generation));
            }
            return;
        };
        let former = self.serving();
        let Some(life) = self.lives.get_mut(&generation) else { return };
        life.state = State::Serving { since: now, proof: proof.clone() };
        todo.push(Action::Commit(generation));
        let took = now.saturating_sub(attempt.since);
        todo.push(Action::Report(Report::Serving { generation, proof: proof.clone(), took }));
        self.last = Some(Attempted::took(generation, now));
        self.ever_served = true;
        if let Some(former) = former {
            self.drain(former, now, todo);
        }
        answer(&attempt.askers, &Answer::Serving(generation, proof), todo);
        self.after_an_attempt(now, todo);
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
            Some(attempt) if attempt.generation == generation => {
                if failure.closed && self.lives.contains_key(&generation) {
                    attempt.stage = Stage::Ending { until: now + GRACE, failure };
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
            Stage::Ending { failure, .. } => failure.clone(),
            _ => Failure::new(
                ExitCode::NotReady,
                format!("HAProxy did not answer within {} s", self.limits.ready.as_secs_f32()),
            )
            .hint("a configuration that takes longer to load needs a higher CLEARWAY_READY_TIMEOUT"),
        };
        self.attempt_over(attempt.generation, failure, now, todo);
    }

    /// The attempt came to nothing. The former generation serves on; without one Clearway tries again,
    /// and if there never was one it leaves.
    pub(super) fn attempt_over(
        &mut self,
        generation: Generation,
        failure: Failure,
        now: Duration,
        todo: &mut Vec<Action>,
    ) {
        let Some(attempt) = self.attempt.take_if(|attempt| attempt.generation == generation) else { return };
        let serving = self.serving();
        let code = failure.code;
        todo.push(Action::Report(Report::Refused { generation, failure: failure.clone(), serving }));
        todo.push(Action::Abandon(generation));
        answer(&attempt.askers, &Answer::Refused(failure.clone()), todo);
        self.last = Some(Attempted::refused(generation, failure, now));
        if self.lives.contains_key(&generation) {
            self.drain(generation, now, todo);
        }
        if self.stop.is_some() {
            self.after_an_end(todo);
        } else if serving.is_none() && !self.ever_served {
            self.stop_with(code, now, todo);
        } else {
            if serving.is_none() {
                self.restart_at = Some(now + self.pause());
            }
            self.after_an_attempt(now, todo);
            self.after_an_end(todo);
        }
    }

    /// Requests that came meanwhile become one more attempt.
    fn after_an_attempt(&mut self, now: Duration, todo: &mut Vec<Action>) {
        if !self.waiting.is_empty() {
            let askers = std::mem::take(&mut self.waiting);
            self.begin_attempt(askers, now, todo);
        }
    }

    pub(super) fn drain(&mut self, generation: Generation, now: Duration, todo: &mut Vec<Action>) {
        if let Some(life) = self.lives.get_mut(&generation) {
            life.state = State::Draining { since: now };
            todo.push(Action::Drain(generation));
            todo.push(Action::Report(Report::Draining(generation)));
        }
    }

    /// A stop ends the attempt: nothing new begins, whoever waits is told.
    pub(super) fn cancel_attempt(&mut self, todo: &mut Vec<Action>) {
        self.restart_at = None;
        if let Some(attempt) = self.attempt.take() {
            answer(&attempt.askers, &Answer::Stopping, todo);
            todo.push(Action::Abandon(attempt.generation));
        }
        answer(&std::mem::take(&mut self.waiting), &Answer::Stopping, todo);
    }
}

/// Answers those who wait; a signal does not.
fn answer(askers: &[Asker], answer: &Answer, todo: &mut Vec<Action>) {
    todo.extend(askers.iter().filter_map(|asker| match asker {
        Asker::Admin(request) => Some(Action::Answer(*request, answer.clone())),
        Asker::Signal(_) | Asker::Drain => None,
    }));
}
