//! What servers at addresses of this host need of the plumbing.

use std::collections::BTreeSet;
use std::net::SocketAddr;

/// What transparent servers need beyond what all need. Servers on other hosts need nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNeeds {
    /// Servers at loopback addresses, with their ports.
    pub loopback: BTreeSet<SocketAddr>,
    /// Whether there are servers at other addresses of this host.
    pub own: bool,
}

impl ServerNeeds {
    /// Both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.loopback.extend(&other.loopback);
        self.own |= other.own;
        self
    }
}
