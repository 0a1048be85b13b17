//! What a Clearway says of itself, its generations and its last attempt.

use std::time::Duration;

use clearway_core::strategy::{Moved, Strategy};
use clearway_core::supervisor::{Carried, Cause, LifePhase, Phase};
use clearway_kernel::plumbing;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::planned::{self, not_applied};
use super::reloaded::Refused;
use super::rolled_back::RollbackStatus;
#[cfg(test)]
use super::shapes;
use super::started::Started;
use crate::ground::clock;
use crate::path::canary::{CanaryAsks, SeenByCanary};
use crate::path::obstacles::Obstacle;

/// Answer to `GET /status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Status {
    /// Clearway's version.
    pub version: String,
    /// Clearway's process.
    pub pid: u32,
    /// Unset: a private instance.
    pub instance: Option<String>,
    /// What it is about.
    #[cfg_attr(test, schema(value_type = String))]
    pub state: Phase,
    /// HAProxy's version, as far as it is known.
    pub haproxy: Option<String>,
    /// Every generation that has a process, by number.
    pub generations: Vec<GenerationStatus>,
    /// The programs of `program` sections, in the order of the files, then those that are to end.
    #[serde(default)]
    pub programs: Vec<ProgramStatus>,
    /// How the last start or reload went.
    pub last_attempt: Option<LastAttempt>,
    /// Deaths and failed starts of HAProxy in a row, since it last served for a second.
    pub crashes_in_a_row: u32,
    /// How many generations that served have ended unasked since Clearway began.
    #[serde(default)]
    pub crashes: u32,
    /// Of these, how many since a reload was asked for that took.
    #[serde(default)]
    pub crashes_since_reload: u32,
    /// The last one.
    #[serde(default)]
    pub last_crash: Option<Crash>,
    /// Set while the configuration of a rollback serves.
    #[serde(default)]
    pub rolled_back: Option<RollbackStatus>,
    /// How clients come to a new generation.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = String))]
    pub strategy: Strategy,
    /// Which public addresses are served at which private ports (`tableflip`).
    #[serde(default)]
    pub redirected: Vec<String>,
    /// The listening sockets that Clearway holds.
    pub custody: Vec<String>,
    /// What is in the kernel for transparent proxying. Unset also where it is read from a version that says it otherwise.
    #[serde(default, deserialize_with = "if_understood")]
    #[cfg_attr(test, schema(value_type = Option<Object>))]
    pub plumbing: Option<plumbing::Description>,
    /// What the canary says of each transparent server.
    #[serde(default)]
    pub canary: Vec<SeenByCanary>,
    /// Set while there are servers of which the canary has not said anything yet.
    #[serde(default)]
    pub canary_asks: Option<CanaryAsks>,
    /// What stands in the way of transparent connections, as far as it is a problem.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// Whether the configuration on disk is the one that serves; unset while none does.
    #[serde(default)]
    pub configuration: Option<OnDisk>,
    /// Sockets of others that take clients of ours.
    #[serde(default)]
    pub strangers: Vec<String>,
    /// Where it was told to make its admin socket.
    #[serde(default)]
    pub run_directory: Option<String>,
    /// How it was started; unset where that cannot be said in UTF-8.
    #[serde(default)]
    pub started: Option<Started>,
    /// Whether a holder keeps the listening sockets open when this one ends; unset where there can be none.
    #[serde(default)]
    pub holder: Option<bool>,
    /// Whether no client can come any more, because no interface but `lo` is left.
    #[serde(default)]
    pub network_gone: bool,
    /// Why the sessions and the configuration on disk are missing: there was no thread to ask for them.
    #[serde(default)]
    pub incomplete: Option<String>,
}

/// The value, or none where it is not of this shape.
fn if_understood<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(from)?).ok())
}

/// The configuration on disk, beside the one that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct OnDisk {
    /// Whether they are the same.
    pub same: bool,
    /// What is different, for people.
    pub words: String,
}

