//! Which connections to addresses of others are intercepted on their way through this host, and where they go:
//! `CLEARWAY_INTERCEPT` and `CLEARWAY_INTERCEPT_FAIL`.
//!
//! ```text
//! DESTINATION[,...] port PORT[,...] [from INTERFACE] to PORT [; ...]
//!
//! 10.2.0.0/16,2001:db8:2::/48 port 80,8000-8099 from lan0 to 8080; any port 25 to 2525
//! ```
//!
//! A packet is tried on the rules in their order. What is wrong is told with the number of the rule, the word and what
//! was expected instead. Pure: nothing is looked up, and an interface need not exist.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

mod network;
mod words;

pub use network::IpNetwork;

/// More rules for the kernel than anybody needs: each destination with each port is one.
const MOST: usize = 256;

/// What happens to new connections when nobody is there who could intercept them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = open_or_closed)]
pub enum Fail {
    /// They are forwarded to where they were going.
    #[default]
    Open,
    /// They are rejected.
    Closed,
}

fn open_or_closed(_: &str) -> String {
    "expected `open` (without Clearway the clients reach the real servers) or `closed` (they are rejected)"
        .to_owned()
}

/// One port or several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    /// From this one.
    pub first: u16,
    /// To this one; the same for a single port.
    pub last: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.first == self.last { Ok(()) } else { write!(f, "-{}", self.last) }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterceptRule {
    /// Where clients want to go; nothing: anywhere.
    pub destinations: Vec<IpNetwork>,
    /// To which ports there; nothing: any.
    pub ports: Vec<PortRange>,
    /// By which interface they come in; unset: by any but `lo`.
    pub interface: Option<String>,
    /// The port of the listener that gets them.
    pub to: u16,
}

impl fmt::Display for InterceptRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", listed(&self.destinations), listed(&self.ports))?;
        if let Some(interface) = &self.interface {
            write!(f, " from {interface}")?;
        }
        write!(f, " to {}", self.to)
    }
}

fn listed<T: fmt::Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "any".to_owned();
    }
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// A rule for one destination and one range of ports, as kernels take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterceptTarget<'a> {
    /// Unset: anywhere, in both families.
    pub destination: Option<IpNetwork>,
    /// Unset: any.
    pub ports: Option<PortRange>,
    /// Unset: any but `lo`.
    pub interface: Option<&'a str>,
    /// The port of the listener.
    pub to: u16,
}

/// What a removal does to the rules that reject what is not intercepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// They go like everything else.
    Goes,
    /// They stay, with what keeps them from what this host sends itself.
    Stays,
}

/// Everything that is intercepted; often nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interception {
    /// In the order in which they are tried.
    pub rules: Vec<InterceptRule>,
    /// What happens without us.
    pub fail: Fail,
}

impl Interception {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether something in the kernel is to outlive us, so that nobody slips by.
    pub fn is_closed(&self) -> bool {
        !self.is_empty() && self.fail == Fail::Closed
    }

    /// The rules, one destination and one range of ports at a time.
    pub fn targets(&self) -> impl Iterator<Item = InterceptTarget<'_>> {
        self.rules.iter().flat_map(InterceptRule::targets)
    }
}

impl InterceptRule {
    fn targets(&self) -> impl Iterator<Item = InterceptTarget<'_>> {
        each(&self.destinations).flat_map(move |destination| {
            each(&self.ports).map(move |ports| InterceptTarget {
                destination,
                ports,
                interface: self.interface.as_deref(),
                to: self.to,
            })
        })
    }
}

/// Each item, or once nothing for none.
fn each<T: Copy>(items: &[T]) -> impl Iterator<Item = Option<T>> {
    items.iter().copied().map(Some).chain(items.is_empty().then_some(None))
}

/// The rules of `CLEARWAY_INTERCEPT`.
pub(crate) fn rules(text: &str) -> Result<Vec<InterceptRule>, String> {
    let mut rules = Vec::new();
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    for (index, part) in parts.enumerate() {
        let number = index + 1;
        rules.push(words::rule(part).map_err(|why| format!("rule {number} (`{part}`): {why}"))?);
    }
    if rules.is_empty() {
        return Err(words::EXPECTED.to_owned());
    }
    let count: usize = rules.iter().map(|rule| rule.targets().count()).sum();
    if count > MOST {
        return Err(format!(
            "that is {count} rules for the kernel, one for each destination with each port, and {MOST} are the most: \
             use larger networks or ranges of ports"
        ));
    }
    Ok(rules)
}

#[cfg(test)]
mod tests;
