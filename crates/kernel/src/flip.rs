//! The nftables table of a table flip: new clients of a public port are sent to one of several private ports.
//!
//! ```text
//! table inet clearway_edge_flip_1a2b3c4d {         # flags owner: gone with our socket, however we end
//!   chain prerouting { type nat hook prerouting priority -110; policy accept;   # clients elsewhere
//!     meta l4proto tcp tcp flags & (fin|syn|rst|ack) == syn fib daddr type local goto ways
//!   }
//!   chain output     { type nat hook output priority -110; policy accept; ... } # clients on this host: the same
//!   chain ways {
//!     meta nfproto ipv4 meta l4proto tcp dnat ip to :ip daddr . tcp dport map @addresses4_a
//!     meta nfproto ipv4 meta l4proto tcp dnat ip to :tcp dport map @ports4_a
//!     ... the same for ipv6
//!   }
//!   chain input { type filter hook input priority filter; policy accept;
//!     meta l4proto tcp tcp flags & (fin|syn|rst|ack) == syn goto closed
//!   }
//!   chain closed {                                 # only redirected clients reach the private ports
//!     ct status & dnat == dnat return
//!     meta nfproto ipv4 ip daddr . tcp dport @closed_addresses4 reject with tcp reset
//!     meta nfproto ipv4 tcp dport @closed_ports4 reject with tcp reset
//!     ... the same for ipv6
//!   }
//! }
//! ```
//!
//! Only the port is translated, so the address that HAProxy sees stays the one that the client called. Only the first
//! packet of a connection comes to a chain of type `nat`; after that conntrack knows where it goes, whatever the maps
//! say by then. **This switches conntrack on in this network namespace**, for all of its traffic. Conntrack calls
//! connections new that were open before; therefore the rules take only SYNs, and a connection to another program at
//! that port goes on.
//!
//! **The flip.** There are two sets of maps, `_a` and `_b`; the rules use one of them. [`Flip::prepare`] fills the
//! other, which no rule reads, and [`Flip::flip`] makes the rules use it, in one transaction. The elements of a map in
//! use are never changed: before Linux 6.17 a look-up that runs while a transaction is committed may find neither the
//! old element nor the new one, and such a client would be refused. The kernel picks the rules of a chain once per
//! packet.
//!
//! **The private ports** answer a direct connection as a closed port does, with a reset; silence (`drop`) would show
//! that something is there. Only packets that open a connection are checked: without one there is no connection, and a
//! reply to a transparent socket, which has a client's port that may be the same number, is never mistaken for a direct
//! connection. The ports are closed from [`Flip::prepare`] on, before HAProxy binds them, and stay closed for two flips
//! after the one that left them, because a HAProxy may still listen there. A private port answers only redirected
//! clients, so no other program on this host should use it.
//!
//! **Two at once** (a takeover). The newer table must win: its chains come first, because each new table takes a
//! priority one lower than the lowest of a living one. At the lowest of all ([`LOWEST`]) both are equal, and the kernel
//! puts the chain first that was registered last (`nf_hook_entries_grow`). New clients then belong to the newer
//! Clearway, old ones to where they began.
//!
//! **Removal.** While any chain of type `nat` is left in the network namespace, clients that were sent to a private
//! port go on; when the last one is removed, the kernel translates nothing any more and they are cut off. So
//! [`Flip::remove`] comes last, when HAProxy has drained.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;

use clearway_core::names::InstanceName;
use netlink_packet_netfilter::nftables::TableFlags;
use rustix::io::Errno;

use crate::nft::{self, Claim, NftLimits, Ownership, TableName, TableRole, Transaction};
use content::{ClosedPort, MapSide};

mod chains;
mod content;
mod error;
mod priority;
mod way;

pub use error::FlipError;
pub use priority::LOWEST;
pub use way::Way;

/// Our table, as long as this lives: an owner table ends with the socket in here.
#[derive(Debug)]
pub struct Flip {
    table: Claim,
    /// The side with the maps that the rules use.
    side: MapSide,
    current: BTreeSet<Way>,
    /// The ways before the last flip: a HAProxy may still listen on their ports.
    former: BTreeSet<Way>,
    /// What the maps of the other side hold.
    prepared: Option<BTreeSet<Way>>,
    /// What the kernel has of closed ports.
    closed: BTreeSet<ClosedPort>,
}

impl Flip {
    /// Whether the kernel supports all this and this process may use it. Changes nothing: the kernel checks the table
    /// and undoes it. It may load modules for that (`nft_nat`, `nft_fib_inet`).
    ///
    /// [`FlipError::NoOwner`] means no, although all else works: the table could outlive this process.
    ///
    /// Needs `NET_ADMIN`.
    pub fn probe() -> Result<(), FlipError> {
        let mut client = nft::open()?;
        let name = TableName::new(None, TableRole::Flip);
        let way = |public| Way { public, private: 2 };
        let ways = BTreeSet::from([way(SocketAddr::from(([0; 4], 1))), way(SocketAddr::from(([0; 16], 1)))]);
        let mut all = Transaction::on(&name);
        all.make(TableFlags::empty());
        chains::all(&mut all, priority::USUAL);
        content::fill(&mut all, MapSide::A, &ways);
        chains::ways(&mut all, MapSide::A);
        client
            .check("asking the kernel whether it can redirect clients", all.steps())
            .map_err(error::explain)?;
        let mut owned = Transaction::on(&name);
        owned.make(TableFlags::Owner);
        match client.check("asking the kernel for an owner table", owned.steps()) {
            Err(refused) if nft::is(&refused.error, &[Errno::INVAL, Errno::OPNOTSUPP]) => {
                Err(FlipError::NoOwner)
            }
            outcome => outcome.map_err(error::explain),
        }
    }

