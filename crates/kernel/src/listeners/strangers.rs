//! Other processes that listen on our addresses.
//!
//! Two programs of one user that both set `SO_REUSEPORT` may listen on the same address, and neither is told:
//! a forgotten HAProxy takes its share of the clients. A listener on a wider or narrower address takes some of them as
//! well. The kernel refuses neither, so this has to be looked for.

use std::collections::HashSet;
use std::fmt;
use std::hash::BuildHasher;
use std::net::SocketAddr;

use super::foreign::covers;
use super::holders::{Holder, name};
use super::nearby::Nearby;
use super::table::{SockDiagError, TcpState, rows};
use crate::transparency::Family;

/// An address that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Managed {
    /// Where we listen.
    pub address: SocketAddr,
    /// Whether for IPv6 only; without meaning for IPv4.
    pub v6only: bool,
}

impl Managed {
    /// Whether both could get the same client.
    fn overlaps(self, holder: &Holder) -> bool {
        let (ours, theirs) = (self.address, holder.address);
        let wider = covers(ours.ip(), self.v6only, theirs.ip());
        let narrower = covers(theirs.ip(), holder.v6only, ours.ip());
        ours.port() == theirs.port() && (wider || narrower)
    }
}

/// A listening socket that is not ours on an address that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The socket, and its process as far as it is visible.
    pub holder: Holder,
    /// The first of the managed addresses that it overlaps; its own, if that is one.
    pub shares: SocketAddr,
}

/// `0.0.0.0:80 held by nginx (pid 1234) takes clients of 10.0.0.1:80`.
impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} takes clients of {}", self.holder, self.shares)
    }
}

/// The listening TCP sockets of this network namespace that share a managed address, equal or overlapping, and are not
/// in `ours` (the inodes that Clearway and its HAProxy hold).
///
/// Interfaces are not compared: of two sockets that are bound to different ones, neither takes the other's
/// clients, but both are shown. UDP (QUIC) is not looked at.
pub fn strangers<S: BuildHasher>(
    managed: &[Managed],
    ours: &HashSet<u64, S>,
) -> Result<Vec<Stranger>, SockDiagError> {
    // The sockets of several shards have one address.
    let mut seen: HashSet<Managed> = HashSet::new();
    let managed = managed.iter().filter(|one| seen.insert(**one));
    let managed = Nearby::of(managed.map(|one| (one.address, *one)));
    let rows = rows(TcpState::Listen, 0, &Family::ALL)?.into_iter().filter(|row| !ours.contains(&row.inode));
    let found = rows.map(Holder::from).filter_map(|holder| {
        let shares = managed.to(holder.address).find(|managed| managed.overlaps(&holder))?.address;
        Some((holder, shares))
    });
    let (mut holders, shared): (Vec<_>, Vec<_>) = found.unzip();
    name(&mut holders);
    Ok(holders.into_iter().zip(shared).map(|(holder, shares)| Stranger { holder, shares }).collect())
}
