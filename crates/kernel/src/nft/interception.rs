//! The chain that hands connections to addresses of others to a listener of this host (`tproxy`).
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
//! What `tproxy` does for a packet: a connection that exists gets it; of one in `TIME_WAIT` a new SYN is given to the
//! listener, which nobody else does for a listener with another port, so that a client who uses a port again need not
//! wait for a second. That is why new connections come here before the rules for sockets ask. Where nobody listens the
//! rule counts as not there (`NFT_BREAK`), and the packet goes on as if nothing were intercepted.
//!
//! **What is under way stays untouched** unless closed: only the first packet of a connection comes here, the others find
//! their socket by the rules for sockets, or none, and are forwarded. So whoever was connected past us when we began is
//! not cut off. The price: the answer to a SYN cookie has no socket either, so a client that gets one, in a flood of
//! SYNs, is lost. Closed, everything that no socket claims comes here, and what nobody knows is reset.
//!
//! Packets to an address of this host are nobody else's. The mark is that of diverted packets, so the way is the same.

use clearway_core::intercept::{Interception, Target};
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

fn rule(target: &Target<'_>, mark: Mark) -> NftRule {
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
