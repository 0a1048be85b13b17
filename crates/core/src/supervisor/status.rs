//! What `clearway status` tells about generations.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::Display;

use crate::names::Generation;
use crate::programs;
use crate::strategy::Moved;

use super::carried::Carried;
use super::{PROVEN_AGE, State, Supervisor};
use crate::failure::Failure;

/// What a Clearway is about. Its words are those of `clearway status`, also as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Phase {
    /// Nothing has served yet.
    Starting,
    /// A generation serves.
    Serving,
    /// A generation serves, and the next one is being started.
    Reloading,
    /// The generation that served has ended, and another one is being started.
    Restarting,
    /// Another Clearway has the name and the sockets; the sessions that are left finish here.
    Superseded,
    /// It was told to stop, or has failed.
    Stopping,
    /// A word of a later version, where it is read.
    #[serde(other)]
    Unknown,
}

/// What a generation is about, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum LifePhase {
    /// It has not proved itself yet.
    Starting,
    /// New clients come to it.
    Serving,
    /// It accepts nothing more, and its sessions finish.
    Draining,
    /// A word of a later version, where it is read.
    #[serde(other)]
    Unknown,
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Clearway has begun.
    Start,
    /// A reload was asked for.
    Reload,
    /// The generation that served has ended although it was not asked to.
    Crash,
    /// A word of a later version, where it is read, or none of an earlier one.
    #[serde(other)]
    Unknown,
}

/// How often a generation that served has ended although it was not asked to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crashes {
    /// Since Clearway began.
    pub total: u32,
    /// Of these, how many since a reload was asked for that took.
    pub since_reload: u32,
    /// The last one.
    pub last: Option<Crash>,
}

/// The end of a generation that served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Which.
    pub generation: Generation,
    /// Exit code or signal, in words.
    pub how: String,
    /// When, since Clearway began.
    pub at: Duration,
}

impl Crashes {
    pub(super) fn count(&mut self, generation: Generation, how: &str, at: Duration) {
        self.total = self.total.saturating_add(1);
        self.since_reload = self.since_reload.saturating_add(1);
        self.last = Some(Crash { generation, how: how.to_owned(), at });
    }

    /// A reload succeeded that was begun at this time: what asked for it may have known of what came before.
    pub(super) fn reloaded(&mut self, begun: Duration) {
        if self.last.as_ref().is_some_and(|last| last.at <= begun) {
            self.since_reload = 0;
        }
    }
}

/// How the last attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Which generation it was to be.
    pub generation: Generation,
    /// Why there was one.
    pub cause: Cause,
    /// Unset: it took.
    pub failure: Option<Failure>,
    /// What was done for which listening socket of the former generation.
    pub moved: Vec<Moved>,
    /// What it has of the state of the servers.
    pub carried: Carried,
    /// When it was decided, since Clearway began.
    pub at: Duration,
}

impl Attempted {
    pub(super) fn took(
        generation: Generation,
        cause: Cause,
        moved: Vec<Moved>,
        carried: Carried,
        at: Duration,
    ) -> Self {
        Self { generation, cause, failure: None, moved, carried, at }
    }

    pub(super) fn refused(generation: Generation, cause: Cause, failure: Failure, at: Duration) -> Self {
        let (moved, carried) = (Vec::new(), Carried::default());
        Self { generation, cause, failure: Some(failure), moved, carried, at }
    }
}

/// One generation that has a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GenerationStatus {
    /// Its number.
    pub generation: Generation,
    /// What it is about.
    pub state: LifePhase,
    /// HAProxy's master.
    pub master: u32,
    /// The process that accepts connections; unset until it has proved itself, and while it drains: the shell knows it.
    pub worker: Option<u32>,
    /// Seconds in this state; unset while starting.
    pub seconds: Option<u64>,
}

/// The state of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is about.
    pub state: Phase,
    /// Every generation that has a process, by number.
    pub generations: Vec<GenerationStatus>,
    /// How the last start or reload went.
    pub last_attempt: Option<Attempted>,
    /// The programs of `program` sections.
    pub programs: Vec<programs::ProgramView>,
    /// Deaths and failed starts since it last served for a second.
    pub crashes_in_a_row: u32,
    /// Deaths of generations that served.
    pub crashes: Crashes,
}

impl Supervisor {
    /// The state at this moment.
    pub fn status(&self, now: Duration) -> Status {
        let generations = self.lives.iter().map(|(generation, life)| {
            let (state, since, worker) = match &life.state {
                State::Proving => (LifePhase::Starting, None, None),
                State::Serving { since, proof } => (LifePhase::Serving, Some(*since), Some(proof.worker)),
                State::Draining { since } => (LifePhase::Draining, Some(*since), None),
            };
            let seconds = since.map(|since| now.saturating_sub(since).as_secs());
            GenerationStatus { generation: *generation, state, master: life.pid, worker, seconds }
        });
        let settled = self.lives.values().any(|life| {
            matches!(life.state, State::Serving { since, .. } if now.saturating_sub(since) >= PROVEN_AGE)
        });
        Status {
            state: self.phase(),
            generations: generations.collect(),
            last_attempt: self.last.clone(),
            programs: self.programs.status(now),
            crashes_in_a_row: if settled { 0 } else { self.young_deaths },
            crashes: self.crashes.clone(),
        }
    }

    fn phase(&self) -> Phase {
        match (self.stop.is_some(), self.serving().is_some(), self.attempt.is_some()) {
            _ if self.announced.is_some() => Phase::Stopping,
            // Also when the successor has settled and the end has begun, which no one asked for.
            _ if self.drains_as_planned() => Phase::Superseded,
            (true, _, _) => Phase::Stopping,
            (_, true, true) => Phase::Reloading,
            (_, true, false) => Phase::Serving,
            (_, false, _) if self.served.is_some() => Phase::Restarting,
            (_, false, _) => Phase::Starting,
        }
    }
}
