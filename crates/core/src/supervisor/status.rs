//! What `clearway status` tells about generations.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::Display;

use crate::names::Generation;
use crate::programs;

use super::life::LifeState;
use super::limits::PROVEN_AGE;
use super::machine::Supervisor;
use super::outcome::{Attempted, Crashes, RolledBack};

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

/// One generation that has a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GenerationView {
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
pub struct SupervisorStatus {
    /// What it is about.
    pub state: Phase,
    /// Every generation that has a process, by number.
    pub generations: Vec<GenerationView>,
    /// How the last start or reload went.
    pub last_attempt: Option<Attempted>,
    /// The programs of `program` sections.
    pub programs: Vec<programs::ProgramView>,
    /// Deaths and failed starts since it last served for a second.
    pub crashes_in_a_row: u32,
    /// Deaths of generations that served.
    pub crashes: Crashes,
    /// Set while the configuration of a rollback serves.
    pub rolled_back: Option<RolledBack>,
}

impl Supervisor {
    /// The state at this moment.
    pub fn status(&self, now: Duration) -> SupervisorStatus {
        let generations = self.lives.iter().map(|(generation, life)| {
            let (state, since, worker) = match &life.state {
                LifeState::Proving => (LifePhase::Starting, None, None),
                LifeState::Serving { since, proof } => (LifePhase::Serving, Some(*since), Some(proof.worker)),
                LifeState::Draining { since } => (LifePhase::Draining, Some(*since), None),
            };
            let seconds = since.map(|since| now.saturating_sub(since).as_secs());
            GenerationView { generation: *generation, state, master: life.pid, worker, seconds }
        });
        let settled = self.lives.values().any(|life| {
            matches!(life.state, LifeState::Serving { since, .. } if now.saturating_sub(since) >= PROVEN_AGE)
        });
        SupervisorStatus {
            state: self.phase(),
            generations: generations.collect(),
            last_attempt: self.last.clone(),
            programs: self.programs.status(now),
            crashes_in_a_row: if settled { 0 } else { self.young_deaths },
            crashes: self.crashes.clone(),
            rolled_back: self.rolled_back,
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
