//! What a configuration needs beyond remote servers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use clearway_core::intercept::Interception;
use clearway_core::names::Mark;

use super::PlumbingError;
use crate::routing::{Block, Wanted};

/// What the transparent servers of a configuration need. Remote servers need no more than the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlumbingNeeds {
    /// Servers on this host's loopback addresses (127.0.0.0/8, `::1`) with their ports: a rule each,
    /// no conntrack.
    pub loopback: BTreeSet<SocketAddr>,
    /// Whether there are servers on this host's other own addresses: an output chain with a connection mark,
    /// which switches conntrack on in this network namespace.
    pub own: bool,
    /// What is intercepted on its way through this host: a chain, and rules if it fails closed.
    pub interception: Interception,
}

impl PlumbingNeeds {
    /// Whether a server may stand in [`PlumbingNeeds::loopback`]: one that may not is refused with all the others. The
    /// kernel knows no rule for port 65535 (`fib_rule_port_range_valid`).
    pub fn is_for_loopback(server: &SocketAddr) -> bool {
        server.ip().to_canonical().is_loopback() && (1..u16::MAX).contains(&server.port())
    }

    /// The same in the form of the kernel's rules: no IPv4 address as an IPv6 one, no scope.
    pub(super) fn checked(&self) -> Result<Self, PlumbingError> {
        let one = |server: &SocketAddr| {
            let as_in_rules = || SocketAddr::new(server.ip().to_canonical(), server.port());
            Self::is_for_loopback(server).then(as_in_rules).ok_or(PlumbingError::NotLoopback(*server))
        };
        Ok(Self { loopback: self.loopback.iter().map(one).collect::<Result<_, _>>()?, ..self.clone() })
    }

    pub(super) fn wanted(&self, block: Block, mark: Mark, replies: Option<Mark>) -> Wanted<'_> {
        let Self { loopback, interception, .. } = self;
        Wanted { block, mark, replies, loopback, interception }
    }
}

/// What a repair has done; often nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What other programs had removed.
    pub put_back: Vec<String>,
    /// What is needed no longer.
    pub removed: Vec<String>,
}

impl Repaired {
    /// Whether everything was as it should be.
    pub fn is_empty(&self) -> bool {
        self.put_back.is_empty() && self.removed.is_empty()
    }
}
