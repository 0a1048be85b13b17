//! What passes from one generation to the next: which commands give the servers of a new HAProxy the state that the
//! former one knew, and what is left to the new file.
//!
//! A server is the same if backend and name are. Of each thing about it (address, weight, maintenance, how it is
//! checked) the new file counts where it says something else than the old one did; where both say the same, the state
//! counts. Health passes only where address and checks are the same: what a check found is of no worth for another
//! one. `init-state`, and a state file of the user's, count for themselves.
//!
//! Owns no connection: it compares, and answers with commands in the order in which they are to be given.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;

use crate::configuration::{InitialHealth, ServerFacts, Stated, StatedServers};
use crate::runtime::state::{Admin, RUNNING, Remembered, STOPPED, STOPPING, ServerState, ServersState};

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod tables;

/// One command, and what it carries over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCommand {
    /// `BACKEND/SERVER`
    pub server: String,
    /// What is carried, in words: `down`, `maint`, `weight 5`.
    pub what: String,
    /// For the runtime API, without its newline.
    pub command: String,
    /// Whether HAProxy says something when it has done it.
    pub talks: bool,
}

/// What is to be done, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarryPlan {
    /// In this order.
    pub orders: Vec<StateCommand>,
    /// What is not carried over although it was set, each with its server and the reason.
    pub left: Vec<String>,
}

/// What may be said before the new process answers, of servers that are sure to begin as they do after any start: so no
/// client comes to one that is down, in maintenance or drained.
pub fn in_advance(old: &Remembered, new: &StatedServers) -> Vec<StateCommand> {
    let mut plan = CarryPlan::default();
    for (row, facts) in old.servers() {
        if let (Some(facts), Some(stated)) = (&facts, new.find(row.proxy, row.name)) {
            CarriedServer { old: row, facts, new: row.fresh(stated.facts.disabled), stated }
                .protect(&mut plan);
        }
    }
    plan.orders
}

/// What is different between the state of before and the one that the new process tells of itself.
pub fn plan(old: &Remembered, new: &StatedServers, now: ServersState<'_>) -> CarryPlan {
    // The lines, not what they say: of ten thousand servers that would be some megabytes, at the wrong moment.
    let line = |line| now.row(line).map(|row| ((row.proxy, row.name), line));
    let lines: HashMap<(&str, &str), &str> = now.lines().filter_map(line).collect();
    let mut plan = CarryPlan::default();
    for (row, facts) in old.servers() {
        let there = lines.get(&(row.proxy, row.name)).and_then(|line| now.row(line));
        match (&facts, there, new.find(row.proxy, row.name)) {
            (Some(facts), Some(there), Some(stated)) => {
                CarriedServer { old: row, facts, new: there, stated }.compare(&mut plan);
            }
            (None, None, _) => {
                plan.left
                    .push(format!("{}/{}: added at run time, and not in the new file", row.proxy, row.name));
            }
            // One that the file does not have any more, or has now: the file counts.
            _ => {}
        }
    }
    plan
}

/// What a plan has come to, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarryOutcome {
    /// What the new process has now that the former one had.
    pub set: Vec<String>,
    /// What it has not, with the reason.
    pub left: Vec<String>,
}

impl CarryPlan {
    /// What was set `in_advance` and is as it is to be, and what HAProxy answered to the orders, unless that failed.
    pub fn outcome<E: fmt::Display>(
        self,
        in_advance: &[StateCommand],
        answers: Result<Vec<String>, E>,
    ) -> CarryOutcome {
        let Self { orders, left } = self;
        let again: HashSet<&str> = orders.iter().map(|one| one.command.as_str()).collect();
        let done = in_advance.iter().filter(|one| !again.contains(one.command.as_str()));
        let mut outcome = CarryOutcome { set: done.map(StateCommand::to_string).collect(), left };
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                outcome.left.push(format!("{} settings of servers: {error}", orders.len()));
                return outcome;
            }
        };
        for (order, answer) in orders.iter().zip(answers) {
            match order.refusal(&answer) {
                None => outcome.set.push(order.to_string()),
                Some(why) => outcome.left.push(format!("{order}: HAProxy said `{why}`")),
            }
        }
        outcome
    }
}

/// One server in both generations.
struct CarriedServer<'a> {
    old: ServerState<'a>,
    facts: &'a ServerFacts,
    new: ServerState<'a>,
    stated: &'a Stated,
}