/// One generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct GenerationStatus {
    /// Counted from 1.
    pub generation: u32,
    /// What it is about.
    #[cfg_attr(test, schema(value_type = String))]
    pub state: LifePhase,
    /// HAProxy's master.
    pub master: u32,
    /// The process that accepts connections.
    pub worker: Option<u32>,
    /// Seconds in this state.
    pub seconds: Option<u64>,
    /// Sessions it has; unset if it did not say.
    pub sessions: Option<u64>,
    /// How many bytes its processes have resident; unset if that could not be read.
    #[serde(default)]
    pub memory: Option<u64>,
}

/// The program of a `program` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ProgramStatus {
    /// The name of its section.
    pub name: String,
    /// `running`, `starting` (also: it waits for its next start), `ended` (by itself) or `leaving`.
    pub state: String,
    /// Its process; unset if it has none.
    pub pid: Option<u32>,
    /// For how many seconds it has been running; unset if it does not.
    pub seconds: Option<u64>,
}

/// How the last start or reload went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct LastAttempt {
    /// The generation that it was to be.
    pub generation: u32,
    /// Unset: it took.
    pub failure: Option<Refused>,
    /// What was applied at run time: `3 servers added, 1 certificate`; unset: nothing, it was a start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// Why it was not applied at run time, if that was asked for; the first one counts most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_applied: Vec<String>,
    /// What was done for the clients of which socket.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Vec<shapes::MovedSocket>))]
    pub moved: Vec<Moved>,
    /// What it has of the state of the servers.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = shapes::CarriedState))]
    pub carried: Carried,
    /// Since it was decided.
    pub seconds_ago: u64,
    /// Why there was one.
    #[serde(default = "unknown")]
    #[cfg_attr(test, schema(value_type = String))]
    pub cause: Cause,
    /// When it was decided, in UTC.
    #[serde(default)]
    pub at: Option<String>,
}

/// One of an earlier version says nothing of it.
fn unknown() -> Cause {
    Cause::Unknown
}

/// The end of a generation that served, unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Crash {
    /// Which.
    pub generation: u32,
    /// Its exit code or signal, in words.
    pub how: String,
    /// Since then.
    pub seconds_ago: u64,
    /// When it was, in UTC.
    pub at: String,
}

impl Status {
    /// What the core knows, as long as this after Clearway began.
    pub fn of(core: clearway_core::supervisor::SupervisorStatus, now: Duration) -> Self {
        let ago = |at: Duration| now.saturating_sub(at);
        let generations = core.generations.into_iter().map(|one| GenerationStatus {
            generation: one.generation.number(),
            state: one.state,
            master: one.master,
            worker: one.worker,
            seconds: one.seconds,
            sessions: None,
            memory: None,
        });
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            instance: None,
            state: core.state,
            haproxy: None,
            generations: generations.collect(),
            programs: core
                .programs
                .into_iter()
                .map(|one| ProgramStatus {
                    name: one.name,
                    state: one.state.to_owned(),
                    pid: one.pid,
                    seconds: one.seconds,
                })
                .collect(),
            last_attempt: core.last_attempt.map(|last| LastAttempt {
                generation: last.generation.number(),
                failure: last.failure.map(Refused::from),
                applied: last.applied.as_ref().and_then(planned::applied),
                not_applied: last.applied.map(not_applied).unwrap_or_default(),
                moved: last.moved,
                carried: last.carried,
                seconds_ago: ago(last.at).as_secs(),
                cause: last.cause,
                at: Some(clock::at(ago(last.at))),
            }),
            crashes_in_a_row: core.crashes_in_a_row,
            crashes: core.crashes.total,
            crashes_since_reload: core.crashes.since_reload,
            last_crash: core.crashes.last.map(|last| Crash {
                generation: last.generation.number(),
                how: last.how,
                seconds_ago: ago(last.at).as_secs(),
                at: clock::at(ago(last.at)),
            }),
            rolled_back: core.rolled_back.map(|told| RollbackStatus::of(told, now)),
            strategy: Strategy::default(),
            redirected: Vec::new(),
            custody: Vec::new(),
            plumbing: None,
            canary: Vec::new(),
            canary_asks: None,
            obstacles: Vec::new(),
            configuration: None,
            network_gone: false,
            strangers: Vec::new(),
            run_directory: None,
            holder: None,
            started: None,
            incomplete: None,
        }
    }
}
