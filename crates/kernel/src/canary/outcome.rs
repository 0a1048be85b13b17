//! What is known of a server after it was asked, in types and in words.

use std::fmt;
use std::time::Duration;

use clearway_core::path::CanaryVerdict;
use serde::{Serialize, Serializer};

use super::icmp::Unreachable;
use crate::transparency::Family;

/// What a server is to a client that comes from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// A handshake with the foreign address: the return path works.
    WayBack {
        /// From the SYN to its answer.
        #[serde(rename = "took_ms", serialize_with = "milliseconds")]
        took: Duration,
    },
    /// A reset came to the foreign address. So the return path works; no process listens there, or a firewall resets
    /// the connection, above all if the server accepts connections from our own address.
    Refused {
        /// What our own address was answered.
        own: ProbeAnswer,
    },
    /// An ICMP error came to the foreign address.
    Unreachable {
        /// What it says, and its sender.
        #[serde(flatten)]
        told: Unreachable,
        /// What our own address was answered.
        own: ProbeAnswer,
    },
    /// The server answers our own address, and nothing came to the foreign one.
    NoWayBack {
        /// Where the server is.
        server: ServerLocation,
        /// What our own address was answered: it accepts or refuses.
        own: ProbeAnswer,
    },
    /// No answer to the foreign address, and no handshake or reset for our own.
    Silent {
        /// What our own address was answered, if anything.
        own: ProbeAnswer,
    },
    /// This process may not make transparent sockets.
    NoPrivilege {
        /// Of which family.
        family: Family,
    },
    /// It could not be found out from here.
    NotAsked {
        /// No route, no family, no descriptor, an address that proves nothing.
        why: String,
    },
}

/// What came back to one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ProbeAnswer {
    /// The handshake.
    Accepts,
    /// A reset.
    Refuses,
    /// An ICMP error.
    Unreachable(Unreachable),
    /// Nothing within the limit.
    Silent,
    /// This host could not ask.
    NotAsked {
        /// Why.
        why: String,
    },
}

/// Where a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerLocation {
    /// Its address is one of this network namespace.
    Here,
    /// It is not.
    Elsewhere,
}

impl ProbeOutcome {
    /// Both answers together, where the foreign address was not simply accepted.
    pub(super) fn of(foreign: ProbeAnswer, own: ProbeAnswer, server: ServerLocation) -> Self {
        match (foreign, own) {
            (ProbeAnswer::Accepts, _) => Self::WayBack { took: Duration::ZERO },
            (ProbeAnswer::Refuses, own) => Self::Refused { own },
            (ProbeAnswer::Unreachable(told), own) => Self::Unreachable { told, own },
            (ProbeAnswer::Silent, own @ (ProbeAnswer::Accepts | ProbeAnswer::Refuses)) => {
                Self::NoWayBack { server, own }
            }
            (ProbeAnswer::Silent, own) => Self::Silent { own },
            (ProbeAnswer::NotAsked { why }, _) => Self::NotAsked { why },
        }
    }

    /// What it means for clients.
    pub fn verdict(&self) -> CanaryVerdict {
        match self {
            Self::WayBack { .. } => CanaryVerdict::Works,
            Self::NoWayBack { .. }
            | Self::NoPrivilege { .. }
            | Self::Refused { own: ProbeAnswer::Accepts } => CanaryVerdict::Broken,
            Self::Unreachable { own: ProbeAnswer::Accepts | ProbeAnswer::Refuses, .. } => {
                CanaryVerdict::Broken
            }
            Self::Refused { .. } | Self::Unreachable { .. } | Self::Silent { .. } => CanaryVerdict::Down,
            Self::NotAsked { .. } => CanaryVerdict::Unknown,
        }
    }

    /// Whether it says the same as before, however long it took: then it is no news.
    pub fn is_same_as(&self, before: &Self) -> bool {
        matches!((self, before), (Self::WayBack { .. }, Self::WayBack { .. })) || self == before
    }