    /// Makes the table; new clients go these ways from then on. A failure leaves nothing behind.
    ///
    /// A process must listen on the private ports by now. Needs `NET_ADMIN`.
    pub fn install(instance: Option<&InstanceName>, ways: &[Way]) -> Result<Self, FlipError> {
        Self::install_within(instance, ways, NftLimits::default(), priority::USUAL)
    }

    /// [`Flip::install`] with less than the kernel offers, or with another first priority: for tests.
    #[doc(hidden)]
    pub fn install_within(
        instance: Option<&InstanceName>,
        ways: &[Way],
        limits: NftLimits,
        usual: i32,
    ) -> Result<Self, FlipError> {
        let name = TableName::new(instance, TableRole::Flip);
        let ownership = if limits.owner { Ownership::IfPossible } else { Ownership::Never };
        let mut table = Claim::make(name, ownership)?;
        match Self::fill(&mut table, ways, usual) {
            Ok((current, closed)) => {
                let former = BTreeSet::new();
                Ok(Self { table, side: MapSide::A, current, former, prepared: None, closed })
            }
            Err(cause) => {
                // An owner table is removed with its socket anyway.
                let _ = table.remove();
                Err(cause)
            }
        }
    }

    fn fill(
        table: &mut Claim,
        ways: &[Way],
        usual: i32,
    ) -> Result<(BTreeSet<Way>, BTreeSet<ClosedPort>), FlipError> {
        let priority = priority::choose(table.client(), usual)?;
        let ways: BTreeSet<Way> = ways.iter().copied().collect();
        let closed = content::closed(&ways);
        let mut all = Transaction::on(table.name());
        chains::all(&mut all, priority);
        content::fill(&mut all, MapSide::A, &ways);
        content::close(&mut all, &BTreeSet::new(), &closed);
        chains::ways(&mut all, MapSide::A);
        table.commit("filling the nftables table", &all).map_err(error::explain)?;
        Ok((ways, closed))
    }

    /// Prepares a flip to these ways and closes their private ports to direct connections: before HAProxy binds them.
    /// What was prepared before and not flipped to is forgotten. Nothing changes for clients.
    pub fn prepare(&mut self, ways: &[Way]) -> Result<(), FlipError> {
        let ways: BTreeSet<Way> = ways.iter().copied().collect();
        let all = ways.iter().chain(&self.current).chain(&self.former).copied().collect();
        let closed = content::closed(&all);
        let mut changes = Transaction::on(self.table.name());
        content::clear(&mut changes, self.side.other());
        content::fill(&mut changes, self.side.other(), &ways);
        content::close(&mut changes, &self.closed, &closed);
        self.table.commit("preparing a flip in", &changes).map_err(error::explain)?;
        self.closed = closed;
        self.prepared = Some(ways);
        Ok(())
    }

    /// All new clients go these ways from now on, in one transaction; connections stay where they are, also those that
    /// wait to be accepted: the process that leaves must accept them first.
    pub fn flip(&mut self, ways: &[Way]) -> Result<(), FlipError> {
        let wanted: BTreeSet<Way> = ways.iter().copied().collect();
        if self.prepared.as_ref() != Some(&wanted) {
            self.prepare(ways)?;
        }
        let mut flipped = Transaction::on(self.table.name());
        chains::ways(&mut flipped, self.side.other());
        self.table.commit("flipping", &flipped).map_err(error::explain)?;
        self.side = self.side.other();
        self.former = std::mem::replace(&mut self.current, wanted);
        self.prepared = None;
        Ok(())
    }

    /// Where new clients go.
    pub fn ways(&self) -> &BTreeSet<Way> {
        &self.current
    }

    /// The tables of other living Clearways of the same named instance; newer ones come first.
    pub fn siblings(&mut self) -> Result<HashSet<TableName>, FlipError> {
        let tables = nft::list(self.table.client())?;
        let own = self.table.name();
        let siblings =
            tables.into_iter().filter(|table| table.name.is_sibling_of(own) && nft::is_alive(table));
        Ok(siblings.map(|table| table.name).collect())
    }

    /// Removes the table with all that is in it. Nothing to do is success. See the module for when.
    pub fn remove(&mut self) -> Result<(), FlipError> {
        Ok(self.table.remove()?)
    }

    /// Its name in `nft list tables`.
    pub fn name(&self) -> &TableName {
        self.table.name()
    }

    /// Whether the kernel removes it when this process ends.
    pub fn is_owner(&self) -> bool {
        self.table.is_owner()
    }
}

#[cfg(test)]
mod tests;
