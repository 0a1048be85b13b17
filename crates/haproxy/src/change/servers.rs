//! What differs between the servers of two `backend` or `listen` sections, and the steps that bring one to the other.

use std::collections::{HashMap, HashSet};

use super::expected::ExpectedBackend;
use super::numbers;
use super::pair::{Pair, expected};
use super::plan::{PlanStep, ReloadReason};
use super::proxy::{Balance, Proxy};
use super::{added, changed, removed};

/// What a change of one section comes to.
#[derive(Debug, Default)]
pub(super) struct ServerChanges {
    pub(super) added: Vec<PlanStep>,
    pub(super) changed: Vec<PlanStep>,
    pub(super) removed: Vec<PlanStep>,
    pub(super) expected: ExpectedBackend,
    /// The lines of the new file that HAProxy is to look at first.
    pub(super) unproved: Vec<usize>,
    pub(super) reasons: Vec<ReloadReason>,
}

impl Pair<'_, '_> {
    /// Compares the servers; all other lines are the same.
    pub(super) fn compare(&self) -> ServerChanges {
        let mut changes = ServerChanges::default();
        self.new.piece.name.clone_into(&mut changes.expected.name);
        if let Err(reason) = self.collect(&mut changes) {
            changes.reasons.push(reason);
        }
        changes
    }

    fn collect(&self, changes: &mut ServerChanges) -> Result<(), ReloadReason> {
        let (old, new) = (&self.old.body, &self.new.body);
        let gone: Vec<_> = old.servers.iter().filter(|one| !new.places.contains_key(&one.name)).collect();
        let come: Vec<_> = new.servers.iter().filter(|one| !old.places.contains_key(&one.name)).collect();
        self.same_order()?;
        if !come.is_empty() || !gone.is_empty() {
            self.begins_as_the_lines_say()?;
        }
        let numbers = self.numbers(!come.is_empty() || !gone.is_empty(), !come.is_empty())?;
        let mut taken = HashSet::new();
        for server in &come {
            let settled = self.new.settle(server)?;
            match added::step(self, &server.name, &settled, numbers.as_ref(), &mut taken) {
                Ok((step, expected)) => {
                    changes.added.push(step);
                    changes.unproved.push(server.line);
                    changes.expected.after.push(expected);
                }
                Err(reason) => changes.reasons.push(reason),
            }
        }
        self.changed(changes)?;
        for server in &gone {
            match removed::step_at(self, server) {
                Ok(step) => changes.removed.push(step),
                Err(reason) => changes.reasons.push(reason),
            }
        }
        if !(changes.added.is_empty() && changes.changed.is_empty() && changes.removed.is_empty()) {
            let names =
                |proxy: &Proxy<'_>| proxy.body.servers.iter().map(|one| one.name.to_string()).collect();
            changes.expected.names_before = names(self.old);
            changes.expected.names_after = names(self.new);
        }
        Ok(())
    }

    fn changed(&self, changes: &mut ServerChanges) -> Result<(), ReloadReason> {
        for server in &self.new.body.servers {
            let Some(former) = self.old.body.find(&server.name) else { continue };
            if former.bytes == server.bytes && former.above == server.above {
                continue;
            }
            let (was, is) = (self.old.settle(former)?, self.new.settle(server)?);
            match changed::step(self, &server.name, &was, &is) {
                Ok(None) => {}
                Ok(Some(change)) => {
                    self.begins_as_the_lines_say()?;
                    changes.changed.push(change.step);
                    changes.expected.before.push(expected(&server.name, &was));
                    changes.expected.after.push(expected(&server.name, &is));
                    if !change.strict {
                        changes.unproved.push(server.line);
                    }
                }
                Err(what) => changes.reasons.push(self.new.piece.reason(server.line, what)),
            }
        }
        Ok(())
    }

    fn begins_as_the_lines_say(&self) -> Result<(), ReloadReason> {
        if self.new.last("disabled").is_some() {
            return Err(self
                .new
                .piece
                .reason(self.new.piece.line, "servers of a section with `disabled` have changed"));
        }
        if self.new.has_state_file() {
            let what = "its servers begin as a state file says (`load-server-state-from-file`)";
            return Err(self.new.piece.reason(self.new.piece.line, what));
        }
        Ok(())
    }

    /// Those that stay stand in the same order.
    fn same_order(&self) -> Result<(), ReloadReason> {
        let (old, new) = (&self.old.body, &self.new.body);
        let stays = old.servers.iter().filter(|one| new.places.contains_key(&one.name));
        let is = new.servers.iter().filter(|one| old.places.contains_key(&one.name));
        for (former, now) in stays.zip(is) {
            if former.name != now.name {
                let what = format!("the servers stand in another order from `{}` on", now.name);
                return Err(self.new.piece.reason(now.line, what));
            }
        }
        Ok(())
    }

    /// The numbers of a fresh start, if they count.
    fn numbers(&self, set_changes: bool, grows: bool) -> Result<Option<HashMap<String, u32>>, ReloadReason> {
        if !set_changes {
            return Ok(None);
        }
        let (old, new) = (&self.old.body, &self.new.body);
        if grows && self.new.mentions("backup") {
            let kept = new.servers.iter().rposition(|one| old.places.contains_key(&one.name)).unwrap_or(0);
            let first = new.servers.iter().position(|one| !old.places.contains_key(&one.name));
            if let Some(server) = first.filter(|at| *at < kept).and_then(|at| new.servers.get(at)) {
                let what =
                    "among `backup` servers the order counts, and one that is added at run time is the last";
                return Err(self.new.piece.reason(server.line, what));
            }
        }
        if self.new.balance() != Balance::ByNumber && !self.new.sticks() && !(self.mentions)().numbers {
            return Ok(None);
        }
        let (was, is) = (numbers::fresh(self.old)?, numbers::fresh(self.new)?);
        for server in &new.servers {
            if let (Some(was), Some(is)) = (was.get(&*server.name), is.get(&*server.name))
                && was != is
            {
                let why = match self.new.algorithm() {
                    _ if self.new.balance() != Balance::ByNumber => {
                        "a line of the files asks for it".to_owned()
                    }
                    name => format!("`balance {name}` counts on it"),
                };
                let what = format!(
                    "the number (`id`) of the server `{}` would be {is}, not {was}, and {why}",
                    server.name
                );
                return Err(self.new.piece.reason(server.line, what));
            }
        }
        Ok(Some(is))
    }
}
