//! A set of rules for look-ups: there may be as many as servers on loopback addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use clearway_core::intercept::PortRange;

use super::PolicyRule;

/// In what the many rules of a block differ.
type RuleKey = (u32, Option<IpAddr>, Option<u16>, Option<(IpAddr, u8)>, Option<PortRange>);

/// A set of rules.
#[derive(Debug, Default)]
pub(super) struct Among(HashMap<RuleKey, Vec<PolicyRule>>);

fn key(rule: &PolicyRule) -> RuleKey {
    (rule.preference, rule.source, rule.source_port, rule.destination, rule.destination_ports)
}

impl Among {
    pub fn has(&self, rule: &PolicyRule) -> bool {
        self.0.get(&key(rule)).is_some_and(|like_it| like_it.contains(rule))
    }

    /// Says no if it was among them already.
    pub fn insert(&mut self, rule: PolicyRule) -> bool {
        let is_new = !self.has(&rule);
        if is_new {
            self.0.entry(key(&rule)).or_default().push(rule);
        }
        is_new
    }
}

impl FromIterator<PolicyRule> for Among {
    fn from_iter<T: IntoIterator<Item = PolicyRule>>(rules: T) -> Self {
        let mut among = Self::default();
        for rule in rules {
            among.insert(rule);
        }
        among
    }
}
