//! Sets, chains and rules of a gate: what [`super`]'s first lines show, nothing else.
//!
//! Pure. Two chains, so that every other packet costs one rule.

use std::fmt::Display;

use netlink_packet_netfilter::nftables::{InetHookNumber, TableFlags};

use super::keys::{Keys, SETS};
use crate::nft::{ChainType, NftRule, SetType, Transaction, Values};

const INPUT: &str = "input";
pub(super) const CLOSED: &str = "closed";
/// After the filters of others (0), `security` (50) and NAT (100), before conntrack's helpers (300) and the end, where
/// conntrack takes note of a new connection.
const PRIORITY: i32 = 299;
const HOLDS: &str = "rule that holds";
const DROPS: &str = "rule that drops";

/// What becomes of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SynAction {
    Drop(Tally),
    Queue { number: u16, by: QueueBy },
}

/// Whether the kernel counts what is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tally {
    /// By the nft expression `counter` in each rule (a module of its own up to Linux 5.17, `nft_counter`).
    Counted,
    /// It has no such expression.
    Uncounted,
}

/// What brings a packet into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueBy {
    /// nft's expression `queue` (`nft_queue`).
    Expression,
    /// iptables' target (`nft_compat`, `xt_NFQUEUE`).
    Target,
}

/// Closes: everything in the table, in one transaction.
pub(super) fn closing(table: &impl Display, keys: &Keys, how: SynAction) -> Transaction {
    let mut all = Transaction::on(table);
    for kind in keys.sets() {
        all.set(kind.into(), kind, Values::Timeouts);
    }
    keys.put(&mut all);
    all.chain(CLOSED);
    for kind in keys.sets() {
        stop(&mut all, kind, how);
    }
    all.hooked(INPUT, ChainType::Filter, InetHookNumber::LocalIn, PRIORITY);
    all.rule("rule for SYNs", INPUT, NftRule::new().opens().goto(CLOSED));
    all
}

/// Opens: no packet comes to the rules any more. The chains stay (see [`super`]), and what the rules have counted.
pub(super) fn opening(table: &impl Display) -> Transaction {
    let mut all = Transaction::on(table);
    all.flush(INPUT);
    all
}

/// Everything that needs something of the kernel, in a table of its own, but no hook: with that undone the kernel would
/// drop what waits in the queues of others.
pub(super) fn trial(table: &impl Display, how: SynAction) -> Transaction {
    let mut all = Transaction::on(table);
    all.make(TableFlags::empty());
    all.chain(CLOSED);
    for kind in SETS {
        all.set(kind.into(), kind, Values::Timeouts);
        stop(&mut all, kind, how);
    }
    all
}

/// A rule with iptables' target for family `ip`, to have its module loaded: for `inet` the kernel finds a target that
/// is there, and does not know what the module of one that is not is called (`xt_prefix`).
pub(super) fn target_of_ipv4(table: &impl Display, number: u16) -> Transaction {
    let mut all = Transaction::on(table);
    all.make(TableFlags::empty());
    all.chain(CLOSED);
    all.rule(HOLDS, CLOSED, NftRule::new().xt_queue(number));
    all
}

/// `meta nfproto ... <key> @<set> counter drop`, or into the queue.
fn stop(all: &mut Transaction, kind: SetType, how: SynAction) {
    let meant = NftRule::new().within(kind, kind.into());
    match how {
        SynAction::Drop(Tally::Counted) => all.rule(DROPS, CLOSED, meant.counter().drop()),
        SynAction::Drop(Tally::Uncounted) => all.rule(DROPS, CLOSED, meant.drop()),
        SynAction::Queue { number, by: QueueBy::Expression } => all.rule(HOLDS, CLOSED, meant.queue(number)),
        SynAction::Queue { number, by: QueueBy::Target } => all.rule(HOLDS, CLOSED, meant.xt_queue(number)),
    }
}
