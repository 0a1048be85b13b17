//! How far an attempt is.

use std::time::Duration;

use super::asker::Asker;
use super::carried::Carried;
use super::end::End;
use super::event::{PlumbingDemand, Source, Strictness};
use super::outcome::{AttemptResult, Attempted, Cause};
use super::planned::Applied;
use super::proof::Proof;
use super::steps::Steps;
use crate::failure::Failure;
use crate::names::Generation;
use crate::strategy::Moved;

/// An attempt under way. At most one exists.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) generation: Generation,
    pub(super) purpose: Purpose,
    pub(super) source: Source,
    /// A former generation for which the same was read.
    pub(super) same_as: Option<Generation>,
    pub(super) cause: Cause,
    pub(super) askers: Vec<Asker>,
    pub(super) since: Duration,
    pub(super) stage: AttemptStage,
    /// What came of its plan, if it began with one.
    pub(super) applied: Option<Applied>,
    /// Since when it is at this stage.
    pub(super) entered: Duration,
    /// How long the stages before took.
    pub(super) steps: Steps,
    /// What the switch has come to.
    pub(super) moved: Vec<Moved>,
    /// What it has of the state of the servers.
    pub(super) carried: Carried,
    /// Why it is not to take the place of the serving generation, whose end is told next.
    pub(super) misplaced: Option<Failure>,
    /// Lenient if it is the second start of what lacked only the descriptors that Clearway adds.
    pub(super) strictness: Strictness,
}

/// Whether it is to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is.
    Serve,
    /// It only shows whether it would ([`super::trial`]).
    Trial,
}

#[derive(Debug)]
pub(super) enum AttemptStage {
    /// What is on disk is compared with what this generation has, which serves.
    Planning {
        serving: Generation,
        until: Duration,
    },
    /// It is changed as it was planned.
    Applying {
        serving: Generation,
        tally: String,
        until: Duration,
    },
    Preparing,
    /// Launched; what it says counts until then.
    Proving {
        plumbing: PlumbingDemand,
        most_reloads: Option<u32>,
        until: Duration,
    },
    /// It has proved itself, and is given the state of the servers before it accepts clients.
    Carrying {
        proof: Proof,
        until: Duration,
    },
    /// It has that, and accepts beside the one that serves.
    Settling {
        proof: Proof,
        until: Duration,
    },
    /// It has settled, and clients are brought to it.
    Switching {
        proof: Proof,
        until: Duration,
    },
    /// A trial that has proved itself, and is told to end.
    Tried {
        proof: Proof,
        until: Duration,
    },
    /// HAProxy closed its private socket: its end will tell why.
    Ending {
        until: Duration,
        failure: Failure,
    },
    /// Its process is gone: its last words will tell why.
    Gone {
        until: Duration,
        /// What there is to say without them.
        failure: Failure,
        /// Whether that counts more than what they tell: it was ready, and no start was refused.
        was_ready: bool,
        /// How it ended.
        end: End,
    },
}

impl Attempt {
    /// It goes on to another stage.
    pub(super) fn enter(&mut self, stage: AttemptStage, now: Duration) {
        self.count(now);
        self.stage = stage;
    }

    /// What was planned is not done, or broke off. The files are read again, and may be others by now.
    pub(super) fn goes_on_as_a_reload(&mut self, applied: Applied, now: Duration) {
        self.applied = Some(applied);
        self.same_as = None;
        self.enter(AttemptStage::Preparing, now);
    }

    /// Counts the time at this stage.
    pub(super) fn count(&mut self, now: Duration) {
        let steps = &mut self.steps;
        let step = match self.stage {
            AttemptStage::Planning { .. } => &mut steps.plan,
            AttemptStage::Applying { .. } => &mut steps.apply,
            AttemptStage::Preparing => &mut steps.prepare,
            AttemptStage::Proving { .. } => &mut steps.prove,
            AttemptStage::Carrying { .. } => &mut steps.carry,
            AttemptStage::Settling { .. } => &mut steps.settle,
            AttemptStage::Switching { .. } => &mut steps.switch,
            AttemptStage::Tried { .. } | AttemptStage::Ending { .. } | AttemptStage::Gone { .. } => {
                &mut steps.end
            }
        };
        *step += now.saturating_sub(self.entered);
        self.entered = now;
    }

    /// It took, or was applied, unless there is a failure. What its generation has is not in it.
    pub(super) fn over(mut self, failure: Option<Failure>, takes_over: bool, now: Duration) -> Attempted {
        self.count(now);
        let (result, end) = match (&failure, self.stage) {
            (None, AttemptStage::Planning { .. } | AttemptStage::Applying { .. }) => {
                (AttemptResult::Applied, None)
            }
            (None, _) => (AttemptResult::Took, None),
            (_, AttemptStage::Gone { was_ready: false, end, .. }) => (AttemptResult::Refused, Some(end)),
            (_, AttemptStage::Gone { end, .. }) => (AttemptResult::Failed, Some(end)),
            _ => (AttemptResult::Failed, None),
        };
        let carried = if failure.is_none() { self.carried } else { Carried::default() };
        Attempted {
            generation: self.generation,
            cause: self.cause,
            by: self.askers,
            takes_over,
            result,
            end,
            failure,
            moved: self.moved,
            applied: self.applied,
            proof: None,
            carried,
            steps: self.steps,
            took: now.saturating_sub(self.since),
            at: now,
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.stage {
            AttemptStage::Preparing => None,
            AttemptStage::Planning { until, .. }
            | AttemptStage::Applying { until, .. }
            | AttemptStage::Proving { until, .. }
            | AttemptStage::Carrying { until, .. }
            | AttemptStage::Settling { until, .. }
            | AttemptStage::Switching { until, .. }
            | AttemptStage::Ending { until, .. }
            | AttemptStage::Tried { until, .. }
            | AttemptStage::Gone { until, .. } => Some(until),
        }
    }

    /// What it has proved, if it could be committed.
    pub(super) fn ready(&self) -> Option<&Proof> {
        match &self.stage {
            AttemptStage::Settling { proof, .. } | AttemptStage::Switching { proof, .. } => Some(proof),
            _ => None,
        }
    }

    /// Whether it has proved itself, and its process is not known to be gone.
    pub(super) fn has_proved(&self) -> bool {
        matches!(self.stage, AttemptStage::Carrying { .. }) || self.ready().is_some()
    }
}
