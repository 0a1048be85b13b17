//! Kubernetes' guard of 127.0.0.0/8: what another address sends there is dropped.
//!
//! kubelet makes it (chain `KUBE-FIREWALL`, from `INPUT` and `OUTPUT`), because kube-proxy sets `route_localnet`; with
//! nftables others write the same rule without `iptables`. HAProxy's connection from a client's address to a server on
//! 127.0.0.1 is just that. Every rule is found that drops by these two conditions, whatever else it asks for: whether
//! another condition exempts our packets cannot be told, and kubelet's (no answer, not redirected) does not. There is
//! no such rule for `::1`.

use std::fmt;

use super::expression::{AddressEnd, Comparison, Expression, Verdict};
use super::{ChainName, ForeignRule, ForeignRuleset, HookPoint};

/// The first byte of 127.0.0.0/8.
const LOOPBACK: u8 = 127;

/// A rule that drops what other addresses send to 127.0.0.0/8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalnetBlock {
    /// Where it stands.
    pub place: ChainName,
}

impl fmt::Display for LocalnetBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = if self.place.chain.starts_with("KUBE-") { "kubelet's rule" } else { "a rule" };
        write!(f, "{rule} drops what other addresses send to 127.0.0.0/8 ({})", self.place)
    }
}

impl ForeignRuleset {
    /// Those that packets of this host come to.
    pub fn localnet_blocks(&self) -> Vec<LocalnetBlock> {
        let ways = self.ways();
        let used = |rule: &&ForeignRule| {
            ways.hooks(&rule.place)
                .iter()
                .any(|hook| matches!(hook.at, HookPoint::Input | HookPoint::Output | HookPoint::Postrouting))
        };
        let found = self.rules.iter().filter(|rule| blocks(rule)).filter(used);
        found.map(|rule| LocalnetBlock { place: rule.place.clone() }).collect()
    }
}

fn blocks(rule: &ForeignRule) -> bool {
    let mut loaded = None;
    let (mut from_others, mut to_loopback) = (false, false);
    for one in &rule.does {
        match one {
            Expression::LoadAddress(end) => loaded = Some(*end),
            // The mask of a prefix.
            Expression::Bitwise { .. } => {}
            Expression::Compare(how, value) => {
                let loopback = value.first() == Some(&LOOPBACK);
                from_others |=
                    (loaded, *how, loopback) == (Some(AddressEnd::Source), Comparison::Different, true);
                to_loopback |=
                    (loaded, *how, loopback) == (Some(AddressEnd::Destination), Comparison::Equal, true);
                loaded = None;
            }
            Expression::Verdict(Verdict::Dropped) => return from_others && to_loopback,
            _ => loaded = None,
        }
    }
    false
}
