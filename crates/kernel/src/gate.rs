//! Stopping new clients for a moment, while one HAProxy takes over from another: the strategies `syn-drop` and `plug`.
//!
//! ```text
//! table inet clearway_edge_gate_1a2b3c4d {         # flags owner: gone with our socket, however we end
//!   set ports { type inet_service; flags timeout; elements = { 80 timeout 800ms } }
//!   chain input { type filter hook input priority 299; policy accept;
//!     tcp flags & (fin | syn | rst | ack) == syn goto closed
//!   }
//!   chain closed {
//!     tcp dport @ports counter drop                # or: queue flags bypass to 40123
//!   }
//! }
//! ```
//!
//! Only new connections are stopped: what is established or half open flows on. `input` sees clients from outside and
//! on this host alike, after conntrack and NAT; its priority is late, so that a packet that other rules drop is not
//! held.
//!
//! **What opens it.** [`Gate::open`], or dropping the [`Gate`]. If this process fails, the kernel does:
//!
//! | what happens | new SYNs | SYNs that are held |
//! |---|---|---|
//! | this process is killed | pass at once: the owner table is gone; without one (before Linux 5.12) `bypass` lets them through, or the elements time out | are dropped with the queue; clients send again after a second |
//! | it is stopped (SIGSTOP) | pass within [`TIMEOUT`]: the elements are not refreshed | wait; clients send again after a second, which passes |
//! | its thread fails, or the queue is full | pass: `bypass`, `fail-open` | are accepted |
//! | the gate is not opened | pass after [`LONGEST`] | are accepted |
//!
//! **Order of opening.** First the rule is removed, in one transaction; then all packets that wait are accepted, in the
//! order in which they came; then, for a moment, those that were on the way into the queue; then what the rules have
//! dropped is read, and the table and the queue are removed. Not the table first: when it removes a hook, the kernel drops every packet that waits in *any*
//! queue of the network namespace.

use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clearway_core::names::InstanceName;
use rustix::event::{EventfdFlags, eventfd};

use crate::netlink::{BatchError, Feature};
use crate::nft::{Claim, Ownership, TableName, TableRole};
use keeper::GateKeeper;
use keys::Keys;
use queue::NetfilterQueue;
use rules::{QueueBy, SynAction, Tally};

mod error;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod keeper;
mod keys;
mod queue;
mod rules;
mod tally;

pub use error::GateError;
pub use keeper::Opened;
pub use keys::{BoundAddress, TIMEOUT};

/// How long a gate stays closed at most, if it is not opened: longer than HAProxy needs to load thousands of
/// certificates.
pub const LONGEST: Duration = Duration::from_secs(30);

/// How many SYNs are held at most; what comes then passes.
const LENGTH: u32 = 16 * 1024;

/// What becomes of a SYN that comes to a closed gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It is dropped. The client sends it again, after a second at first.
    Drop,
    /// It waits in a netfilter queue and goes on when the gate opens.
    Hold,
}

/// Less than the kernel offers, for tests of the fallbacks.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct GateLimits {
    /// Owner tables (Linux 5.12).
    pub owner: bool,
    /// The nft expression `queue`.
    pub expression: bool,
    /// The nft expression `counter`.
    pub counter: bool,
    /// How many SYNs are held.
    pub length: u32,
    /// How long it stays closed.
    pub longest: Duration,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self { owner: true, expression: true, counter: true, length: LENGTH, longest: LONGEST }
    }
}

/// A closed gate; dropping it opens it.
#[derive(Debug)]
pub struct Gate {
    /// The thread ends when this is written to.
    stop: OwnedFd,
    thread: Option<JoinHandle<GateKeeper>>,
}

impl Gate {
    /// Whether this kernel supports it and this process may use it. Changes nothing: the batch is never committed, and
    /// a queue that no rule leads to is bound and released.
    pub fn probe(manner: Manner) -> Result<(), GateError> {
        Self::probe_within(manner, GateLimits::default())
    }

    /// [`Gate::probe`] with less than the kernel offers.
    #[doc(hidden)]
    pub fn probe_within(manner: Manner, limits: GateLimits) -> Result<(), GateError> {
        let mut client = crate::nft::open()?;
        let queue = Self::queue(manner, limits)?;
        let name = TableName::new(None, TableRole::Gate);
        let check =
            |how| client.check("asking whether new clients can be stopped", rules::trial(&name, how).steps());
        with_some_rule(queue.as_ref(), limits, check).map(drop)
    }

    /// Closes the gate for these. `ports`: any address, both families.
    ///
    /// Needs `NET_ADMIN`. It is closed when this returns.
    pub fn close(
        instance: Option<&InstanceName>,
        manner: Manner,
        addresses: &[BoundAddress],
        ports: &[u16],
    ) -> Result<Self, GateError> {
        Self::close_within(instance, manner, addresses, ports, GateLimits::default())
    }

