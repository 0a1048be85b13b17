//! How the plumbing follows what is needed.
//!
//! **Two of one instance.** Both make what they need in the block that they share, and the second bit of the
//! mark is that of the rule that is there. Nothing is removed from a block in which a sibling lives: it holds the union
//! of both. What only the one that left had needed goes with the survivor's next [`Plumbing::follow`] or
//! [`Plumbing::repair`], or with the last one's removal.

use clearway_core::intercept::Interception;
use clearway_core::names::Mark;

use super::choice::{self, MarkPurpose};
use super::needs::{PlumbingNeeds, Repaired};
use super::{Intercepting, Plumbing, PlumbingError};
use crate::netlink::NetlinkClient;
use crate::routing::{self, Family, Removal, RoutingError, Tagged};
use crate::token;

impl Plumbing {
    /// What it was made for, or last changed to.
    pub fn needs(&self) -> &PlumbingNeeds {
        &self.needs
    }

    /// Changes to what is needed now, and says what was made and removed. Nothing to do is success.
    ///
    /// Connections stay open, except those to servers that are needed no longer. Conntrack, when it is switched
    /// on, takes the open connections up by itself (`nf_conntrack_tcp_loose`). After a failure everything is as
    /// it was before, as far as the kernel lets it.
    pub fn follow(&mut self, needs: &PlumbingNeeds) -> Result<Vec<String>, PlumbingError> {
        let needs = needs.checked()?;
        let before = (self.needs.clone(), self.replies);
        let put = {
            let _lock = token::lock();
            self.choose_replies(&needs).and_then(|replies| {
                (self.needs, self.replies) = (needs, replies);
                self.put()
            })
        };
        let done = put.and_then(|mut changed| {
            changed.extend(self.trim()?.into_iter().map(|rule| format!("removed {rule}")));
            Ok(changed)
        });
        if done.is_err() {
            (self.needs, self.replies) = before;
            // The first failure is the one that is returned.
            let _ = self.put().and_then(|_| self.trim());
        }
        done
    }

    /// Puts back what other programs have removed (systemd-networkd and `NetworkManager` flush foreign rules and
    /// routes; the routes also go when `lo` goes down), removes what only a sibling had needed that is gone, and
    /// says what that was.
    ///
    /// `nft flush ruleset` spares owner tables, and removes plain ones (before Linux 5.12): such a table is put back in
    /// the order of [`Plumbing::install`], and filled anew whatever is left of it.
    pub fn repair(&mut self) -> Result<Repaired, PlumbingError> {
        Ok(Repaired { put_back: self.put()?, removed: self.trim()? })
    }

    /// The bit of replies for these needs: the present one, that of a sibling, or a free one.
    pub(super) fn choose_replies(&mut self, needs: &PlumbingNeeds) -> Result<Option<Mark>, PlumbingError> {
        if !needs.own || self.replies.is_some() {
            return Ok(self.replies.filter(|_| needs.own));
        }
        let rules = choice::all_rules(&mut self.route)?;
        if let Some(theirs) = choice::replies_of_block(self.block, &rules) {
            return Ok(Some(theirs));
        }
        let living = choice::living(self.table.client())?;
        let rivals = choice::rivals(MarkPurpose::Replies, &living, &rules);
        choice::free(&rivals, Some(self.mark)).map(Some).ok_or(PlumbingError::NoFreeMark)
    }

    /// Rules and route of one family.
    pub(super) fn apply_routing(&mut self, family: Family) -> Result<Vec<String>, RoutingError> {
        let wanted = self.needs.wanted(self.block, self.mark, self.replies);
        routing::apply(&mut self.route, &wanted, family)
    }

