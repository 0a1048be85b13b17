//! What rules and routes of ours have in common.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use clearway_core::intercept::Interception;
use clearway_core::names::Mark;
use netlink_packet_route::AddressFamily;
use rustix::io::Errno;

use super::RoutingError;
use super::block::Block;
use crate::netlink::NetlinkError;
use crate::transparency::Family;

/// The protocol number on all our rules and routes (`ip rule` shows `proto 179`). It is not in iproute2's `rt_protos`,
/// and no routing daemon is known to use it.
pub const TAG: u8 = 179;

/// Whether a call has changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It made or removed the object.
    Done,
    /// The object was there, or not there, already.
    Nothing,
}

impl Effect {
    /// What came of a request, where these errors mean that nothing was to be done.
    pub(super) fn of(
        outcome: Result<(), NetlinkError>,
        fine: &[Errno],
        family: Family,
    ) -> Result<Self, RoutingError> {
        match outcome {
            Ok(()) => Ok(Self::Done),
            Err(error) if error.errno().is_some_and(|errno| fine.contains(&errno)) => Ok(Self::Nothing),
            Err(error) => Err(RoutingError::from_netlink(family, error)),
        }
    }
}

/// What a block is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Which one.
    pub block: Block,
    /// The bit of diverted packets.
    pub mark: Mark,
    /// The bit of replies of servers on this host's own addresses, if there are any.
    pub replies: Option<Mark>,
    /// Servers on loopback addresses.
    pub loopback: &'a BTreeSet<SocketAddr>,
    /// What is intercepted, of which only what fails closed needs rules here.
    pub interception: &'a Interception,
}

/// The prefix length of one address.
pub(super) fn host_length(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// As the kernel numbers it.
pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}
