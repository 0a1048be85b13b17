//! The way to change nftables, and the table that marks packets for transparent sockets.
//!
//! Whatever changes nftables, here and in [`crate::flip`] and [`crate::gate`], is written as a `Transaction` of chains,
//! `NftRule`s and sets; nothing else knows the messages. The table for transparent sockets:
//!
//! ```text
//! table inet clearway_edge_0_1a2b3c4d {            # flags owner: gone with our socket, however we end
//!   chain prerouting { type filter hook prerouting priority mangle; policy accept;
//!     iif "lo" return
//!     meta l4proto tcp       socket transparent 1 goto divert
//!     meta l4proto icmp      socket transparent 1 goto divert     # fragmentation needed, for path MTU
//!     meta l4proto ipv6-icmp socket transparent 1 goto divert
//!   }
//!   chain divert {
//!     socket wildcard 1 return       # a transparent *wildcard* listener must not hijack what is forwarded
//!     meta mark set meta mark | 0x20000000 accept
//!   }
//!   chain forward { type filter hook forward priority raw; policy accept;
//!     meta mark & 0x20000000 == 0x20000000 drop     # its rule or route was removed: it will be sent again
//!   }
//! }
//! ```
//!
//! Only for servers on this host's own addresses there is more, which switches conntrack on in this network
//! namespace:
//!
//! ```text
//!   chain prerouting { ...           # at its end: answers a SYN-ACK that comes too late
//!     meta l4proto tcp ct direction reply ct mark & 0x20000000 == 0x20000000 reject with tcp reset
//!   }
//!   chain output { type route hook output priority mangle; policy accept;
//!     meta l4proto tcp ct direction original socket transparent 1 ct mark set ct mark | 0x20000000
//!     ct direction reply ct mark & 0x20000000 == 0x20000000 meta mark set meta mark | 0x40000000
//!   }
//!   chain postrouting { type filter hook postrouting priority raw; policy accept;
//!     oif != "lo" meta mark & 0x40000000 == 0x40000000 drop
//!   }
//! ```
//!
//! The connection mark has the bit of diverted packets, never that of replies: a program that restores connection marks
//! to packets in `output` would otherwise send HAProxy's own packets the wrong way. With this bit they meet the `goto`
//! (see [`crate::routing`]) and nothing happens.
//!
//! What is intercepted on its way through this host has a chain of its own: `nft/interception.rs`.
//!
//! Every `socket` expression looks the socket up anew (`nft_socket_eval` keeps nothing), so the condition that nearly
//! every foreign packet fails comes first, and once: a packet that is not TCP or ICMP costs four comparisons, a TCP
//! packet of another program one look-up. The guard must be a `return` of its own, never `wildcard 0` in the rule: for
//! a socket in `TIME_WAIT` the kernel cannot tell (`NFT_BREAK`), and its packets need the mark as well.
//!
//! The table is made empty first ([`Table::claim`]): it is the sign of life of its block (see [`crate::plumbing`]). The
//! chains come last ([`Table::apply`]) and go first ([`Table::remove_chains`]). Where the kernel lacks owner tables
//! (before 5.12) a plain table with a token (see [`crate::token`]) does the same, except that a killed process leaves
//! it behind for the next sweep.

use clearway_core::intercept::Interception;
use clearway_core::names::Mark;
use rustix::io::Errno;

use crate::netlink::{Feature, NetlinkClient};
use content::{Content, Own};

mod access;
mod chains;
mod claim;
mod content;
mod error;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod interception;
mod list;
mod name;
mod rule;
mod set;
mod strays;
mod transaction;

pub use access::open;
pub(crate) use access::{absent_is_fine, delete};
pub(crate) use claim::{Claim, Ownership};
pub use error::NftError;
pub(crate) use error::{explain, is};
pub(crate) use list::is_alive;
pub use list::{Listed, list};
pub(crate) use name::nonce;
pub use name::{ForeignTableName, TableName, TableRole};
pub(crate) use rule::NftRule;
pub(crate) use set::{Element, SetType, Values, leading_to, member, member_for};
pub(crate) use transaction::{ChainType, Transaction};

/// Less than the kernel offers, for tests of the fallbacks.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct NftLimits {
    /// Owner tables (Linux 5.12).
    pub owner: bool,
    /// `socket wildcard` (Linux 5.10).
    pub wildcard: bool,
    /// `reject` in `prerouting` (Linux 5.9).
    pub reset: bool,
}

