//! The chain that hands connections to other hosts to a listener of this host (`tproxy`).
//!
//! ```text
//!   chain prerouting { ...
//!     iif "lo" return
//!     meta l4proto tcp tcp flags & (fin | syn | rst | ack) == syn jump intercept      # before the rules for sockets
//!     ...
//!     meta l4proto tcp jump intercept                                                 # last, and only if closed
//!   }
//!   chain intercept {
//!     fib daddr type local return
//!     iifname "lan0" ip daddr 10.2.0.0/16 tcp dport 80 tproxy ip to :8080 meta mark set meta mark | 0x20000000 accept
//!     ...
//!   }
//! ```
//!
//! What `tproxy` does with a packet: it gives it to the socket of its connection; if that is in `TIME_WAIT` it gives a
//! new SYN to the listener, which nothing else does for a listener with another port, so that a client that uses a port
//! again need not wait for a second. That is why new connections come here before the rules for sockets. Where no
//! socket listens the rule does not match (`NFT_BREAK`), and the packet goes on as if nothing were intercepted.
//!
//! **Open connections stay untouched** unless it fails closed: only the first packet of a connection comes here, the
//! others find their socket by the rules for sockets, or none, and are forwarded. So a connection that went through
//! this host before is not cut off. The price: the answer to a SYN cookie has no socket either, so a client that gets
//! one, in a flood of SYNs, is lost. If it fails closed, every packet without a socket comes here, and one of no known
//! connection is reset.
//!
//! Packets to an address of this host are left alone. The mark is that of diverted packets, so the way is the same.

use clearway_core::intercept::{InterceptTarget, Interception};
use clearway_core::names::Mark;

use super::{NftRule, Transaction};
use crate::transparency::Family;

pub(super) const INTERCEPT: &str = "intercept";

/// The rules of the chain.
pub(super) fn fill(all: &mut Transaction, mark: Mark, interception: &Interception) {
    all.rule("rule for own addresses", INTERCEPT, NftRule::new().daddr_local().leave());
    for target in interception.targets() {
        all.rule("rule that intercepts", INTERCEPT, rule(&target, mark));
    }
}

fn rule(target: &InterceptTarget<'_>, mark: Mark) -> NftRule {
    let mut rule = NftRule::new();
    if let Some(name) = target.interface {
        rule = rule.iifname(name);
    }
    if let Some(network) = target.destination {
        rule = rule.destination(network);
    }
    // By itself, although only TCP comes here: so `nft` shows it in a form that it takes.
    rule = rule.tcp();
    if let Some(ports) = target.ports {
        rule = rule.ports(ports);
    }
    let family = target.destination.map(|network| Family::of(network.address()));
    rule.tproxy(family, target.to).mark(mark).accept()
}
