//! What came of a reload, an apply, a rollback or a trial.

use clearway_core::cost::Cost;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::strategy::Moved;
use clearway_core::supervisor::Carried;
use serde::{Deserialize, Serialize};

use super::rolled_back::RollbackStatus;

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Refused {
    /// What the command that asked exits with: see docs/reference/settings.md.
    pub code: u8,
    /// What was being done and why it failed.
    pub message: String,
    /// HAProxy's own words.
    pub words: Vec<String>,
    /// The lines of the files that these words name, as they were read: `haproxy.cfg:5: bind :80 nonsense`.
    #[serde(default)]
    pub lines: Vec<String>,
    /// What mends it.
    pub hints: Vec<String>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, words, lines, hints, .. } = failure;
        Self { code: code.number(), message, words, lines, hints }
    }
}

/// Answer to `POST /reload`, `POST /v1/apply` and `POST /v1/rollback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Reloaded {
    /// It took.
    Serving {
        /// The generation that serves.
        generation: u32,
        /// The process that accepts connections.
        worker: u32,
        /// Listening sockets taken over.
        adopted: usize,
        /// Addresses of listening sockets that are new.
        fresh: Vec<String>,
        /// Addresses that are no longer listened on, or that were bound anew beside the former socket.
        unclaimed: Vec<String>,
        /// What was done for the clients of which socket.
        #[serde(default)]
        #[cfg_attr(test, schema(value_type = Vec<super::shapes::MovedSocket>))]
        moved: Vec<Moved>,
        /// What it has of the state of the servers.
        #[serde(default)]
        #[cfg_attr(test, schema(value_type = super::shapes::CarriedState))]
        carried: Carried,
        /// Files of which nothing new was read, because they were replaced on the host, where this container cannot see
        /// it; each with what mends it.
        #[serde(default)]
        not_read: Vec<String>,
        /// What it cost new clients until the commit; what comes in the second after is in the log and in the history. Unset:
        /// not known.
        #[serde(default)]
        #[cfg_attr(test, schema(value_type = Option<Object>))]
        cost: Option<Box<Cost>>,
        /// Set if it was a rollback.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rolled_back: Option<RollbackStatus>,
        /// Why it was not applied at run time, if that was asked for; the first one counts most.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        not_applied: Vec<String>,
    },
    /// The generation that served has what is on disk: no process was started.
    Applied {
        /// The number under which it was read.
        generation: u32,
        /// The generation that serves with it.
        serving: u32,
        /// What was changed: `3 servers added, 1 certificate`; unset: there was nothing to do.
        changes: Option<String>,
        /// How many commands HAProxy has carried out.
        commands: usize,
        /// As above.
        #[serde(default)]
        not_read: Vec<String>,
        /// What it cost new clients until it was done. Unset: not known.
        #[serde(default)]
        #[cfg_attr(test, schema(value_type = Option<Object>))]
        cost: Option<Box<Cost>>,
    },
    /// It would take: answer to `POST /try`. Nothing has changed.
    Tried {
        /// How many of the listening sockets would be taken over.
        adopted: usize,
        /// Addresses of listening sockets that would be new.
        fresh: Vec<String>,
        /// Addresses that would be no longer listened on, or that would be bound anew beside the former socket.
        unclaimed: Vec<String>,
        /// What else would be different, for people.
        changes: Vec<String>,
    },
    /// It failed; the former generation is still serving.
    Refused(Refused),
    /// Clearway is stopping.
    Stopping,
}

impl Reloaded {
    /// What `clearway reload` exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Serving { .. } | Self::Applied { .. } | Self::Tried { .. } => ExitCode::Done.number(),
            Self::Refused(refused) => refused.code,
            Self::Stopping => ExitCode::NoInstance.number(),
        }
    }
}
