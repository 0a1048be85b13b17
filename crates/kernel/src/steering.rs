//! Steering: new clients go to the new sockets of an address while the old ones are served to the end.
//!
//! Where HAProxy does not recognise a socket that it was given, it binds a second one to the same address with
//! `SO_REUSEPORT`. The kernel then distributes new clients among the old and the new sockets, and clients that wait at
//! the old ones when they are closed are reset. A program attached to the group (`SO_ATTACH_REUSEPORT_CBPF`, Linux
//! 4.5; no capability, no sysctl) chooses instead. This module makes the choice and undoes it; it owns no
//! descriptor, waits for nothing and decides nothing.
//!
//! ```text
//!   shell                                        kernel: the group, in order of listen()
//!     | (the new HAProxy listens)                  [old old | new new]   shared out by a hash
//!     |- groups(held, fresh): is it possible? ---- as sock_diag tells it; changes nothing
//!     |- ReuseportGroup::steer(via) ------------->  new clients: new only
//!     |- Waiting::begin(leaving), poll, poll, ...   the old HAProxy accepts those that wait
//!     |- ReuseportGroup::narrow(via) ------------>  new only, whatever moves when the old are closed
//!     |  (seal(each old), if ReuseportGroup::needs_seal)
//!     |- old HAProxy: drain. It closes its copies;  ours keep the group as it is
//!     |- hide(each old), our duplicates closed --->  [new new]   no client waits there: none is reset
//!     |- Waiting::poll until listening == 0
//!     '- ReuseportGroup::release(via) ----------->  shared out by the hash again
//! ```
//!
//! # Which index belongs to which socket
//!
//! A program returns an index into the group's array, which cannot be read. What is known of it (Linux 4.5 to
//! 6.18, `net/core/sock_reuseport.c`; the tests ask the running kernel):
//! - A socket is appended when it begins to *listen*, not when it is bound (`inet_csk_listen_start`, `inet_hash`,
//!   `reuseport_add_sock`). What the new HAProxy binds comes behind all that was held before.
//! - When one goes, the *last* takes its place (`reuseport_detach_sock`; with `tcp_migrate_req`, Linux 5.14, it is
//!   kept in a second part of the array that programs cannot choose from). Going is the last copy closed, or
//!   `listen` taken back.
//! - An index beyond the end is no error: the hash chooses among all. So "-1" is a program that does nothing.
//! - The group is one address, one `v6only`, one interface, one user. It is the same for both address families
//!   of a dual-stack socket.
//!
//! So the old sockets have the indices below their count and the new ones those above it, whatever the order within,
//! *provided that* the caller passes all sockets of the address that it held when the new HAProxy was started and has
//! closed none since, and that the group had no other sockets then: when a draining HAProxy closes its sockets late,
//! the last of the new ones takes a place among the old. [`groups`] compares with the kernel's list: a socket of
//! another process has an unknown place ([`Reason::Stranger`]); one that was there before and is gone by then only
//! [`crowded`] has seen. One that comes later is behind ours and does no harm.
//!
//! Sockets that stay beside others that leave (fewer shards) are known by index only if the caller has seen the group
//! from its beginning: [`SocketOrder::Known`]. HAProxy takes sockets that it was given *from the end* of the list
//! (docs/facts A.3): offered in reverse, the first ones stay, and the order is known as long as only the last ones
//! leave. When others do (two sockets give way to two new ones), the last move into the gaps, in an order that depends
//! on which one HAProxy closes first: [`order_is_kept`] says when the order of those that remain is lost. They are the
//! first of their group nevertheless, and what comes later is behind them: [`SocketOrder::KnownBehind`].
//!
//! # Beside another balancer
//!
//! A first start beside a balancer that is not ours: its sockets came first, ours have the indices above theirs, as
//! long as they were all there before ours and still are ([`Present`]). Steered, new clients go to ours, and the others
//! lose none when they are closed: no client waits at them. When *ours* are closed instead, the index is beyond the
//! end, and the others get all clients again. When one of theirs is closed that is not the last, the last of ours takes
//! its place.
//!
//! # When a process dies
//!
//! | process | while steered | so |
//! |---|---|---|
//! | new HAProxy, no copy of its sockets left | indices are beyond the end: the hash, among the old | nothing to do but [`ReuseportGroup::release`] |
//! | new HAProxy, Clearway holds copies | new clients wait at them, and none is accepted | [`ReuseportGroup::revert`], then close the copies; clients that wait there are reset |
//! | old HAProxy | clients that wait at the old sockets are lost with them, as without steering | close them, release |
//! | Clearway | every HAProxy ends with it, and the group with its last socket | nothing; a takeover waits for the release |
//!
//! # One leaves, or several
//!
//! Closing one old socket is exact: `[old new]` becomes `[new]`, and index 1 is beyond the end. Closing two is
//! not: `[old old new]` becomes `[new old]`, index 2 is beyond the end, and the hash may choose the remaining old
//! one until it is closed too.
//!
//! Of `n` members of which `r` leave, all removals but the last move only the `r - 1` at the end. So a socket that
//! stays below index `n - r + 1` keeps its index meanwhile, in whatever order the old are closed:
//! [`ReuseportGroup::narrow`] chooses among those. There are such if there are as many new sockets as leave, or if
//! those that stay come first. If not ([`ReuseportGroup::needs_seal`]: two shards become one), what remains is the time
//! between two `close`: 5 microseconds if the duplicates that Clearway holds are the last and are closed in a row
//! (measured), in which a client is reset in some 3 reloads of 100 at 10,000 clients a second (computed). [`seal`]
//! turns the reset into a delay: an old socket that drops SYNs. The client's kernel sends it again after a second and
//! finds a new socket.
//!
//! # Where there is no group
//!
//! An address and a wildcard are two groups, and the kernel takes the more specific one (`inet_lookup_listener`:
//! first the address, then the wildcard; in each an interface counts more, then IPv4 more than dual-stack):
//!
//! | held | new | new clients go to | so |
//! |---|---|---|---|
//! | `0.0.0.0:80` | `10.0.0.1:80` | the new, for that address, at once | [`Reason::Narrower`]: wait as above, then close |
//! | `10.0.0.1:80` | `0.0.0.0:80` | the old, until it is closed | [`Reason::Wider`]: [`seal`], wait, close: clients that come meanwhile are a second late |
//! | `10.0.0.1:80` | nothing | the old, until it is closed | [`Reason::Unserved`]: the same, to serve the clients that came before |
//!
//! `[::]` and `[::]` with `v6only` are two groups as well; the kernel takes the older one, so that is `Wider`.
//! Sealing is possible for every socket, also where the order is unknown or a stranger is in the group, but newer
//! kernels require a capability for it. Where it is refused, waiting alone still serves the clients that came in time.
//!
//! MPTCP: `sock_diag` lists such a listener as TCP's, but the kernel takes neither option on it (`ENOTSUP`, measured on
//! 6.18): such sockets are handed over.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::fd::BorrowedFd;