impl Default for NftLimits {
    fn default() -> Self {
        Self { owner: true, wildcard: true, reset: true }
    }
}

/// Our table, as long as this lives: an owner table ends with the socket in here.
#[derive(Debug)]
pub struct Table {
    claim: Claim,
    limits: NftLimits,
    /// Its content; none before [`Table::apply`].
    content: Option<Content>,
    /// The content of the chain that intercepts, if it has one.
    interception: Option<Interception>,
}

impl Table {
    /// Makes the empty table, owned if the kernel can, else with a token bound before it (see [`crate::token`]).
    pub fn claim(name: TableName, limits: NftLimits) -> Result<Self, NftError> {
        let ownership = if limits.owner { Ownership::IfPossible } else { Ownership::Never };
        Ok(Self { claim: Claim::make(name, ownership)?, limits, content: None, interception: None })
    }

    /// Makes a plain table again, empty, if others have removed it, and says whether they had. They cannot
    /// remove an owner table.
    pub fn restore(&mut self) -> Result<bool, NftError> {
        self.claim.restore()
    }

    /// Fills the table with the chains and rules; a second time, fills it anew. `replies` is the bit of replies
    /// of servers on own addresses, if there are any; `interception` may be empty.
    ///
    /// One transaction. The guard against wildcard listeners is left out where the kernel does not know it
    /// (`EOPNOTSUPP` before 5.10), and so is the rule that resets (`EOPNOTSUPP` before 5.9, `ENOENT` without
    /// `nft_reject_inet`): see [`Table::has_wildcard_guard`], [`Table::has_reset`].
    pub fn apply(
        &mut self,
        mark: Mark,
        replies: Option<Mark>,
        interception: &Interception,
    ) -> Result<(), NftError> {
        let own = replies.map(|mark| Own { mark, reset: self.limits.reset });
        let mut content = Content { mark, guard: self.limits.wildcard, own };
        // Once it is there it stays, perhaps empty.
        let chain = (!interception.is_empty() || self.interception.is_some()).then_some(interception);
        loop {
            let changes = content::fill(self.name(), &content, chain, self.replies().is_some());
            let Err(refused) = self.claim.commit("filling the nftables table", &changes) else { break };
            match (refused.needs, &mut content) {
                (Some(Feature::Wildcard), Content { guard, .. }) if !is(&refused.error, &[Errno::NOENT]) => {
                    *guard = false;
                }
                (Some(Feature::Reject), Content { own: Some(own), .. })
                    if is(&refused.error, &[Errno::NOENT, Errno::OPNOTSUPP]) =>
                {
                    own.reset = false;
                }
                _ => return Err(explain(refused)),
            }
        }
        self.content = Some(content);
        self.interception = chain.cloned();
        Ok(())
    }

    /// Removes chains and rules: no packet is marked any more. Nothing to do is success.
    pub fn remove_chains(&mut self) -> Result<(), NftError> {
        let (output, intercepting) = (self.replies().is_some(), self.interception.is_some());
        let removal = content::removal(self.name(), output, intercepting);
        absent_is_fine(self.claim.commit("emptying the nftables table", &removal))
    }

    /// Removes the table with all that is in it, then its sign of life. Nothing to do is success.
    pub fn remove(&mut self) -> Result<(), NftError> {
        self.claim.remove()
    }

    /// Its name in `nft list tables`.
    pub fn name(&self) -> &TableName {
        self.claim.name()
    }

    /// Whether the kernel removes it when this process ends.
    pub fn is_owner(&self) -> bool {
        self.claim.is_owner()
    }

    /// Whether a transparent wildcard listener is kept from hijacking forwarded packets.
    pub fn has_wildcard_guard(&self) -> bool {
        self.content.is_some_and(|content| content.guard)
    }

    /// The bit that replies of servers on own addresses get, if they do.
    pub fn replies(&self) -> Option<Mark> {
        self.content.and_then(|content| content.own).map(|own| own.mark)
    }

    /// What it intercepts, if anything.
    pub fn interception(&self) -> Option<&Interception> {
        self.interception.as_ref().filter(|some| !some.is_empty())
    }

    /// Whether a late SYN-ACK is answered with a reset.
    pub fn has_reset(&self) -> bool {
        self.content.and_then(|content| content.own).is_some_and(|own| own.reset)
    }

    /// The socket that owns the table.
    pub fn client(&mut self) -> &mut NetlinkClient {
        self.claim.client()
    }
}

#[cfg(test)]
mod tests;
