//! A server that both files have, and describe otherwise.
//!
//! The order of its commands is the one in which no client meets a half: away with it first, then what is checked and how much it
//! takes, then its address, and only then back with it. An address is never changed in maintenance for its own sake, as clients
//! would be sent elsewhere meanwhile.

use super::options::Options;
use super::orders;
use super::pair::Pair;
use super::plan::{PlanOrder, PlanStep, StepKind};
use super::proxy::{Balance, Settled};
use super::words::{literal, number, speakable};

/// A step, and whether HAProxy need not be asked whether it takes the line.
pub(super) struct ServerChange {
    pub(super) step: PlanStep,
    /// Nothing but numbers and IP addresses has changed.
    pub(super) strict: bool,
}

/// More connections than any server takes.
const MOST_CONNECTIONS: u32 = 1_000_000_000;

/// What may differ, with the command that sets it.
const SETTABLE: [&str; 8] =
    ["addr", "agent-addr", "agent-port", "agent-send", "disabled", "maxconn", "port", "weight"];

/// The step; none if both say the same. The error is why it is a reload.
pub(super) fn step(
    pair: &Pair<'_, '_>,
    name: &str,
    was: &Settled,
    is: &Settled,
) -> Result<Option<ServerChange>, String> {
    let unclear = |word: &str| {
        format!("the server `{name}` has changed, and what `{word}` means for it is not understood")
    };
    let (old, new) = (was.options().map_err(unclear)?, is.options().map_err(unclear)?);
    let mut changing = Changing {
        pair,
        name,
        object: pair.object(name)?,
        old,
        new,
        before: Vec::new(),
        after: Vec::new(),
        said: Vec::new(),
        strict: true,
    };
    changing.other_options()?;
    changing.disabled()?;
    changing.checks()?;
    changing.limit()?;
    changing.weight()?;
    changing.address(&was.address, &is.address)?;
    changing.reset()?;
    Ok(changing.finish())
}

struct Changing<'a, 'b, 'c> {
    pair: &'a Pair<'b, 'c>,
    name: &'a str,
    object: String,
    old: Options<'a>,
    new: Options<'a>,
    before: Vec<PlanOrder>,
    /// To be given last.
    after: Vec<PlanOrder>,
    said: Vec<String>,
    strict: bool,
}

