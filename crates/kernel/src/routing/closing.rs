//! The rules that reject what is not intercepted, whether Clearway runs or not.
//!
//! ```text
//! 901: from all iif lo goto 903                                         # what this host sends itself passes
//! 902: from all to 10.2.0.0/16 fwmark 0/0x20000000 ipproto tcp dport 80 prohibit
//! ```
//!
//! A packet that is not diverted is rejected with an ICMP error (administratively prohibited). The condition that the
//! bit is unset keeps these rules and the look-up apart, because both have the preference 902 in any order: a rule that
//! is put back comes last. `ipproto` and `dport` need Linux 4.17.
//!
//! They are made and removed with the others of their block, except for removals in which they stay
//! ([`Closing::Stays`]). When a process has died, they stay in effect until the next sweep.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clearway_core::intercept::{Closing, InterceptTarget, IpNetwork};
use netlink_packet_route::rule::RuleAction;

use super::among::Among;
use super::tagged::Tagged;
use super::terms::Wanted;
use super::{Block, Family, PolicyRule};

/// The rules of a block in one family, in the order in which they are made; none if nothing fails closed. `target`: the
/// jump's.
pub(super) fn rules(wanted: &Wanted<'_>, family: Family, target: &PolicyRule) -> Vec<PolicyRule> {
    if !wanted.interception.is_closed() {
        return Vec::new();
    }
    let [_, first, second, third, _] = wanted.block.preferences();
    let passes = PolicyRule {
        preference: first,
        action: RuleAction::Goto,
        target: Some(third),
        input: Some("lo".to_owned()),
        ..target.clone()
    };
    let closing = |closed: InterceptTarget<'_>, destination| PolicyRule {
        preference: second,
        action: RuleAction::Prohibit,
        fwmark: Some((0, wanted.mark.value())),
        input: closed.interface.map(str::to_owned),
        destination: Some(destination),
        destination_ports: closed.ports,
        of_tcp: true,
        ..target.clone()
    };
    let mut rules = vec![passes];
    // Two may differ in their listeners alone.
    let mut known = Among::default();
    for closed in wanted.interception.targets() {
        let of_it = networks(closed.destination, family).into_iter();
        rules.extend(
            of_it.map(|destination| closing(closed, destination)).filter(|rule| known.insert(rule.clone())),
        );
    }
    rules
}

/// A destination as the rules of a family tell it: both halves for all, because the kernel takes a rule for one that is
/// there already if it names no destination and another one differs in nothing else (`fib4_rule_compare`).
fn networks(destination: Option<IpNetwork>, family: Family) -> Vec<(IpAddr, u8)> {
    let halves: [IpAddr; 2] = match family {
        Family::V4 => [Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(128, 0, 0, 0).into()],
        Family::V6 => [Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0).into()],
    };
    match destination {
        Some(network) if network.address().is_ipv4() != (family == Family::V4) => Vec::new(),
        Some(network) if network.length() > 0 => vec![(network.address(), network.length())],
        _ => halves.map(|half| (half, 1)).to_vec(),
    }
}

impl PolicyRule {
    /// Whether it rejects what is not intercepted.
    pub fn closes(&self) -> bool {
        self.action == RuleAction::Prohibit && self.block().is_some()
    }

    /// Whether it leads what this host sends itself around such rules.
    pub(super) fn passes(&self) -> bool {
        self.action == RuleAction::Goto && self.fwmark.is_none()
    }

    /// Whether such rules need it: the way around them, and where that leads to.
    fn spares(&self) -> bool {
        self.action == RuleAction::Nop || self.passes()
    }
}

impl Tagged {
    /// Without what stays.
    #[must_use]
    pub fn but(mut self, closing: Closing) -> Self {
        if closing == Closing::Stays {
            let closed: HashSet<Block> =
                self.rules.iter().filter(|rule| rule.closes()).filter_map(PolicyRule::block).collect();
            let is_closed = |rule: &PolicyRule| rule.block().is_some_and(|block| closed.contains(&block));
            self.rules.retain(|rule| !(is_closed(rule) && (rule.closes() || rule.spares())));
        }
        self
    }
}
