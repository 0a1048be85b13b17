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

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

mod network;
mod rule;
mod words;

pub use network::IpNetwork;
pub use rule::{InterceptRule, InterceptTarget, PortRange};

/// More rules for the kernel than a gateway needs: each destination with each port is one.
const MOST: usize = 256;

/// What happens to new connections while no Clearway runs that could intercept them.
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

    /// Whether something in the kernel is to outlive us, so that no connection slips by.
    pub fn is_closed(&self) -> bool {
        !self.is_empty() && self.fail == Fail::Closed
    }

    /// The rules, one destination and one range of ports at a time.
    pub fn targets(&self) -> impl Iterator<Item = InterceptTarget<'_>> {
        self.rules.iter().flat_map(InterceptRule::targets)
    }
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
