//! Where the clients of an address are sent.

use std::net::SocketAddr;

/// A redirection of new clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    /// What clients call; the unspecified address is every local address of its family. For a socket that takes both
    /// families (`[::]` without `v6only`) there must be a way for each.
    pub public: SocketAddr,
    /// The port, at the same address, that they are sent to.
    pub private: u16,
}
