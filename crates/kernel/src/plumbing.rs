//! The nftables table, the rules and the routes together.
//!
//! **Tokens of life.** Rules and routes have no owner, the table has: it is gone when its process is, and
//! its name says which block of rules and routes goes with it. So a block is *living* while a table names
//! it (a plain table, before Linux 5.12: while the socket of its name is bound, see [`crate::token`]), and
//! what is tagged in any other block is residue.
//!
//! **Order.** The table is made first, empty; then routes, rules, and the chains last. Removal is the
//! reverse. So no packet is ever marked without a route, and no rule of a living process is without a table.
//!
//! **Two at once.** A block is chosen from a list and claimed by the table, then the list is read again. If
//! another table has the block by then, the one that was made first keeps it: the kernel numbers tables
//! (handles), so both see the same order, and the second is certain to see the first, because its own table was
//! made, and the list read, later. The second gives its table up and chooses anew. Several Clearways of one
//! *named* instance share one block on purpose (a takeover).
//!
//! **Sweep against install.** [`sweep`] lists rules and routes first and tables second. A rule that it saw
//! was made after its installer's table, which it therefore sees as well, unless both are gone. What
//! remains is a sweep or the removal by a predecessor that has decided to delete an object which a
//! newcomer, claiming the dead block at this very moment, is about to find there or to make again. These
//! three therefore run under one lock per network namespace ([`token::lock`]); where it cannot be had,
//! [`PlumbingNotice::Unlocked`] says so, and [`Plumbing::repair`] puts back what such a collision took.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use clearway_core::intercept::Fail;
use clearway_core::names::{InstanceName, Mark, TableId};
use serde::{Deserialize, Serialize};

use crate::netlink::{NetlinkClient, Protocol};
use crate::nft::{self, NftLimits, Table, TableName, TableRole};
pub use crate::routing::Closing;
use crate::routing::{self, Block, Family, Removals, RoutingError};
use crate::token;
use choice::MarkPurpose;

pub(crate) mod choice;
mod error;
mod follow;
mod needs;
mod notice;
mod sweep;

pub use error::{PlumbingError, RemoveErrors};
pub use needs::{PlumbingNeeds, Repaired};
pub use notice::PlumbingNotice;
pub use sweep::{Swept, any_process_lives, closed, residue, sweep, sweep_but};

/// How often a block is chosen anew because another Clearway was faster.
const ATTEMPTS: usize = 16;

/// What one Clearway has in the kernel. Dropping it removes an owner table and nothing else:
/// call [`Plumbing::remove`].
#[derive(Debug)]
pub struct Plumbing {
    table: Table,
    route: NetlinkClient,
    block: Block,
    mark: Mark,
    families: Vec<Family>,
    /// Checked and in one form.
    needs: PlumbingNeeds,
    /// The bit of replies, as long as [`PlumbingNeeds::own`].
    replies: Option<Mark>,
    intercepting: Intercepting,
}

/// Whether new connections are intercepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intercepting {
    /// As [`PlumbingNeeds::interception`] says.
    Yes,
    /// Another process does.
    NoMore,
}

/// What is installed, for people and for the admin interface.
#[expect(clippy::struct_excessive_bools, reason = "each is a line of its own in the status")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The nftables table, of family `inet`.
    pub table: String,
    /// The bit of the mark.
    pub mark: Mark,
    /// The routing table.
    pub route_table: TableId,
    /// The preferences of the rules: jump, look-up, target.
    pub preferences: [u32; 3],
    /// Whether the kernel removes the table when the process ends.
    pub owner: bool,
    /// Whether transparent wildcard listeners are kept from hijacking forwarded packets.
    pub wildcard_guard: bool,
    /// For which families there are rules and routes.
    pub families: Vec<Family>,
    /// For which loopback servers there is a rule.
    pub loopback: BTreeSet<SocketAddr>,
    /// Whether there is what servers on own addresses need: then conntrack is on.
    pub own: bool,
    /// The bit of replies of servers on own addresses.
    pub reply_mark: Option<Mark>,
    /// Whether a SYN-ACK that comes too late is answered with a reset (only with `own`).
    pub late_reset: bool,
    /// What is intercepted on its way through this host, rule by rule.
    pub intercepts: Vec<String>,
    /// What becomes of that when Clearway is gone; unset if nothing is intercepted.
    pub fail: Option<Fail>,
}

impl Plumbing {
    /// Makes everything, or nothing: a failure rolls back, but for what is closed ([`Closing`]): that is safe.
    ///
    /// Needs `NET_ADMIN`. Without a mark, bit 29 or the next one that no foreign rule uses is taken; a
    /// living sibling's mark comes first. The bit of replies is chosen likewise. Where only what
    /// [`PlumbingNeeds::own`] asks for cannot be had, [`PlumbingError::is_without_conntrack`] says so.
    pub fn install(
        instance: Option<&InstanceName>,
        mark: Option<Mark>,
        needs: &PlumbingNeeds,
    ) -> Result<(Self, Vec<PlumbingNotice>), PlumbingError> {
        Self::install_within(instance, mark, needs, NftLimits::default())
    }

    /// [`Plumbing::install`] with less than the kernel offers: for tests of the fallbacks.
    #[doc(hidden)]
    pub fn install_within(
        instance: Option<&InstanceName>,
        mark: Option<Mark>,
        needs: &PlumbingNeeds,
        limits: NftLimits,
    ) -> Result<(Self, Vec<PlumbingNotice>), PlumbingError> {
        let needs = needs.checked()?;
        let lock = token::lock();
        let mut notices = Vec::new();
        notices.extend(lock.is_none().then_some(PlumbingNotice::Unlocked));
        let mut plumbing = Self::claim(instance, mark, limits, &mut notices)?;
        match plumbing.fill(needs, &mut notices) {
            Ok(()) => Ok((plumbing, notices)),
            Err(cause) => Err(match plumbing.remove_locked(Closing::Stays) {
                Ok(()) => cause,
                Err(left) => PlumbingError::Stuck { cause: Box::new(cause), left },
            }),
        }
    }

