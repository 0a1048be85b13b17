//! Clients that wait at a listening socket, and when none waits any more: reading only.
//!
//! A client waits in one of two places. While the handshake runs it is a *request*, `SYN_RECV`, in the kernel's
//! table of connections; the request remembers its listener, whichever socket new ones go to.
//! Then it is in the listener's *accept queue*. If the listener is closed, both are reset
//! (`inet_csk_listen_stop`; a request when its last packet comes and finds no listener).
//!
//! `sock_diag` tells the length of the accept queue (`sk_ack_backlog`, as `ss -l` shows it), but of a request
//! only both addresses, not the listener. So [`Waiting::begin`] notes the requests that exist once no new one
//! goes to the old sockets, and [`Waiting::poll`] asks whether one of *them* is left. In this order: first the
//! requests, then the queues, as a request that is complete moves from there to here.
//!
//! Both have a moment in which a client is in neither place: a packet on another CPU that has chosen its listener
//! and has left no request yet, and a request that becomes a connection (`inet_ehash_insert` takes the one out and
//! puts the other in, and a dump passes by an empty bucket without its lock). That is nanoseconds, or as long as a
//! hypervisor takes the CPU away. Packets are received inside of RCU read sections, so a
//! grace period ends it: [`Waiting`] waits for one after the steering and one after the last request
//! (`membarrier`, command global, Linux 4.3). It takes 4 to 40 ms, half a second on a machine without an idle
//! CPU (measured): nothing for an event loop. Where `membarrier` is refused (`nohz_full`, an old seccomp profile)
//! it is left out, and the moments remain.
//!
//! What is promised when [`Remaining::is_nothing`] says so: a client that came before `begin` is accepted, has
//! gone, or has been given up by the kernel. What is not:
//! - A client that is silent in the middle of its handshake is waited for as long as the kernel retransmits
//!   (`tcp_synack_retries`: 63 s), with `TCP_DEFER_ACCEPT` (HAProxy's `defer-accept`) one that sends no data too.
//!   The caller has a deadline.
//! - With SYN cookies there is no request. The packet that completes the handshake is a new choice of listener,
//!   which is what one wants; the whole group accepts cookies once one of its members has sent some
//!   (`reuseport_synq_overflow`, Linux 4.19).
//! - A process must accept them. After the old HAProxy was told to end, none does.
//!
//! Listing requests walks the table of all connections of the machine: for each address family 0.3 ms with few
//! connections and 8 ms with 20,000 sockets (measured, Linux 6.18). `begin` does it once and `poll` only as long
//! as a request is left; the queues alone are 0.02 ms. Polling every 5 to 20 ms is plenty.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::net::SocketAddr;

use rustix::thread::{MembarrierCommand, membarrier};

use crate::listeners::{Nearby, SockDiagError, TcpSocket, TcpState, covers, rows};
use crate::transparency::Family;

pub(crate) mod limits;

pub use limits::{limits, most, set_limit};

/// A listening socket, by what tells it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// Its inode: the same for every duplicate of it in whatever process.
    pub inode: u64,
    /// Where it is bound.
    pub address: SocketAddr,
    /// `IPV6_V6ONLY`; `false` for IPv4.
    pub v6only: bool,
}

impl Listener {
    /// Whether a request to this local address can be for it.
    fn hears(&self, local: SocketAddr) -> bool {
        self.address.port() == local.port() && covers(self.address.ip(), self.v6only, local.ip())
    }
}

/// The accept queue of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptQueue {
    /// The inode of the listening socket.
    pub inode: u64,
    /// Where that listens.
    pub address: SocketAddr,
    /// How many connections wait.
    pub waiting: u32,
    /// How many may: the smaller of `listen`'s argument and `net.core.somaxconn`.
    pub limit: u32,
    /// How many packets the socket has dropped since it was made: SYNs and last packets of handshakes for which there was
    /// no room, and what a filter of its own refused. Unset: the kernel does not say.
    pub drops: Option<u32>,
}

impl From<TcpSocket> for AcceptQueue {
    fn from(row: TcpSocket) -> Self {
        let TcpSocket { inode, local: address, waiting, limit, drops, .. } = row;
        Self { inode, address, waiting, limit, drops }
    }
}

/// The accept queues of all sockets that listen in this network namespace.
pub fn all() -> Result<Vec<AcceptQueue>, SockDiagError> {
    Ok(rows(TcpState::Listen, 0, &Family::ALL)?.into_iter().map(AcceptQueue::from).collect())
}

