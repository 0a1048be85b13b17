//! What is said of the sessions of generations, and of the end of one by hand.

use clearway_core::supervisor::LifePhase;
use clearway_haproxy::runtime;
use serde::{Deserialize, Serialize};

/// Answer to `GET /sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// Those that were asked for, by number.
    pub generations: Vec<SessionsOf>,
}

/// The sessions of one generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsOf {
    /// Counted from 1.
    pub generation: u32,
    /// What it is about.
    pub state: LifePhase,
    /// The process that has them.
    pub worker: Option<u32>,
    /// Unset: it did not say.
    pub sessions: Option<Vec<Session>>,
    /// How many more there are than are listed.
    #[serde(default)]
    pub left_out: usize,
}

/// One session, in HAProxy's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What HAProxy's `shutdown session` takes.
    pub id: String,
    /// Of the client's side, such as `tcpv4`.
    pub protocol: String,
    /// The client.
    pub source: String,
    /// The `frontend` or `listen` that it came to.
    pub frontend: String,
    /// Where it went on to.
    pub backend: String,
    /// The server.
    pub server: String,
    /// How old it is, such as `1h2m`.
    pub age: String,
}

impl From<runtime::SessionLine> for Session {
    fn from(session: runtime::SessionLine) -> Self {
        let runtime::SessionLine { id, protocol, source, frontend, backend, server, age } = session;
        Self { id, protocol, source, frontend, backend, server, age }
    }
}

/// Answer to `POST /end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum EndOf {
    /// It is gone.
    Ended {
        /// Which.
        generation: u32,
        /// How many sessions it had; unset if it did not say.
        cut: Option<u64>,
    },
    /// It is not ended by hand.
    Refused {
        /// Why.
        message: String,
        /// What is to be done instead.
        hint: String,
    },
}
