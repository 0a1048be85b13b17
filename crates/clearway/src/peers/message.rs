//! What two Clearways of one name say to each other: JSON, one message a packet, sockets beside it.
//!
//! A field that is not known is passed over, and so is a message: a later version may say more. What an older
//! one could not understand needs a new number of the protocol.

use clearway_core::failure::Failure;
use serde::{Deserialize, Serialize};

use crate::custody::held::Names;

/// The only version of the protocol that there is yet.
pub const PROTOCOL: u32 = 1;

/// What begins a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initiator {
    /// A balancer that wants to serve instead of the one it asks.
    Successor,
    /// A balancer, to a holder.
    Balancer,
    /// A holder, to a balancer.
    Holder,
    /// Something that a later version knows.
    #[serde(other)]
    Unknown,
}

/// A container that was superseded, so that it does not take over back by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// What tells it from other containers ([`crate::peers::origin`]).
    pub origin: String,
    /// How long ago it was superseded, or asked for the last time, in milliseconds.
    pub ago_ms: u64,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum PeerMessage {
    /// The first word of the one that connects.
    Hello {
        /// The highest version of the protocol that it speaks.
        protocol: u32,
        /// The lowest.
        lowest: u32,
        /// Which Clearway it is, for the log.
        version: String,
        /// What it wants to be.
        role: Initiator,
        /// Its container; unset if that cannot be told.
        #[serde(default)]
        origin: Option<String>,
    },
    /// The answer: so many sockets follow.
    Welcome {
        /// The version of the protocol that both speak.
        protocol: u32,
        /// Which Clearway it is, for the log.
        version: String,
        /// How many sockets follow, 252 in a message at most.
        sockets: usize,
        /// Its container.
        #[serde(default)]
        origin: Option<String>,
        /// The containers that were superseded before.
        #[serde(default)]
        superseded: Vec<Former>,
    },
    /// Before the sockets, or at any time to a holder: what is known of the servers
    /// ([`clearway_haproxy::runtime::state::Remembered`] as text), in parts.
    Servers {
        /// The next part.
        part: String,
        /// Whether another one follows.
        more: bool,
        /// How old that is, in milliseconds.
        #[serde(default)]
        age_ms: u64,
    },
    /// Sockets, as many as names.
    Sockets {
        /// In the order of the descriptors.
        names: Vec<Names>,
    },
    /// No: nothing is handed over, or what was must not be used any more.
    Refused {
        /// What, and why.
        reason: String,
        /// What helps.
        #[serde(default)]
        hints: Vec<String>,
        /// The number of the exit code that fits; without it, that of a name that is taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u8>,
        /// Whether it may be otherwise in a moment: the one that asked asks again.
        #[serde(default)]
        again: bool,
    },
    /// The successor serves: the predecessor may drain.
    Serving,
    /// The predecessor drains. The listening sockets of the name come with it: the lock, and where takeovers are
    /// asked for.
    Relieved,
    /// The successor does well.
    Settled,
    /// To a holder: so many sockets follow, and they are all there are from now on.
    Keep {
        /// How many.
        sockets: usize,
    },
    /// To a holder, before a planned end: let go.
    Release {
        /// Not in a while, as the holder is set to, but now.
        #[serde(default)]
        at_once: bool,
    },
    /// Something that a later version knows.
    #[serde(other)]
    Unknown,
}

impl PeerMessage {
    /// The first word.
    pub fn hello(role: Initiator) -> Self {
        Self::Hello {
            protocol: PROTOCOL,
            lowest: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role,
            origin: crate::peers::origin::of_this_container(),
        }
    }

    /// A refusal for a reason that may be another one in a moment, or not.
    pub fn no(reason: &str, again: bool) -> Self {
        Self::Refused { reason: reason.to_owned(), hints: Vec::new(), code: None, again }
    }

    /// A failure as a refusal.
    pub fn refused(failure: &Failure) -> Self {
        Self::Refused {
            reason: failure.message.clone(),
            hints: failure.hints.clone(),
            code: Some(failure.code.number()),
            again: false,
        }
    }
}

/// The version that both speak: the highest of the lower one, if that is not too low for the other.
pub fn agree(their_highest: u32, their_lowest: u32) -> Result<u32, String> {
    if their_lowest > PROTOCOL || their_highest < PROTOCOL {
        return Err(format!(
            "it speaks versions {their_lowest} to {their_highest} of the takeover protocol, this one version {PROTOCOL}"
        ));
    }
    Ok(PROTOCOL.min(their_highest))
}

#[cfg(test)]
mod tests;