use crate::listeners::HIDDEN;
use crate::queues::Listener;

mod look;
mod program;
mod reason;

pub use look::{Present, crowded, groups};
pub use reason::{NotSteerable, Reason};

/// What becomes of a socket that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is closed after the switch.
    Leaves,
    /// The new HAProxy uses it.
    Stays,
}

/// Whether the caller passes the sockets of an address in the kernel's order.
#[derive(Clone, Copy, Debug)]
pub enum SocketOrder<'a> {
    /// In the order in which they began to listen, and since the first of them none has gone from before another.
    Known,
    /// The same, but these (by inode) are the first of their group in some order ([`order_is_kept`]). Sockets that
    /// stay get new clients unless some of these leave and some stay.
    KnownBehind(&'a HashSet<u64>),
    /// In some order. Then sockets that stay get no new clients while others leave, unless there are no others.
    Unknown,
}

/// Whether the sockets of a group that stay are in the same order when all that leave are closed, in whatever order
/// those are. `fates` are in the kernel's order; a new socket stays.
pub fn order_is_kept(fates: &[Fate]) -> bool {
    let remaining = fates.iter().filter(|fate| **fate == Fate::Stays).count();
    remaining < 2 || fates.iter().take(remaining).all(|fate| *fate == Fate::Stays)
}

/// One address with new clients that can be steered. Plain data: all descriptors stay with the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReuseportGroup {
    address: SocketAddr,
    leaving: Vec<Listener>,
    members: Vec<u64>,
    held: u16,
    targets: Vec<u16>,
    /// Those of the targets that keep their index until the last old socket is closed.
    firm: Vec<u16>,
}

impl ReuseportGroup {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The sockets that leave: their clients are to be waited for ([`crate::queues::Waiting`]).
    pub fn leaving(&self) -> &[Listener] {
        &self.leaving
    }

    /// All its sockets, by inode, in the kernel's order.
    pub fn members(&self) -> &[u64] {
        &self.members
    }

    /// Whether [`Self::narrow`] cannot make the closing exact, so that it takes [`seal`].
    pub fn needs_seal(&self) -> bool {
        self.firm.is_empty()
    }

    /// Sends new clients to the sockets that are to serve, in equal shares. `via` is any socket of the group. Calling
    /// it twice changes nothing.
    pub fn steer(&self, via: BorrowedFd<'_>) -> Result<(), SteeringError> {
        self.attach(via, "steering new connections away from the old sockets", &self.targets)
    }

    /// Sends new clients to those of the new sockets that keep their index while the old ones are closed one after
    /// the other, in whatever order. The last step before closing; not for long, as it may be a single one.
    /// Without any such ([`Self::needs_seal`]) it leaves all as [`Self::steer`] made it.
    pub fn narrow(&self, via: BorrowedFd<'_>) -> Result<(), SteeringError> {
        let targets = if self.needs_seal() { &self.targets } else { &self.firm };
        self.attach(via, "steering new connections to sockets that keep their place", targets)
    }

