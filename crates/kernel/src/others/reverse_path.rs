//! Reverse-path filters in the packet filter: they drop a packet from an address that this host would not send to.
//!
//! firewalld has one for IPv6 (`IPv6_rpfilter`, strict or loose), with `nft` a question to the routing table (`fib`),
//! with `iptables` the match `rpfilter`. It asks with the mark of the packet, which we have set by then: the `goto`
//! among our rules keeps that question away from our route table (see [`crate::routing`]).

use std::fmt;

use super::expression::{Comparison, Expression, Verdict};
use super::{ChainName, ForeignRule, ForeignRuleset, HookPoint};

/// `NFTA_FIB_F_SADDR`, `_IIF`.
const SOURCE: u32 = 1;
const INPUT: u32 = 8;

/// Which route back to the source is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpFilterMode {
    /// One by the interface that the packet came in by.
    Strict,
    /// Any.
    Loose,
    /// It cannot be told.
    Unknown,
}

/// A reverse-path filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReversePathFilter {
    /// Where it stands.
    pub place: ChainName,
    /// What it asks for.
    pub how: RpFilterMode,
}

impl fmt::Display for ReversePathFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            RpFilterMode::Strict => "strict ",
            RpFilterMode::Loose => "loose ",
            RpFilterMode::Unknown => "",
        };
        write!(f, "{how}reverse-path filter ({})", self.place)
    }
}

impl ForeignRuleset {
    /// Those in `prerouting`.
    pub fn reverse_path_filters(&self) -> Vec<ReversePathFilter> {
        let ways = self.ways();
        let in_the_way =
            |rule: &&ForeignRule| ways.hooks(&rule.place).iter().any(|hook| hook.at == HookPoint::Prerouting);
        let found = self.rules.iter().filter_map(|rule| Some((rule, how(rule)?)));
        let found = found.filter(|(rule, _)| in_the_way(rule));
        found.map(|(rule, how)| ReversePathFilter { place: rule.place.clone(), how }).collect()
    }
}

fn how(rule: &ForeignRule) -> Option<RpFilterMode> {
    let mut asked = None;
    for one in &rule.does {
        match one {
            Expression::Fib(flags) if flags & SOURCE != 0 => {
                asked = Some(if flags & INPUT == 0 { RpFilterMode::Loose } else { RpFilterMode::Strict });
            }
            Expression::Match(name, _) if name == "rpfilter" => asked = Some(RpFilterMode::Unknown),
            Expression::Compare(comparison, value) if asked.is_some() => {
                let missing = *comparison == Comparison::Equal && value.iter().all(|byte| *byte == 0);
                asked = asked.filter(|_| missing);
            }
            Expression::Verdict(Verdict::Dropped) => return asked,
            _ => {}
        }
    }
    None
}