impl CarriedServer<'_> {
    fn compare(&self, plan: &mut CarryPlan) {
        if self.stated.from_file {
            return;
        }
        self.address(plan);
        self.checks(plan);
        self.weight(plan);
        self.protect(plan);
    }

    /// What keeps clients away from it.
    fn protect(&self, plan: &mut CarryPlan) {
        if !self.stated.from_file {
            self.admin(plan);
            self.health(plan);
        }
    }

    fn order(&self, plan: &mut CarryPlan, what: String, words: &str, talks: bool) {
        let server = format!("{}/{}", self.old.proxy, self.old.name);
        let command = format!("set server {server} {words}");
        plan.orders.push(StateCommand { server, what, command, talks });
    }

    fn toggle(&self, plan: &mut CarryPlan, what: &str, on: bool) {
        let server = format!("{}/{}", self.old.proxy, self.old.name);
        let verb = if on { "enable" } else { "disable" };
        let command = format!("{verb} {what} {server}");
        plan.orders.push(StateCommand { server, what: format!("{what} {verb}d"), command, talks: false });
    }

    fn leave(&self, plan: &mut CarryPlan, what: &str) {
        let (proxy, name) = (&self.old.proxy, &self.old.name);
        plan.left.push(format!("{proxy}/{name}: {what}, and the file says something else now"));
    }

    fn same_address(&self) -> bool {
        self.facts.address == self.stated.facts.address
    }

    fn same_checks(&self) -> bool {
        self.facts.checks == self.stated.facts.checks
    }

    fn admin(&self, plan: &mut CarryPlan) {
        let (was, is) = (self.old.admin(), self.new.admin());
        let initial = if self.facts.disabled { Admin::Maintenance } else { Admin::Ready };
        if self.facts.disabled != self.stated.facts.disabled {
            if was != initial {
                self.leave(plan, was.word());
            }
        } else if was != is {
            self.order(plan, was.word().to_owned(), &format!("state {}", was.word()), false);
        }
    }

    fn weight(&self, plan: &mut CarryPlan) {
        let weight = self.old.weight;
        if self.facts.weight != self.stated.facts.weight {
            if weight != self.old.initial_weight {
                self.leave(plan, &format!("weight {weight}"));
            }
        } else if weight != self.new.weight {
            self.order(plan, format!("weight {weight}"), &format!("weight {weight}"), false);
        }
    }

    fn health(&self, plan: &mut CarryPlan) {
        let stated = self.stated;
        if stated.health != InitialHealth::Checks || self.old.is_in_maintenance() {
            return;
        }
        let checks_fail = self.old.checked() == Some(true) && self.old.check_health < stated.rise;
        let words = match (self.old.operation, self.new.operation) {
            (STOPPED, RUNNING) if self.old.agent_checked() == Some(true) && !checks_fail => "agent down",
            (STOPPED, RUNNING) => "health down",
            (STOPPING, RUNNING) => "health stopping",
            _ => return,
        };
        let what = words.strip_prefix("health ").unwrap_or(words);
        if self.same_address() && self.same_checks() {
            self.order(plan, what.to_owned(), words, false);
        } else {
            self.leave(plan, what);
        }
    }

    fn address(&self, plan: &mut CarryPlan) {
        let (old, new) = (&self.old, &self.new);
        let Some(address) = old.address else { return };
        let written = self.facts.address.trim_end_matches('@');
        let literal = written.parse::<SocketAddr>().ok();
        let moved = (old.address, old.port) != (new.address, new.port);
        if !self.same_address() {
            if literal.is_some_and(|literal| literal != SocketAddr::new(address, port(old.port))) {
                self.leave(plan, &format!("address {address} port {}", old.port));
            }
            return;
        }
        // Where a record names servers, it will name them again, in whatever order.
        let renamed = old.fqdn.filter(|_| old.fqdn != new.fqdn && self.stated.resolved);
        let renamed = renamed.filter(|_| old.srv_record.is_none());
        if let Some(fqdn) = renamed {
            self.order(plan, format!("name {fqdn}"), &format!("fqdn {fqdn}"), true);
        }
        // A name that is looked up at each start has been, and what it says now counts. One that resolvers follow has
        // no address yet, or an older one.
        let by_name = old.fqdn.is_some() || old.srv_record.is_some();
        if moved && (!by_name || new.address.is_none() || renamed.is_some()) {
            let port = if old.port > 0 { format!(" port {}", old.port) } else { String::new() };
            self.order(plan, format!("address {address}{port}"), &format!("addr {address}{port}"), true);
        }
    }

    fn checks(&self, plan: &mut CarryPlan) {
        let (old, new) = (&self.old, &self.new);
        if !self.same_checks() {
            return;
        }
        for (what, address, port, now) in [
            ("check", old.check_address, old.check_port, (new.check_address, new.check_port)),
            ("agent", old.agent_address, old.agent_port, (new.agent_address, new.agent_port)),
        ] {
            if (address, port) == now {
                continue;
            }
            match address.filter(|_| address != now.0) {
                Some(address) => {
                    let port = if port > 0 { format!(" port {port}") } else { String::new() };
                    let what_is = format!("{what} address {address}{port}");
                    self.order(plan, what_is, &format!("{what}-addr {address}{port}"), true);
                }
                None if port > 0 && port != now.1 => {
                    self.order(plan, format!("{what} port {port}"), &format!("{what}-port {port}"), true);
                }
                None => {}
            }
        }
        if old.tls != new.tls {
            let word = if old.tls == 0 { "off" } else { "on" };
            self.order(plan, format!("ssl {word}"), &format!("ssl {word}"), true);
        }
        for (what, was, is) in
            [("health", old.checked(), new.checked()), ("agent", old.agent_checked(), new.agent_checked())]
        {
            if let (Some(was), Some(is)) = (was, is)
                && was != is
            {
                self.toggle(plan, what, was);
            }
        }
    }
}

fn port(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(0)
}

impl fmt::Display for StateCommand {
    /// For people: `web/s1: down`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.what)
    }
}

impl StateCommand {
    /// Whether HAProxy will do it as soon as the server has an address: it changes one, and gives none to a server that has
    /// none yet, as with `init-addr none` until its resolvers have answered (`srv_update_addr_port`, 2.6 to 3.4).
    pub fn waits_for_an_address(&self, answer: &str) -> bool {
        self.refusal(answer).is_some_and(|why| why.contains("current server address family"))
    }

    /// What HAProxy answered, if that means that it did not do it.
    fn refusal<'a>(&self, answer: &'a str) -> Option<&'a str> {
        let done = ["changed", "no need", "updated"];
        let said = answer.trim();
        let fine = said.is_empty() || (self.talks && done.iter().any(|word| said.contains(word)));
        (!fine).then(|| said.lines().next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