    /// [`Gate::close`] with less than the kernel offers.
    #[doc(hidden)]
    pub fn close_within(
        instance: Option<&InstanceName>,
        manner: Manner,
        addresses: &[BoundAddress],
        ports: &[u16],
        limits: GateLimits,
    ) -> Result<Self, GateError> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| GateError::Thread(errno.into()))?;
        let listener = stop.try_clone().map_err(GateError::Thread)?;
        // The queue first: rules that lead to none let everything pass.
        let queue = Self::queue(manner, limits)?;
        let keys = Keys::of(addresses, ports);
        let name = TableName::new(instance, TableRole::Gate);
        let ownership = if limits.owner { Ownership::IfPossible } else { Ownership::Never };
        let mut table = Claim::make(name, ownership)?;
        let fill = |how| {
            let closing = rules::closing(table.name(), &keys, how);
            table.commit("filling the nftables table", &closing)
        };
        let begun = Instant::now();
        if let Err(error) = with_some_rule(queue.as_ref(), limits, fill) {
            // An owner table is removed with its socket.
            let _ = table.remove();
            return Err(error);
        }
        let keeper = GateKeeper::new(table, keys, queue, begun, limits.longest);
        let thread = std::thread::Builder::new().name("gate".to_owned());
        // If it cannot be had, the keeper is dropped with all it has, which opens.
        let thread = thread.spawn(move || keeper.keep(&listener)).map_err(GateError::Thread)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    fn queue(manner: Manner, limits: GateLimits) -> Result<Option<NetfilterQueue>, GateError> {
        match manner {
            Manner::Drop => Ok(None),
            Manner::Hold => NetfilterQueue::bind(limits.length).map(Some),
        }
    }

    /// Opens the gate, and accepts the SYNs that were held, in order.
    ///
    /// An error does not mean that it stays closed: what could not be removed is removed with our socket, or has no
    /// effect after [`TIMEOUT`].
    pub fn open(mut self) -> Result<Opened, GateError> {
        match self.keeper() {
            Some(keeper) => keeper.open(),
            None => Err(GateError::ThreadEnded),
        }
    }

    /// The keeper, back from its thread; none if that has panicked.
    fn keeper(&mut self) -> Option<GateKeeper> {
        let thread = self.thread.take()?;
        // A counter that is full would mean that it has been told already.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        thread.join().ok()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // A keeper that is dropped opens.
        drop(self.keeper());
    }
}

/// Tries the rules with the expression `queue`, then with iptables' target, as far as the kernel takes them.
fn with_some_rule(
    queue: Option<&NetfilterQueue>,
    limits: GateLimits,
    mut attempt: impl FnMut(SynAction) -> Result<(), BatchError>,
) -> Result<SynAction, GateError> {
    let Some(queue) = queue else { return dropping(limits, attempt) };
    let ways = [QueueBy::Expression, QueueBy::Target];
    let mut refusals = Vec::new();
    for by in ways.into_iter().filter(|by| limits.expression || *by == QueueBy::Target) {
        let how = SynAction::Queue { number: queue.number(), by };
        if by == QueueBy::Target {
            load_target(queue.number())?;
        }
        match attempt(how) {
            Ok(()) => return Ok(how),
            Err(refused) if refused.needs == Some(Feature::Queue) => refusals.push(refused),
            Err(refused) => return Err(error::of_table(refused)),
        }
    }
    Err(error::of_rules(refusals))
}

/// Tries rules that count what they drop, then such that do not.
fn dropping(
    limits: GateLimits,
    mut attempt: impl FnMut(SynAction) -> Result<(), BatchError>,
) -> Result<SynAction, GateError> {
    let (counted, uncounted) = (SynAction::Drop(Tally::Counted), SynAction::Drop(Tally::Uncounted));
    let how = match limits.counter.then(|| attempt(counted)) {
        Some(Ok(())) => return Ok(counted),
        Some(Err(refused)) if !error::lacks_counter(&refused) => Err(refused),
        Some(Err(_)) | None => attempt(uncounted),
    };
    how.map(|()| uncounted).map_err(error::of_table)
}

/// Makes the kernel load iptables' target, if it is a module. If it cannot, making the rules fails.
fn load_target(number: u16) -> Result<(), GateError> {
    let target = rules::target_of_ipv4(&TableName::new(None, TableRole::Gate), number);
    let _ = crate::nft::open()?.check_ipv4("loading iptables' target", target.steps());
    Ok(())
}

#[cfg(test)]
mod tests;
