//! What is known of servers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What the canary's answer means for clients. Its words are those of `clearway status --json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CanaryVerdict {
    /// They are served.
    Works,
    /// They are not, and no other client is: the server is down, as health checks see it too.
    Down,
    /// They are not, although the server answers this host: what health checks do not see.
    Broken,
    /// Not known; also a word of a later version, where it is read.
    #[serde(other)]
    Unknown,
}

/// The same word as in the status.
impl fmt::Display for CanaryVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Works => "works",
            Self::Down => "down",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        })
    }
}

/// Servers, with what the files call them.
pub type ServersByAddress = BTreeMap<SocketAddr, String>;
