//! Packets with a mark of ours that leave this host all the same: they are dropped.
//!
//! They are on the way to a transparent socket of this host, and somebody has removed the rule or the route that would
//! have brought them there. Sent on they would reach the client, who knows of no such connection and resets it. Dropped
//! they are sent again, and find their way as soon as [`crate::plumbing::Plumbing::repair`] has put things back.
//!
//! Servers elsewhere: in `forward`, before anybody there can set a mark of his own. Usually early demultiplexing has tied
//! the packet to its socket already, and the kernel drops it itself (`ip_forward`); not so with `ip_early_demux=0`, as
//! routers have it. Servers on this host: in `postrouting`, and only the bit of replies; the other one is in connection
//! marks, from where others may restore it to what HAProxy sends.

use clearway_core::names::Mark;
use netlink_packet_netfilter::nftables::{MetaKey, Verdict};

use super::expressions::{Expression, and, differs, equals, load_meta, verdict};
use super::rules::{DROP, FORWARD, POSTROUTING, delete, flush, hooked, rule};
use crate::interfaces::LOOPBACK;
use crate::netlink::Step;

/// The chains with their rules. `replies`: the bit of replies of servers on this host; `stale`: there may be a chain for
/// these that is needed no longer.
pub(super) fn steps(table: &str, mark: Mark, replies: Option<Mark>, stale: bool) -> Vec<Step> {
    let mut steps = vec![hooked(table, FORWARD), flush(table, FORWARD)];
    let forwarded = has(mark).chain([verdict(Verdict::Other(DROP), None)]);
    steps.push(rule("rule against strays", table, FORWARD, forwarded.collect()));
    if replies.is_some() || stale {
        steps.extend([hooked(table, POSTROUTING), flush(table, POSTROUTING)]);
    }
    match replies {
        Some(replies) => {
            let elsewhere = [load_meta(MetaKey::Oif), differs(&LOOPBACK.to_ne_bytes())];
            let sent = elsewhere.into_iter().chain(has(replies)).chain([verdict(Verdict::Other(DROP), None)]);
            steps.push(rule("rule against stray replies", table, POSTROUTING, sent.collect()));
        }
        None if stale => steps.push(delete(table, POSTROUTING)),
        None => {}
    }
    steps
}

/// `meta mark & M == M`.
fn has(mark: Mark) -> impl Iterator<Item = Expression> {
    [load_meta(MetaKey::Mark), and(mark), equals(&mark.value().to_ne_bytes())].into_iter()
}
