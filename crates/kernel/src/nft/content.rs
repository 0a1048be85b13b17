//! What is in the table: what the module's first lines show, nothing else.
//!
//! Pure.

use std::fmt::Display;

use clearway_core::intercept::Interception;
use clearway_core::names::Mark;

use super::chains::{DIVERT, FORWARD, OUTPUT, POSTROUTING, PREROUTING, empty, for_own};
use super::interception::{self, INTERCEPT};
use super::rule::{ICMP, ICMPV6, TCP};
use super::{NftRule, Transaction, strays};

/// In this order: nearly every packet that matters is TCP.
const PROTOCOLS: [(&str, u8); 3] =
    [("rule for TCP", TCP), ("rule for ICMP", ICMP), ("rule for ICMPv6", ICMPV6)];

/// What to put into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// The bit of diverted packets, and of the connection mark.
    pub mark: Mark,
    /// Whether to keep transparent wildcard listeners from hijacking what is forwarded.
    pub guard: bool,
    /// The part that needs conntrack.
    pub own: Option<Own>,
}

/// For servers on this host's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// The bit of their replies.
    pub mark: Mark,
    /// Whether to answer a SYN-ACK that comes too late with a reset.
    pub reset: bool,
}

/// The whole content of a table. Chains that exist are emptied first; `stale`: there may be an `output` chain
/// that is needed no longer. `interception`: what the chain for it holds, if there is one.
pub(super) fn fill(
    table: &impl Display,
    content: &Content,
    interception: Option<&Interception>,
    stale: bool,
) -> Transaction {
    let Content { mark, guard, own } = *content;
    let mut all = Transaction::on(table);
    empty(&mut all, PREROUTING);
    empty(&mut all, DIVERT);
    if interception.is_some() {
        empty(&mut all, INTERCEPT);
    }
    let interception = interception.filter(|some| !some.is_empty());
    for_own(&mut all, OUTPUT, own.is_some(), stale);
    all.rule("rule for `lo`", PREROUTING, NftRule::new().iif_lo().leave());
    if interception.is_some() {
        all.rule("rule for new connections", PREROUTING, NftRule::new().opens().jump(INTERCEPT));
    }
    for (what, protocol) in PROTOCOLS {
        all.rule(what, PREROUTING, NftRule::new().protocol(protocol).transparent().goto(DIVERT));
    }
    if own.is_some_and(|own| own.reset) {
        all.rule("rule that resets", PREROUTING, NftRule::new().tcp().reply_to_marked(mark).reset());
    }
    let closed = interception.is_some_and(Interception::is_closed);
    if closed {
        all.rule("rule for what has no socket", PREROUTING, NftRule::new().tcp().jump(INTERCEPT));
    }
    if guard {
        // It came by `goto`: a plain return is the end, and what has no socket must not be lost to a listener's.
        let wildcard = NftRule::new().wildcard();
        let on = if closed { wildcard.goto(INTERCEPT) } else { wildcard.leave() };
        all.rule("guard against wildcard listeners", DIVERT, on);
    }
    all.rule("rule that marks", DIVERT, NftRule::new().mark(mark).accept());
    if let Some(own) = own {
        // Remembers the connections of transparent sockets, and marks what is sent back to them from this host.
        let remember = NftRule::new().tcp().original().transparent().mark_connection(mark);
        all.rule("rule that marks connections", OUTPUT, remember);
        all.rule("rule that marks replies", OUTPUT, NftRule::new().reply_to_marked(mark).mark(own.mark));
    }
    if let Some(interception) = interception {
        interception::fill(&mut all, mark, interception);
    }
    strays::fill(&mut all, mark, own.map(|own| own.mark), stale);
    all
}

/// Takes everything out of the table again; `output`: also what is there for servers on this host, `intercept`: also
/// the chain that intercepts.
pub(super) fn removal(table: &impl Display, output: bool, intercept: bool) -> Transaction {
    let mut chains = vec![PREROUTING, DIVERT, FORWARD];
    chains.extend([OUTPUT, POSTROUTING].into_iter().filter(|_| output));
    chains.extend(intercept.then_some(INTERCEPT));
    let mut all = Transaction::on(table);
    for chain in &chains {
        all.flush(chain);
    }
    for chain in &chains {
        all.delete_chain(chain);
    }
    all
}
