//! An entry of the history, as it is kept and as it goes over the admin socket. Fields are only ever added.

use clearway_core::cost::Cost;
use clearway_core::failure::Failure;
use clearway_core::strategy::Means;
use clearway_core::supervisor::Carried;
use serde::{Deserialize, Serialize};
use strum::Display;

use super::excerpt::{Excerpt, cut};

/// How many bytes of a message are kept.
const MESSAGE: usize = 1 << 10;

/// What was done, or has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PastEvent {
    /// Clearway began, and started HAProxy.
    Start,
    /// A reload was asked for.
    Reload,
    /// It was asked that what served before serves again.
    Rollback,
    /// HAProxy was started again after its end.
    Restart,
    /// The generation that served ended although it was not asked to.
    Crash,
    /// This Clearway took over from another one, or another one from this.
    Takeover,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PastResult {
    /// The generation serves.
    Took,
    /// The generation that served has what is on disk: no process was started.
    Applied,
    /// HAProxy ended before it was ready; the former generation, if there is one, is still serving.
    Refused,
    /// Something else went wrong; likewise.
    Failed,
    /// It is a crash.
    Crashed,
    /// Another Clearway serves.
    Superseded,
    /// The other Clearway ended soon, and this one serves again.
    Undone,
    /// The other Clearway serves well, and this one finishes its sessions.
    Settled,
    /// The Clearway that served ended before this one served.
    PredecessorGone,
    /// The Clearway before this one is still serving.
    Withdrawn,
    /// HAProxy died soon after the takeover, and the Clearway before this one serves again.
    GivenBack,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PastEntry {
    /// Counted from 1, since Clearway began.
    pub id: u64,
    /// When it was decided, in UTC, to the microsecond.
    pub at: String,
    /// What it was.
    #[cfg_attr(test, schema(value_type = String))]
    pub event: PastEvent,
    /// What came of it.
    #[cfg_attr(test, schema(value_type = String))]
    pub result: PastResult,
    /// What asked for it: the names of signals, `admin-socket`, `apply`, `haproxy-master`, `rollback`,
    /// `watch`; empty where nothing did.
    #[serde(default)]
    pub by: Vec<String>,
    /// The generation that it was to be, or that crashed; unset: of another Clearway.
    #[serde(default)]
    pub generation: Option<u32>,
    /// How HAProxy ended, in words, if it did.
    #[serde(default)]
    pub ended: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<PastFailure>,
    /// What was applied at run time: `3 servers added, 1 certificate`; unset: nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// Why it was not applied at run time, if that was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_applied: Option<Excerpt>,
    /// How long an attempt took.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// How long its steps took.
    #[serde(default)]
    pub steps: Option<PastSteps>,
    /// What became of the listening sockets, if it took.
    #[serde(default)]
    pub sockets: Option<PastSockets>,
    /// What the generation was given of the state of the servers; unset: nothing.
    #[serde(default)]
    pub carried: Option<PastCarried>,
    /// What it cost new clients; unset: not known, or not yet.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Option<Object>))]
    pub cost: Option<Cost>,
}

impl PastEntry {
    /// One of which no more is known. Its number and its time are set when it is kept.
    pub fn new(event: PastEvent, result: PastResult) -> Self {
        Self {
            id: 0,
            at: String::new(),
            event,
            result,
            by: Vec::new(),
            generation: None,
            ended: None,
            failure: None,
            applied: None,
            not_applied: None,
            seconds: None,
            steps: None,
            sockets: None,
            carried: None,
            cost: None,
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PastFailure {
    /// The exit code of the command that asked.
    pub code: u8,
    /// What was being done and why it failed.
    pub message: String,
    /// HAProxy's own words.
    #[serde(default)]
    pub words: Excerpt,
    /// The lines of the files that these words name, as they were read: `haproxy.cfg:5: bind :80 nonsense`.
    #[serde(default)]
    pub lines: Excerpt,
    /// What mends it.
    #[serde(default)]
    pub hints: Excerpt,
}

impl PastFailure {
    /// As much as is kept.
    pub fn of(failure: &Failure) -> Self {
        Self {
            code: failure.code.number(),
            message: cut(&failure.message, MESSAGE),
            words: Excerpt::of(&failure.words),
            lines: Excerpt::of(&failure.lines),
            hints: Excerpt::of(&failure.hints),
        }
    }
}

/// How many seconds each step took; 0: it did not come to that, or there was nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct PastSteps {
    /// Comparing what is on disk with what serves.
    pub plan: f64,
    /// Changing what serves at run time.
    pub apply: f64,
    /// Reading the files, and making what they need.
    pub prepare: f64,
    /// From the launch of HAProxy to its proof.
    pub prove: f64,
    /// Giving it the state of its servers.
    pub carry: f64,
    /// Accepting clients beside the former generation.
    pub settle: f64,
    /// Bringing clients to it whose sockets it does not use.
    pub switch: f64,
    /// Waiting for its end and its last words.
    pub end: f64,
}

impl PastSteps {
    /// Those that took any time, each with how long, as `time` says it; none: none did.
    pub fn words(&self, time: impl Fn(f64) -> String) -> Option<String> {
        let Self { plan, apply, prepare, prove, carry, settle, switch, end } = self;
        let all = [
            ("plan", plan),
            ("apply", apply),
            ("prepare", prepare),
            ("prove", prove),
            ("carry", carry),
            ("settle", settle),
            ("switch", switch),
            ("end", end),
        ];
        let named = all.iter().filter(|(_, seconds)| **seconds > 0.0);
        let named: Vec<String> = named.map(|(name, seconds)| format!("{name} {}", time(**seconds))).collect();
        (!named.is_empty()).then(|| named.join(", "))
    }
}

/// What became of listening sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct PastSockets {
    /// Those that both generations have, by how their clients came to the new one.
    pub moved: Vec<PastMoved>,
    /// Bound for the first time.
    pub new: Excerpt,
    /// No longer used.
    pub gone: Excerpt,
    /// Bound a second time beside the former one, with nothing done for its clients.
    pub twice: Excerpt,
}

/// The sockets whose clients came to the new generation in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PastMoved {
    /// Which way.
    #[cfg_attr(test, schema(value_type = String))]
    pub by: Means,
    /// Where they listen.
    pub addresses: Excerpt,
}

/// What a generation was given of the state of its servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct PastCarried {
    /// What was set.
    pub set: Excerpt,
    /// What was not, with the reasons.
    pub left: Excerpt,
    /// How old the state was, after a crash.
    pub age_seconds: Option<u64>,
}

impl PastCarried {
    /// As much as is kept.
    pub fn of(carried: &Carried) -> Self {
        let Carried { set, left, age_seconds } = carried;
        Self { set: Excerpt::of(set), left: Excerpt::of(left), age_seconds: *age_seconds }
    }
}
