//! Rules of others that touch our bits of the packet mark.

use clearway_core::names::Mark;
use clearway_kernel::others::{Does, ForeignRuleset, HookPoint, MarkUse};

use crate::path::obstacles::obstacle::{Bits, Obstacle, ObstacleSeverity};

/// The answers of servers come in, those of servers on this host's own addresses go out.
pub fn find(others: &ForeignRuleset, bits: Bits) -> Vec<Obstacle> {
    let of = |mark: Mark, at: HookPoint| {
        let used = others.mark_uses(mark).into_iter();
        used.filter_map(move |one| of_rule(&one, mark, at))
    };
    let replies = bits.replies.into_iter().flat_map(|mark| of(mark, HookPoint::Output));
    of(bits.diverted, HookPoint::Prerouting).chain(replies).collect()
}

fn of_rule(rule: &MarkUse, mark: Mark, at: HookPoint) -> Option<Obstacle> {
    let hooks = rule.at.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let told = |does: &str| {
        format!(
            "a rule {does} the bit {mark} of packet marks, which is Clearway's ({}, from {hooks})",
            rule.place
        )
    };
    let other_bit = format!(
        "let it touch only bits of its own (`{mark}` is not), or give Clearway another: CLEARWAY_MARK"
    );
    Some(match rule.does {
        Does::Sets => Obstacle::new(
            ObstacleSeverity::Problem,
            told("sets"),
            "packets of others that get it are taken for answers to HAProxy and stay on this host",
            other_bit,
        ),
        Does::Clears if rule.at.contains(&at) => Obstacle::new(
            // Of a condition it cannot be told which packets it spares.
            if rule.unconditional { ObstacleSeverity::Problem } else { ObstacleSeverity::Note },
            told("takes away"),
            "answers of servers that lose it do not come to HAProxy: transparent connections time out",
            format!(
                "let it keep other bits: `meta mark set meta mark & {:#010x} | ...`, `-j MARK --set-xmark VALUE/MASK`",
                mark.value()
            ),
        ),
        Does::Clears => return None,
        Does::Asks => Obstacle::new(
            ObstacleSeverity::Note,
            told("asks for"),
            "what it decides, it decides about answers to HAProxy as well",
            other_bit,
        ),
    })
}