    /// Makes what is missing: the table, rules and routes, then the content of the table.
    fn put(&mut self) -> Result<Vec<String>, PlumbingError> {
        let mut made = Vec::new();
        if self.table.restore()? {
            made.push(format!("table inet {}", self.table.name()));
        }
        for family in self.families.clone() {
            made.extend(self.apply_routing(family)?);
        }
        let changes = self.table.replies() != self.replies;
        if changes || !self.table.is_owner() {
            self.table.apply(self.mark, self.replies, &self.intercepts())?;
        }
        if changes {
            made.push(match self.replies {
                Some(mark) => format!("chain output of table inet {} (mark {mark})", self.table.name()),
                None => format!("removed chain output of table inet {}", self.table.name()),
            });
        }
        Ok(made)
    }

    /// What the table is to intercept: nothing any more from [`Plumbing::stop_intercepting`] on.
    pub(super) fn intercepts(&self) -> Interception {
        match self.intercepting {
            Intercepting::Yes => self.needs.interception.clone(),
            Intercepting::NoMore => Interception::default(),
        }
    }

    /// Leaves new connections alone from now on; those that were intercepted live on. What fails closed stays closed
    /// until it is removed, or a sibling lets it through.
    pub fn stop_intercepting(&mut self) -> Result<(), PlumbingError> {
        if self.table.interception().is_none() {
            return Ok(());
        }
        self.intercepting = Intercepting::NoMore;
        Ok(self.table.apply(self.mark, self.replies, &self.intercepts())?)
    }

    /// Removes rules that were made on demand and are needed no longer, unless a sibling lives.
    fn trim(&mut self) -> Result<Vec<String>, PlumbingError> {
        let surplus = |plumbing: &mut Self| {
            let wanted = plumbing.needs.wanted(plumbing.block, plumbing.mark, plumbing.replies);
            each_family(&mut plumbing.route, |route, family| routing::surplus(route, &wanted, family))
        };
        if surplus(self)?.iter().all(Tagged::is_empty) {
            return Ok(Vec::new());
        }
        let _lock = token::lock();
        // Rules before tables, for the same reason as in a sweep.
        let first = surplus(self)?;
        if !self.siblings()?.is_empty() {
            return Ok(Vec::new());
        }
        self.remove_all_of(first, surplus)
    }

    /// Removes what a dead process has left in our block, when what we want is there.
    pub(super) fn remove_what_is_left(&mut self) -> Result<(), PlumbingError> {
        let left = |plumbing: &mut Self| {
            let wanted = plumbing.needs.wanted(plumbing.block, plumbing.mark, plumbing.replies);
            each_family(&mut plumbing.route, |route, family| routing::left_in(route, &wanted, family))
        };
        let first = left(self)?;
        self.remove_all_of(first, left).map(|_| ())
    }

    /// Removes surplus rules until none is left. The kernel removes the first rule that matches the request, which may
    /// be one with more conditions that is wanted: that one is put back, behind the others, and the next try goes
    /// further.
    fn remove_all_of(
        &mut self,
        mut surplus: Vec<Tagged>,
        again: impl Fn(&mut Self) -> Result<Vec<Tagged>, PlumbingError>,
    ) -> Result<Vec<String>, PlumbingError> {
        let mut removed = Vec::new();
        for _ in 0..MOST_TRIES {
            if surplus.iter().all(Tagged::is_empty) {
                break;
            }
            let mut removal = Removal::default();
            for tagged in surplus {
                removal.remove(&mut self.route, tagged, |of| of == self.block);
            }
            if let Some(error) = removal.errors.into_iter().next() {
                return Err(error.into());
            }
            removed.extend(removal.removed);
            for family in self.families.clone() {
                self.apply_routing(family)?;
            }
            surplus = again(self)?;
        }
        removed.sort();
        removed.dedup();
        Ok(removed)
    }
}

/// More than the rules of a block that could stand in the way of one.
const MOST_TRIES: usize = 1000;

fn each_family(
    route: &mut NetlinkClient,
    mut of: impl FnMut(&mut NetlinkClient, Family) -> Result<Tagged, RoutingError>,
) -> Result<Vec<Tagged>, PlumbingError> {
    Family::ALL.into_iter().map(|family| Ok(of(route, family)?)).collect()
}
