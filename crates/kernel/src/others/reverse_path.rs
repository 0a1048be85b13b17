//! Reverse-path filters in the packet filter: who sends from an address that this host would not send to is dropped.
//!
//! firewalld has one for IPv6 (`IPv6_rpfilter`, strict or loose), with `nft` a question to the routing table (`fib`), with
//! `iptables` the match `rpfilter`. It asks with the mark of the packet, which we have set by then: the `goto` among our
//! rules keeps that question away from our route table (see [`crate::routing`]).

use std::fmt;

use super::expression::{Comparison, Seen, Verdict};
use super::{At, Others, Place, Rule};

/// `NFTA_FIB_F_SADDR`, `_IIF`.
const SOURCE: u32 = 1;
const INPUT: u32 = 8;

/// What the way back must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The interface that the packet came in by.
    Strict,
    /// Any.
    Loose,
    /// That cannot be told.
    Unknown,
}

/// Such a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReversePathFilter {
    /// Where it stands.
    pub place: Place,
    /// What it asks for.
    pub how: How,
}

impl fmt::Display for ReversePathFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Strict => "strict ",
            How::Loose => "loose ",
            How::Unknown => "",
        };
        write!(f, "{how}reverse-path filter ({})", self.place)
    }
}

impl Others {
    /// Those in `prerouting`.
    pub fn reverse_path_filters(&self) -> Vec<ReversePathFilter> {
        let ways = self.ways();
        let in_the_way = |rule: &&Rule| ways.hooks(&rule.place).iter().any(|hook| hook.at == At::Prerouting);
        let found = self.rules.iter().filter_map(|rule| Some((rule, how(rule)?)));
        let found = found.filter(|(rule, _)| in_the_way(rule));
        found.map(|(rule, how)| ReversePathFilter { place: rule.place.clone(), how }).collect()
    }
}

fn how(rule: &Rule) -> Option<How> {
    let mut asked = None;
    for one in &rule.does {
        match one {
            Seen::Fib(flags) if flags & SOURCE != 0 => {
                asked = Some(if flags & INPUT == 0 { How::Loose } else { How::Strict });
            }
            Seen::Match(name, _) if name == "rpfilter" => asked = Some(How::Unknown),
            Seen::Compare(comparison, value) if asked.is_some() => {
                let missing = *comparison == Comparison::Equal && value.iter().all(|byte| *byte == 0);
                asked = asked.filter(|_| missing);
            }
            Seen::Verdict(Verdict::Dropped) => return asked,
            _ => {}
        }
    }
    None
}