/// The accept queues of those of the sockets that listen in this network namespace.
pub fn queues<S: BuildHasher>(inodes: &HashSet<u64, S>) -> Result<Vec<AcceptQueue>, SockDiagError> {
    Ok(all()?.into_iter().filter(|queue| inodes.contains(&queue.inode)).collect())
}

/// A request: its handshake is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HalfOpen {
    /// What the client connects to.
    pub local: SocketAddr,
    /// Where it comes from.
    pub remote: SocketAddr,
}

impl From<TcpSocket> for HalfOpen {
    fn from(row: TcpSocket) -> Self {
        Self { local: row.local, remote: row.remote }
    }
}

/// The requests that may be for one of the listeners: to its port, and to an address that it hears.
///
/// A request to `10.0.0.1:80` is counted for a listener on `0.0.0.0:80` even where another one listens on
/// `10.0.0.1:80`: the kernel does not say.
pub fn half_open(listeners: &[Listener]) -> Result<HashSet<HalfOpen>, SockDiagError> {
    let requests = meant_for(listeners, TcpState::SynRecv)?;
    Ok(requests.into_iter().map(HalfOpen::from).collect())
}

/// Both ends of the connections, the local one first, that wait in the accept queues of these listeners, or of others that hear
/// the same addresses.
///
/// Walks the table of all connections, as [`half_open`] does.
pub fn not_accepted(listeners: &[Listener]) -> Result<HashSet<(SocketAddr, SocketAddr)>, SockDiagError> {
    let connected = meant_for(listeners, TcpState::Connected)?.into_iter();
    Ok(connected.filter(|row| row.inode == 0).map(|row| (row.local, row.remote)).collect())
}

/// The connections in one state that may be for one of the listeners.
fn meant_for(listeners: &[Listener], state: TcpState) -> Result<Vec<TcpSocket>, SockDiagError> {
    let mut ports: Vec<u16> = listeners.iter().map(|listener| listener.address.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    // One walk through the whole table is as dear as one for a single port.
    let port = match ports[..] {
        [] => return Ok(Vec::new()),
        [port] => port,
        _ => 0,
    };
    // An IPv6 listener may have requests of both families.
    let families: &[Family] =
        if listeners.iter().all(|l| l.address.is_ipv4()) { &[Family::V4] } else { &Family::ALL };
    // There may be thousands of either; those of several shards are one address.
    let mut seen = HashSet::new();
    let addresses = listeners.iter().filter(|one| seen.insert((one.address, one.v6only)));
    let nearby = Nearby::of(addresses.map(|one| (one.address, *one)));
    let is_heard = |row: &TcpSocket| nearby.to(row.local).any(|one| one.hears(row.local));
    Ok(rows(state, port, families)?.into_iter().filter(is_heard).collect())
}

/// The clients of sockets that get no new ones.
#[derive(Clone, Debug)]
pub struct Waiting {
    listeners: Vec<Listener>,
    requests: HashSet<HalfOpen>,
}

/// What still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Connections in the accept queues.
    pub queued: u32,
    /// Requests from before.
    pub half_open: usize,
    /// How many of the sockets still listen. Not part of [`Self::is_nothing`]; 0 once all duplicates are closed.
    pub listening: usize,
}

impl Remaining {
    /// Whether no client waits: closing the sockets resets none of those that came before.
    pub fn is_nothing(&self) -> bool {
        self.queued == 0 && self.half_open == 0
    }
}

impl Waiting {
    /// Notes the requests that exist, right after new clients were sent elsewhere.
    ///
    /// Waits for a grace period first.
    pub fn begin(listeners: Vec<Listener>) -> Result<Self, SockDiagError> {
        grace_period();
        let requests = half_open(&listeners)?;
        Ok(Self { listeners, requests })
    }

    /// Looks once. Does not wait, but for a grace period when the last of the requests is found gone.
    pub fn poll(&mut self) -> Result<Remaining, SockDiagError> {
        if !self.requests.is_empty() {
            let now = half_open(&self.listeners)?;
            self.requests.retain(|request| now.contains(request));
            if self.requests.is_empty() {
                grace_period();
            }
        }
        let inodes: HashSet<u64> = self.listeners.iter().map(|listener| listener.inode).collect();
        let alive = queues(&inodes)?;
        let queued = alive.iter().fold(0_u32, |sum, queue| sum.saturating_add(queue.waiting));
        let listening = alive.iter().map(|queue| queue.inode).collect::<HashSet<_>>().len();
        Ok(Remaining { queued, half_open: self.requests.len(), listening })
    }
}

/// Waits until every packet that is being worked on now has been.
fn grace_period() {
    let _ = membarrier(MembarrierCommand::Global);
}

#[cfg(test)]
mod tests;
