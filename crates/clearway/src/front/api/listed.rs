//! Single things, for the API: generations, sockets, servers, readiness.

use serde::{Deserialize, Serialize};

use crate::front::api::GenerationStatus;
use crate::path::canary::SeenByCanary;

/// Whether new clients should be sent here, for `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether they should.
    pub is_ready: bool,
    /// Why, or why not: one sentence.
    pub reason: String,
}

/// Answer to `GET /v1/generations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct GenerationList {
    /// Every generation that has a process, by number.
    pub generations: Vec<GenerationStatus>,
}

/// Answer to `GET /v1/sockets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SocketList {
    /// The listening sockets that Clearway holds, by address.
    pub sockets: Vec<SocketInCustody>,
    /// Which public addresses are served at which private ports (`tableflip`).
    pub redirected: Vec<String>,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SocketInCustody {
    /// Where it listens, as the log writes it.
    pub address: String,
    /// Its number in the kernel, as `ss -e` shows it.
    pub inode: u64,
    /// How many clients wait to be accepted; null where the kernel does not tell (Unix sockets, UDP).
    pub waiting: Option<u32>,
    /// How many may.
    pub limit: Option<u32>,
}

/// Answer to `GET /v1/servers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ServerList {
    /// The servers of the generation that serves, in HAProxy's order.
    pub servers: Vec<ServerStatus>,
    /// How many more there are than are listed.
    pub left_out: usize,
    /// How old this is, in seconds, where HAProxy does not answer now; null where it does, and where nothing is known.
    pub age_seconds: Option<u64>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ServerStatus {
    /// Its `backend` or `listen`.
    pub backend: String,
    /// Its name.
    pub name: String,
    /// Where it is; null while its name is not resolved, and for a Unix socket.
    pub address: Option<String>,
    /// Its health as HAProxy has it: `up`, `starting`, `stopping`, `down`.
    pub health: String,
    /// Whether an operator lets it have clients: `ready`, `drain`, `maint`.
    pub admin: String,
    /// Whether its checks are made; null without checks, where HAProxy takes it for up.
    pub checked: Option<bool>,
    /// Its weight.
    pub weight: i64,
    /// Whether it sees the addresses of clients.
    pub transparent: bool,
    /// What the canary says of it; null where that does not ask it, or has no answer yet.
    pub canary: Option<SeenByCanary>,
    /// Its line in the files; null for one that was added at run time, and while nothing serves.
    pub line: Option<String>,
}

/// Answer to `POST /v1/canary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum CanaryWish {
    /// They are asked now, or once more when the round is over that goes on.
    Asked {
        /// How many.
        servers: usize,
    },
    /// There is nothing to ask.
    Refused {
        /// Why.
        message: String,
    },
}

impl CanaryWish {
    /// So many servers are asked.
    pub fn of(servers: usize) -> Self {
        if servers > 0 {
            return Self::Asked { servers };
        }
        let message = "the canary asks no server: nothing serves with `usesrc`, its servers are not known yet, or it is off \
                       (CLEARWAY_CANARY)";
        Self::Refused { message: message.to_owned() }
    }
}