impl Changing<'_, '_, '_> {
    fn value<'o>(options: &'o Options<'_>, option: &str) -> Option<&'o str> {
        options.get(option).and_then(|values| values.first().copied())
    }

    fn differs(&self, option: &str) -> bool {
        self.old.get(option) != self.new.get(option)
    }

    fn has(&self, option: &str) -> bool {
        self.old.contains_key(option) || self.new.contains_key(option)
    }

    /// How it is said why this is a reload.
    fn refuse(&self, what: &str) -> String {
        format!("{what} of the server `{}` has changed", self.name)
    }

    fn other_options(&self) -> Result<(), String> {
        let mut all = self.old.keys().chain(self.new.keys());
        match all.find(|option| self.differs(option) && !SETTABLE.contains(option)) {
            Some(option) => Err(self.refuse(&format!("`{option}`"))),
            None => Ok(()),
        }
    }

    fn disabled(&mut self) -> Result<(), String> {
        if !self.differs("disabled") {
            return Ok(());
        }
        if self.has("track") || self.has("slowstart") || self.has("agent-check") {
            return Err(self.refuse(
                "`disabled`, and with `track`, `slowstart` or `agent-check` a fresh start differs; that",
            ));
        }
        if self.new.contains_key("disabled") {
            self.said.push("it is disabled".to_owned());
            self.before.push(orders::set(&self.object, "state maint"));
        } else {
            self.said.push("it is not disabled any more".to_owned());
            self.after.push(orders::set(&self.object, "state ready"));
        }
        Ok(())
    }

    /// `addr`, `port` and the same of an agent: from one value to another.
    fn checks(&mut self) -> Result<(), String> {
        let settable = [
            ("addr", "check-addr", "check"),
            ("port", "check-port", "check"),
            ("agent-addr", "agent-addr", "agent-check"),
            ("agent-port", "agent-port", "agent-check"),
            ("agent-send", "agent-send", "agent-check"),
        ];
        for (option, command, of) in settable {
            if !self.differs(option) {
                continue;
            }
            let refused = self.refuse(&format!("`{option}`"));
            let (Some(was), Some(is)) = (Self::value(&self.old, option), Self::value(&self.new, option))
            else {
                return Err(refused);
            };
            let fits = match option {
                "addr" | "agent-addr" => is_ip(was) && is_ip(is),
                "port" | "agent-port" => number(is, 65_535).is_some_and(|port| port > 0),
                _ => speakable(is),
            };
            // 3.4.7 answers `invalid addr` to every address of a check (its parser is asked for a port and has no place for it).
            let offered =
                self.pair.can.offers("set server") && (option != "addr" || !self.pair.can.since(3, 3));
            if !fits || !offered || !self.new.contains_key(of) || self.has("track") {
                return Err(refused);
            }
            self.strict &= option != "agent-send";
            self.said.push(format!("{command} {is} instead of {was}"));
            self.before.push(orders::set(&self.object, &format!("{command} {is}")));
        }
        Ok(())
    }

    fn limit(&mut self) -> Result<(), String> {
        if !self.differs("maxconn") {
            return Ok(());
        }
        let read =
            |options| Self::value(options, "maxconn").map_or(Some(0), |word| number(word, MOST_CONNECTIONS));
        match (read(&self.old), read(&self.new)) {
            (Some(was), Some(is)) if !self.has("minconn") => {
                if was != is {
                    self.said.push(format!("at most {} connections instead of {}", some(is), some(was)));
                    self.before.push(orders::limit(&self.object, is));
                }
                Ok(())
            }
            _ => Err(self.refuse("`maxconn`")),
        }
    }

    /// The runtime API sets the weight alone, not what it was at the start: percentages, as an agent gives them, are of that.
    fn weight(&mut self) -> Result<(), String> {
        if !self.differs("weight") {
            return Ok(());
        }
        let read = |options| Self::value(options, "weight").map_or(Some(1), |word| number(word, 256));
        let fixed = self.pair.new.balance() == Balance::Fixed;
        match (read(&self.old), read(&self.new)) {
            (Some(was), Some(is)) if !fixed && !self.has("agent-check") => {
                if was != is {
                    self.said.push(format!("weight {is} instead of {was}"));
                    self.before.push(orders::set(&self.object, &format!("weight {is}")));
                }
                Ok(())
            }
            _ => Err(self.refuse("`weight`")),
        }
    }

    fn address(&mut self, was: &str, is: &str) -> Result<(), String> {
        if was == is {
            return Ok(());
        }
        let (Some(old), Some(new)) = (literal(was), literal(is)) else {
            return Err(self.refuse("the address, which is no IP address with a port,"));
        };
        if self.has("resolvers") || self.has("init-addr") || self.has("socks4") || self.has("track") {
            return Err(self.refuse("the address (with `resolvers`, `init-addr`, `socks4` or `track`)"));
        }
        if old != new {
            self.said.push(format!("address {new} instead of {old}"));
            self.before.push(orders::address(&self.object, new));
        }
        Ok(())
    }

    /// Of another address, or another way to check it, what was found before says nothing: it is up, as after a start.
    fn reset(&mut self) -> Result<(), String> {
        let moved = self.before.iter().any(|order| {
            let words = order.command.split(' ').nth(3).unwrap_or_default();
            matches!(words, "addr" | "check-addr" | "check-port")
        });
        if !moved {
            return Ok(());
        }
        if self.new.contains_key("agent-check") {
            return Err(
                self.refuse("the address (with an agent, which has said something about the former one)")
            );
        }
        if !self.new.contains_key("check") {
            return Ok(());
        }
        if self.has("init-state") || self.has("slowstart") {
            return Err(self.refuse("the address (checked, with `init-state` or `slowstart`)"));
        }
        if !self.new.contains_key("disabled") && !self.old.contains_key("disabled") {
            self.after.push(orders::set(&self.object, "health up"));
        }
        Ok(())
    }

    fn finish(self) -> Option<ServerChange> {
        let Self { object, mut before, after, said, strict, .. } = self;
        before.extend(after);
        let is_something = !before.is_empty();
        let step = PlanStep { kind: StepKind::ServerChanged, object, why: said.join(", "), orders: before };
        is_something.then_some(ServerChange { step, strict })
    }
}

fn is_ip(word: &str) -> bool {
    word.parse::<std::net::IpAddr>().is_ok()
}

/// A limit for people.
fn some(connections: u32) -> String {
    if connections == 0 { "any number of".to_owned() } else { connections.to_string() }
}