    /// What usually causes it and what mends it, one line each.
    pub fn hints(&self) -> &'static [&'static str] {
        match self {
            Self::NoWayBack { server: ServerLocation::Elsewhere, .. } => &[
                "the server's answers to clients must come back through this host: make it the server's default \
                 gateway, or give the server a policy route for what it sends from this port \
                 (docs/how-to/transparent-proxying.md)",
                "a filter may drop what comes from foreign addresses: the server's `rp_filter` of 1 where its \
                 default route goes elsewhere, a firewall, a cloud's source/destination check",
                "if the server routes only its known clients through this host, set CLEARWAY_CANARY_ADDRESS to an \
                 unused address of one of them",
            ],
            Self::NoWayBack { server: ServerLocation::Here, .. } => &[
                "the server is on this host: its answers to clients stay here only with a policy rule \
                 (`ip rule`, proto 179) and without a filter on the way (Kubernetes blocks 127.0.0.0/8 for others)",
                "a host without a default route answers only addresses that it has a route to: set \
                 CLEARWAY_CANARY_ADDRESS to an unused address of the clients' networks",
            ],
            Self::Refused { own: ProbeAnswer::Accepts } => {
                &["a firewall, on the server or before it, resets what comes from foreign addresses; \
                 CLEARWAY_CANARY_ADDRESS sets another one, if only that one is filtered"]
            }
            Self::Unreachable { own: ProbeAnswer::Accepts | ProbeAnswer::Refuses, .. } => &[
                "the host that says so filters by source address or does not know the way: let clients' addresses pass there; \
                 CLEARWAY_CANARY_ADDRESS sets another one, if only that one is filtered",
            ],
            Self::Silent { own: ProbeAnswer::Silent } => &[
                "the server's host is down, or a firewall on the way silently drops what is sent to that port: \
                 from here both look alike",
            ],
            Self::NoPrivilege { .. } => &["add the capability `NET_RAW` (`--cap-add NET_RAW`)"],
            _ => &[],
        }
    }
}

/// One sentence.
impl fmt::Display for ProbeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WayBack { took } => {
                write!(f, "the return path works ({:.2} ms)", took.as_secs_f64() * 1000.0)?;
            }
            Self::Refused { own: ProbeAnswer::Accepts } => {
                write!(
                    f,
                    "connections from a foreign address are reset; from our own address the server accepts"
                )?;
            }
            Self::Refused { own: ProbeAnswer::Refuses } => {
                write!(f, "refused: no process listens there, or a firewall says so; the return path works")?;
            }
            Self::Refused { own } => {
                write!(f, "connections from a foreign address are reset; from our own address: {own}")?;
            }
            Self::Unreachable { told, own } => {
                write!(f, "unreachable from a foreign address: {told}; from our own address: {own}")?;
            }
            Self::NoWayBack { own, .. } => {
                write!(f, "no return path: no answer to a foreign address, but to our own address: {own}")?;
            }
            Self::Silent { own: ProbeAnswer::Silent } => {
                write!(f, "no answer, neither to a foreign address nor to our own")?;
            }
            Self::Silent { own } => write!(f, "no answer to a foreign address; to our own address: {own}")?,
            Self::NoPrivilege { family } => {
                write!(f, "not asked: making an {family} socket transparent: not permitted")?;
            }
            Self::NotAsked { why } => write!(f, "not asked: {why}")?,
        }
        Ok(())
    }
}

impl fmt::Display for ProbeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepts => f.write_str("the server accepts"),
            Self::Refuses => f.write_str("refused"),
            Self::Unreachable(told) => write!(f, "{told}"),
            Self::Silent => f.write_str("no answer"),
            Self::NotAsked { why } => write!(f, "not asked ({why})"),
        }
    }
}

/// A number with microseconds as decimals: an answer on a local network takes a tenth of a millisecond.
fn milliseconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let microseconds = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
    serializer.serialize_f64(f64::from(microseconds) / 1000.0)
}
