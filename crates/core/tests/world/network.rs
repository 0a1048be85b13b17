//! What balancers have in the kernel for transparency: a table each, and rules that they share. Imagined as
//! `clearway_kernel::plumbing` has it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clearway_core::intercept::Closing;
use clearway_core::path::ServerNeeds;

use super::Id;

/// The rules of the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What brings packets with the mark to this host.
    pub divert: bool,
    /// Loopback servers, by port.
    pub loopback: BTreeSet<u16>,
    /// What rejects connections that are not intercepted.
    pub reject: bool,
}

/// One balancer's own table.
#[derive(Debug)]
pub struct Table {
    pub needs: BTreeSet<u16>,
    pub intercepts: bool,
}

/// The kernel's part of it.
#[derive(Debug)]
pub struct Network {
    /// Whether connections to addresses of others are intercepted, and rejected by default.
    pub closed: bool,
    pub tables: BTreeMap<Id, Table>,
    pub rules: Rules,
    /// What must be rejected because it was closed, and not opened by a planned stop or by another process.
    pub must_reject: bool,
    /// Since when something is missing that a table needs.
    pub incomplete_since: Option<Duration>,
    /// Until when another process removes what is put back.
    pub fight_until: Duration,
}

impl Network {
    pub fn new(closed: bool) -> Self {
        let (tables, rules) = (BTreeMap::new(), Rules::default());
        let fight_until = Duration::ZERO;
        Self { closed, tables, rules, must_reject: false, incomplete_since: None, fight_until }
    }

    /// What is wanted for a balancer and is not there.
    pub fn lacks(&self, id: Id) -> bool {
        self.tables.get(&id).is_some_and(|table| {
            let Rules { divert, loopback, reject } = &self.rules;
            !divert || !table.needs.is_subset(loopback) || (self.closed && !reject)
        })
    }

    /// Makes what is missing, and removes what no table needs. Says whether something was made, and whether removed.
    pub fn put(&mut self, id: Id) -> (bool, bool) {
        let before = self.rules.clone();
        let Some(table) = self.tables.get(&id) else { return (false, false) };
        self.rules.divert = true;
        self.rules.loopback.extend(&table.needs);
        self.rules.reject |= self.closed;
        self.must_reject |= self.closed;
        let made = self.rules != before;
        let filled = self.rules.clone();
        if self.tables.len() == 1 {
            self.rules.loopback.clone_from(&table.needs);
        }
        (made, self.rules != filled)
    }

    pub fn install(&mut self, id: Id, needs: &ServerNeeds) {
        self.tables.insert(id, Table { needs: ports(needs), intercepts: self.closed });
        self.put(id);
    }

    pub fn follow(&mut self, id: Id, needs: &ServerNeeds) -> (bool, bool) {
        if let Some(table) = self.tables.get_mut(&id) {
            table.needs = ports(needs);
        }
        self.put(id)
    }

    /// The rules stay if another table needs them.
    pub fn remove(&mut self, id: Id, closing: Closing) {
        if self.tables.remove(&id).is_some() {
            self.sweep(closing);
        }
    }

    /// What no living table needs.
    pub fn sweep(&mut self, closing: Closing) {
        if self.tables.is_empty() {
            let reject = self.rules.reject && closing == Closing::Stays;
            self.rules = Rules { reject, ..Rules::default() };
        }
    }

    /// Another process removes rules.
    pub fn flush(&mut self, with_reject: bool) {
        let reject = self.rules.reject && !with_reject;
        self.must_reject &= reject;
        self.rules = Rules { reject, ..Rules::default() };
    }
}

fn ports(needs: &ServerNeeds) -> BTreeSet<u16> {
    needs.loopback.iter().map(std::net::SocketAddr::port).collect()
}