    /// Sends new clients to the old sockets, all of them: for when the new HAProxy fails after [`Self::steer`].
    pub fn revert(&self, via: BorrowedFd<'_>) -> Result<(), SteeringError> {
        let held: Vec<u16> = (0..self.held).collect();
        self.attach(via, "steering new connections back to the old sockets", &held)
    }

    /// Leaves the choice to the kernel again. Calling it twice changes nothing.
    ///
    /// This attaches a program that chooses no socket instead of detaching (`SO_DETACH_REUSEPORT_BPF`, Linux 5.3): the
    /// effect is the same, on every kernel, and there is a safe function for it. The program is removed with the last
    /// socket of the group.
    pub fn release(&self, via: BorrowedFd<'_>) -> Result<(), SteeringError> {
        self.attach(via, "letting the kernel share out new connections again", &[])
    }

    fn attach(&self, via: BorrowedFd<'_>, doing: &'static str, indices: &[u16]) -> Result<(), SteeringError> {
        let failed = |source| SteeringError { doing, address: Some(self.address), source };
        let inode = rustix::fs::fstat(via).map_err(|errno| failed(errno.into()))?.st_ino;
        if !self.members.contains(&inode) {
            return Err(failed(io::Error::other("the socket given to do it with is not one of the group")));
        }
        program::attach(via, &program::choose(indices)).map_err(failed)
    }
}

/// [`ReuseportGroup::release`] for whatever group a socket is in: for sockets that another process has steered.
pub fn release(listener: BorrowedFd<'_>) -> Result<(), SteeringError> {
    let doing = "letting the kernel share out new connections again";
    program::attach(listener, &program::choose(&[])).map_err(|source| SteeringError {
        doing,
        address: None,
        source,
    })
}

/// Lets a listening socket ignore new connections; handshakes under way are completed.
///
/// Linux 6.18.44 requires `NET_ADMIN` for a filter on a TCP socket, in the network namespace (measured: `EPERM` with
/// every other capability; not for UDP, and not for steering). Older kernels require nothing.
///
/// Attaches a filter (`SO_ATTACH_FILTER`) that drops SYNs. The client's kernel repeats a SYN after one second,
/// three, seven: it connects late if another socket listens by then. The filter acts on the socket, for every
/// process that shares it, and a connection that completes its handshake afterwards inherits it (it gets no second SYN,
/// so that changes nothing for it). Idempotent. A filter that another program attached to the socket is replaced.
pub fn seal(listener: BorrowedFd<'_>) -> Result<(), SteeringError> {
    let doing = "letting a listening socket ignore new connections";
    program::filter(listener, &program::NO_SYN).map_err(|source| SteeringError {
        doing,
        address: None,
        source,
    })
}

/// Undoes [`seal`], for when the old HAProxy is to go on after all. Idempotent.
pub fn unseal(listener: BorrowedFd<'_>) -> Result<(), SteeringError> {
    let doing = "letting a listening socket take new connections again";
    match socket2::SockRef::from(&listener).detach_filter() {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(SteeringError { doing, address: None, source })
        }
        _ => Ok(()),
    }
}

/// Hides a listening socket from new connections, right before its last copy is closed: no SYN finds it any more. There is no way
/// back without `NET_RAW`. Does nothing to a socket that is bound to an interface.
///
/// A socket that is closed leaves its group, and after that the table of listeners; between the two the kernel handles packets
/// (`reuseport_detach_sock` and `__sk_nulls_del_node_init_rcu` in `inet_unhash`, Linux 4.5 to 6.18). A SYN that meets it in the table
/// then, before the others of the group, is answered by it, whatever program the group has, and that client is reset or waits in vain:
/// IPv6 has the oldest socket first, IPv4 the newest. Seen in one of some 7,000 closings, at 6,000 new connections a second.
/// A socket that is bound to an interface which does not exist is passed by (`compute_score`).
///
/// `SO_BINDTOIFINDEX`, Linux 5.1; without `NET_RAW` from 5.7 on.
pub fn hide(listener: BorrowedFd<'_>) -> io::Result<()> {
    let socket = socket2::SockRef::from(&listener);
    match socket.device_index_v4()? {
        None => socket.bind_device_by_index_v4(NonZeroU32::new(HIDDEN)),
        Some(_) => Ok(()),
    }
}

/// The kernel refused: `EPERM` (the socket's filter is locked, or seccomp; sealing without `NET_ADMIN`), `ENOMEM`
/// (`net.core.optmem_max`), `EINVAL` (no longer listening).
#[derive(Debug, thiserror::Error)]
#[error("{doing}{}: {source}", address.map(|address| format!(" of {address}")).unwrap_or_default())]
pub struct SteeringError {
    /// What was being done.
    pub doing: &'static str,
    /// For which group.
    pub address: Option<SocketAddr>,
    /// What the kernel said.
    pub source: io::Error,
}

#[cfg(test)]
mod tests;
