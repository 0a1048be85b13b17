//! What `clearway status` tells about generations.

use std::time::Duration;

use serde::Serialize;

use crate::names::Generation;
use crate::strategy::Moved;

use super::event::Failure;
use super::{PROVEN_AGE, State, Supervisor};

/// How the last attempt went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempted {
    /// Which generation it was to be.
    pub generation: Generation,
    /// Unset: it took.
    pub failure: Option<Failure>,
    /// What was done for which listening socket of the former generation.
    pub moved: Vec<Moved>,
    /// Seconds since it was decided; filled in when asked.
    pub seconds_ago: u64,
    #[serde(skip)]
    at: Duration,
}

impl Attempted {
    pub(super) fn took(generation: Generation, moved: Vec<Moved>, at: Duration) -> Self {
        Self { generation, failure: None, moved, seconds_ago: 0, at }
    }

    pub(super) fn refused(generation: Generation, failure: Failure, at: Duration) -> Self {
        Self { generation, failure: Some(failure), moved: Vec::new(), seconds_ago: 0, at }
    }
}

/// One generation that has a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GenerationStatus {
    /// Its number.
    pub generation: Generation,
    /// `starting`, `serving` or `draining`.
    pub state: &'static str,
    /// HAProxy's master.
    pub master: u32,
    /// The process that accepts connections; unset until it has proved itself or while it drains.
    pub worker: Option<u32>,
    /// Seconds in this state; unset while starting.
    pub seconds: Option<u64>,
}

/// The state of the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// `starting`, `serving`, `reloading`, `restarting`, `superseded` or `stopping`.
    pub state: &'static str,
    /// Every generation that has a process, by number.
    pub generations: Vec<GenerationStatus>,
    /// How the last start or reload went.
    pub last_attempt: Option<Attempted>,
    /// Deaths and failed starts since it last served for a second.
    pub crashes_in_a_row: u32,
}

impl Supervisor {
    /// The state at this moment.
    pub fn status(&self, now: Duration) -> Status {
        let generations = self.lives.iter().map(|(generation, life)| {
            let (state, since, worker) = match &life.state {
                State::Proving => ("starting", None, None),
                State::Serving { since, proof } => ("serving", Some(*since), Some(proof.worker)),
                State::Draining { since } => ("draining", Some(*since), None),
            };
            let seconds = since.map(|since| now.saturating_sub(since).as_secs());
            GenerationStatus { generation: *generation, state, master: life.pid, worker, seconds }
        });
        let last_attempt = self.last.clone().map(|mut last| {
            last.seconds_ago = now.saturating_sub(last.at).as_secs();
            last
        });
        let settled = self.lives.values().any(|life| {
            matches!(life.state, State::Serving { since, .. } if now.saturating_sub(since) >= PROVEN_AGE)
        });
        Status {
            state: self.state_word(),
            generations: generations.collect(),
            last_attempt,
            crashes_in_a_row: if settled { 0 } else { self.young_deaths },
        }
    }

    fn state_word(&self) -> &'static str {
        match (self.stop.is_some(), self.serving().is_some(), self.attempt.is_some()) {
            (true, _, _) => "stopping",
            _ if self.announced.is_some() => "stopping",
            _ if self.is_superseded() => "superseded",
            (_, true, true) => "reloading",
            (_, true, false) => "serving",
            (_, false, _) if self.served.is_some() => "restarting",
            (_, false, _) => "starting",
        }
    }
}
