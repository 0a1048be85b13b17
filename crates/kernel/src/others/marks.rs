//! Rules of other programs that set, clear or match a bit of the packet mark.
//!
//! Marks are shared by convention: each program is to use only its own bits. A rule that sets *ours* sends other
//! packets through our route table, to this host; one that clears it after our table has set it (prerouting, from our
//! own priority on) keeps the answers of servers from HAProxy; one that matches it decides about our packets.

use std::collections::BTreeSet;

use clearway_core::names::Mark;

use super::expression::{Comparison, Expression, word};
use super::{ChainName, ForeignRule, ForeignRuleset, Hook, HookPoint};

/// `NFT_META_MARK` and `NFT_CT_MARK`, which happen to be the same.
const MARK: u32 = 3;
/// The priority of our own chains (`mangle`). A chain with the same may come after ours.
const OURS: i32 = -150;
/// `XT_CONNMARK_RESTORE`.
const RESTORE: u8 = 2;

/// What a rule does with a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Packets have it afterwards.
    Sets,
    /// They do not; or they have that of their connection, or it cannot be told.
    Clears,
    /// The rule matches it.
    Asks,
}

/// A rule that touches a bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkUse {
    /// Where it stands.
    pub place: ChainName,
    /// What it does with it.
    pub does: Does,
    /// Where packets come to it.
    pub at: BTreeSet<HookPoint>,
    /// Whether it is for all packets that come to its chain.
    pub unconditional: bool,
}

impl ForeignRuleset {
    /// The rules that touch a bit, where that matters to the packets that have it.
    pub fn mark_uses(&self, mark: Mark) -> Vec<MarkUse> {
        let ways = self.ways();
        let use_of = |rule: &ForeignRule| {
            let does = does(rule, mark.value())?;
            let hooks = ways.hooks(&rule.place);
            let at: BTreeSet<HookPoint> =
                hooks.iter().filter(|hook| matters(does, **hook)).map(|hook| hook.at).collect();
            let unconditional = rule.is_unconditional();
            (!at.is_empty()).then(|| MarkUse { place: rule.place.clone(), does, at, unconditional })
        };
        self.rules.iter().filter_map(use_of).collect()
    }
}

fn matters(does: Does, hook: Hook) -> bool {
    match does {
        // Later the way of a packet is decided.
        Does::Sets => matches!(hook.at, HookPoint::Prerouting | HookPoint::Output),
        Does::Clears => matches!(hook.at, HookPoint::Prerouting | HookPoint::Output) && hook.priority >= OURS,
        Does::Asks => true,
    }
}

/// What is in the register.
#[derive(Clone, Copy)]
enum MarkRegister {
    /// The packet's mark, masked and turned.
    Mark {
        mask: u32,
        xor: u32,
    },
    Constant(u32),
    /// The mark of the connection, a field of a map: it cannot be told.
    Unknown,
}

/// The most that a rule does with a bit.
fn does(rule: &ForeignRule, bit: u32) -> Option<Does> {
    let mut loaded = MarkRegister::Unknown;
    let mut found = None;
    for one in &rule.does {
        let now = match one {
            Expression::LoadMeta(key) => {
                loaded = if *key == MARK {
                    MarkRegister::Mark { mask: u32::MAX, xor: 0 }
                } else {
                    MarkRegister::Unknown
                };
                None
            }
            Expression::Bitwise { mask, xor } => {
                if let MarkRegister::Mark { mask: before, xor: turned } = loaded {
                    loaded = MarkRegister::Mark { mask: before & mask, xor: (turned & mask) ^ xor };
                }
                None
            }
            Expression::Constant(value) => {
                loaded = word(value).map_or(MarkRegister::Unknown, MarkRegister::Constant);
                None
            }
            Expression::Compare(how, value) => asks(loaded, *how, word(value)?, bit),
            Expression::StoreMeta(MARK) => stored(loaded, bit),
            Expression::Target(name, info) => target(name, info, bit),
            Expression::Match(name, info) if name == "mark" => {
                let [value, mask] = [0, 4].map(|at| info.get(at..at + 4).and_then(word));
                asks(MarkRegister::Mark { mask: mask?, xor: 0 }, Comparison::Equal, value?, bit)
            }
            Expression::Nothing
            | Expression::Match(..)
            | Expression::Verdict(_)
            | Expression::StoreMeta(_) => None,
            _ => {
                loaded = MarkRegister::Unknown;
                None
            }
        };
        // What it does counts for more than what it asks for.
        if now.is_some() && found.is_none_or(|before| before == Does::Asks) {
            found = now;
        }
    }
    found
}

/// A rule that compares the whole mark with a value without this bit does not use the bit.
fn asks(loaded: MarkRegister, how: Comparison, value: u32, bit: u32) -> Option<Does> {
    let MarkRegister::Mark { mask, .. } = loaded else { return None };
    let whole = mask == u32::MAX && how == Comparison::Equal;
    (mask & bit != 0 && (!whole || value & bit != 0)).then_some(Does::Asks)
}

fn stored(loaded: MarkRegister, bit: u32) -> Option<Does> {
    match loaded {
        MarkRegister::Mark { xor, .. } if xor & bit != 0 => Some(Does::Sets),
        MarkRegister::Mark { mask, .. } if mask & bit != 0 => None,
        MarkRegister::Constant(value) if value & bit != 0 => Some(Does::Sets),
        MarkRegister::Mark { .. } | MarkRegister::Constant(_) | MarkRegister::Unknown => Some(Does::Clears),
    }
}

/// `MARK` (`xt_mark_tginfo2`: mark, mask) and `CONNMARK` (`xt_connmark_tginfo1`: mark, two masks, mode; in revision 2
/// two bytes before the mode).
fn target(name: &str, info: &[u8], bit: u32) -> Option<Does> {
    let field = |index: usize| info.get(4 * index..4 * index + 4).and_then(word);
    match name {
        "MARK" if field(0)? & bit != 0 => Some(Does::Sets),
        "MARK" if field(1)? & bit != 0 => Some(Does::Clears),
        "CONNMARK" => {
            let restores = info.get(12..15).is_some_and(|modes| modes[0] == RESTORE || modes[2] == RESTORE);
            (restores && field(2)? & bit != 0).then_some(Does::Clears)
        }
        _ => None,
    }
}