    /// The empty table, with a block that is ours.
    fn claim(
        instance: Option<&InstanceName>,
        mark: Option<Mark>,
        limits: NftLimits,
        notices: &mut Vec<PlumbingNotice>,
    ) -> Result<Self, PlumbingError> {
        let mut route = NetlinkClient::open(Protocol::Route).map_err(RoutingError::Netlink)?;
        let mut lister = nft::open()?;
        for _ in 0..ATTEMPTS {
            let living = choice::living(&mut lister)?;
            let rules = choice::all_rules(&mut route)?;
            let block = choice::block(instance, &living, &rules, &mut route)?;
            let sibling = choice::mark_of_sibling(instance, &living, &rules);
            let rivals = choice::rivals(MarkPurpose::Diverted, &living, &rules);
            let (mark, moved) = choice::mark(mark, sibling, &rivals)?;
            let name = TableName::new(instance, TableRole::Plumbing(block));
            let mut table = Table::claim(name, limits)?;
            if choice::is_beaten(table.name(), &choice::living(&mut lister)?) {
                table.remove()?;
                continue;
            }
            notices.extend(moved);
            let needs = PlumbingNeeds::default();
            let (families, intercepting) = (Vec::new(), Intercepting::Yes);
            return Ok(Self { table, route, block, mark, families, needs, replies: None, intercepting });
        }
        Err(PlumbingError::NoPeace { attempts: ATTEMPTS })
    }

    /// Routes, rules, chains.
    fn fill(&mut self, needs: PlumbingNeeds, notices: &mut Vec<PlumbingNotice>) -> Result<(), PlumbingError> {
        let alone = self.siblings()?.is_empty();
        self.replies = self.choose_replies(&needs)?;
        self.needs = needs;
        for family in Family::ALL {
            match self.apply_routing(family) {
                Ok(_) => self.families.push(family),
                Err(error) if family == Family::V6 && error.is_without_family() => {
                    // Part of it may have been accepted.
                    let _ = routing::remove(&mut self.route, self.block, &[family], Closing::Goes);
                    notices.push(PlumbingNotice::NoFamily { family, why: error.to_string() });
                }
                Err(error) => return Err(error.into()),
            }
        }
        if alone {
            // Everything else with our tag in this block was left by a dead process, perhaps with another mark.
            self.remove_what_is_left()?;
        }
        self.table.apply(self.mark, self.replies, &self.intercepts())?;
        notices.extend((self.needs.own && !self.table.has_reset()).then_some(PlumbingNotice::NoReset));
        notices.extend((!self.table.is_owner()).then_some(PlumbingNotice::NoOwner));
        notices.extend((!self.table.has_wildcard_guard()).then_some(PlumbingNotice::NoWildcardGuard));
        Ok(())
    }

    /// Watches from now on for removals of our rules and routes: after one, [`Plumbing::repair`] is due. Other programs
    /// cannot remove the owner table; the removal of a plain one (before Linux 5.12) is not noticed.
    ///
    /// Needs no capability.
    pub fn removals(&self) -> Result<Removals, PlumbingError> {
        Ok(Removals::hear(self.block).map_err(RoutingError::Netlink)?)
    }

    /// Removes everything, or as much as possible; a second time it does nothing.
    ///
    /// Drain first: established transparent connections die without the mark. Rules and routes stay if
    /// another living table of the same named instance needs them.
    pub fn remove(&mut self) -> Result<(), RemoveErrors> {
        self.remove_but(Closing::Goes)
    }

    /// The same, but the rules that reject what is not intercepted may stay.
    pub fn remove_but(&mut self, closing: Closing) -> Result<(), RemoveErrors> {
        let _lock = token::lock();
        self.remove_locked(closing)
    }

    fn remove_locked(&mut self, closing: Closing) -> Result<(), RemoveErrors> {
        let mut errors = RemoveErrors::default();
        errors.note(self.table.remove_chains());
        match self.siblings() {
            Ok(siblings) if siblings.is_empty() => {
                let (removed, refused) = routing::remove(&mut self.route, self.block, &Family::ALL, closing);
                errors.removed.extend(removed);
                errors.errors.extend(refused.into_iter().map(PlumbingError::from));
            }
            Ok(_) => {}
            Err(error) => errors.errors.push(error),
        }
        errors.note(self.table.remove());
        errors.into_result()
    }

    /// Other living tables of our instance.
    fn siblings(&mut self) -> Result<Vec<TableName>, PlumbingError> {
        let living = choice::living(self.table.client())?;
        let own = self.table.name();
        Ok(living.into_iter().map(|table| table.name).filter(|name| name.is_sibling_of(own)).collect())
    }

    /// What is installed.
    pub fn describe(&self) -> Description {
        let [_, jump, look_up, target, _] = self.block.preferences();
        let intercepted = self.table.interception();
        Description {
            table: self.table.name().to_string(),
            mark: self.mark,
            route_table: self.block.table(),
            preferences: [jump, look_up, target],
            owner: self.table.is_owner(),
            wildcard_guard: self.table.has_wildcard_guard(),
            families: self.families.clone(),
            loopback: self.needs.loopback.clone(),
            own: self.table.replies().is_some(),
            reply_mark: self.table.replies(),
            late_reset: self.table.has_reset(),
            intercepts: intercepted.iter().flat_map(|all| &all.rules).map(ToString::to_string).collect(),
            fail: intercepted.map(|all| all.fail),
        }
    }
}

#[cfg(test)]
mod tests;
