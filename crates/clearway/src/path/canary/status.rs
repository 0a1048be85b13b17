//! What the status tells of the canary: a part of the answer to `GET /status`, so fields are only ever added.

use std::net::SocketAddr;

use clearway_core::count::Count;
use clearway_kernel::canary::{CanaryVerdict, ProbeOutcome};
use serde::{Deserialize, Serialize};

/// What the canary is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct CanaryAsks {
    /// For how long, in seconds.
    pub seconds: u64,
    /// How many servers are done.
    pub done: usize,
    /// Of how many.
    pub servers: usize,
}

/// For people, after "the canary is" or "canary:".
impl std::fmt::Display for CanaryAsks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seconds, done, servers } = self;
        write!(f, "still asking, for {seconds} s: {done} of {} done", Count(*servers, "transparent server"))
    }
}

/// What the canary says of one transparent server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SeenByCanary {
    /// Where it is.
    pub address: String,
    /// What that means for clients.
    #[cfg_attr(test, schema(value_type = String))]
    pub verdict: CanaryVerdict,
    /// One sentence.
    pub words: String,
    /// Its name and its line in the files; unset where there is none.
    #[serde(default)]
    pub line: Option<String>,
    /// What usually causes it and what mends it.
    #[serde(default)]
    pub hints: Vec<String>,
    /// The details: `outcome` and what belongs to it.
    #[serde(flatten)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl SeenByCanary {
    /// An outcome, with the line of the server.
    pub(in crate::path) fn of(server: SocketAddr, line: Option<String>, outcome: &ProbeOutcome) -> Self {
        Self {
            address: server.to_string(),
            verdict: outcome.verdict(),
            words: outcome.to_string(),
            line,
            hints: outcome.hints().iter().map(|hint| (*hint).to_owned()).collect(),
            details: match serde_json::to_value(outcome) {
                Ok(serde_json::Value::Object(details)) => details,
                _ => serde_json::Map::new(),
            },
        }
    }
}
