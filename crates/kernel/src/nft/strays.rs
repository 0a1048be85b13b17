//! Drops packets with our mark that would leave this host.
//!
//! They belong to a transparent socket of this host, and another program has removed the rule or the route that
//! delivers them. Forwarded, they would reach the client, which does not know the connection and resets it. Dropped,
//! they are sent again, and delivered as soon as [`crate::plumbing::Plumbing::repair`] has put the rule or the route
//! back.
//!
//! Servers elsewhere: in `forward`, before other rules there set a mark of their own. Usually early demultiplexing has
//! tied the packet to its socket already, and the kernel drops it itself (`ip_forward`); not so with
//! `ip_early_demux=0`, as routers have it. Servers on this host: in `postrouting`, and only the bit of replies; the
//! other bit is in connection marks, from where other rules may restore it to packets that HAProxy sends.

use clearway_core::names::Mark;

use super::chains::{FORWARD, POSTROUTING, empty, for_own};
use super::{NftRule, Transaction};

/// The chains with their rules. `replies`: the bit of replies of servers on this host; `stale`: there may be a chain
/// for these that is needed no longer.
pub(super) fn fill(all: &mut Transaction, mark: Mark, replies: Option<Mark>, stale: bool) {
    empty(all, FORWARD);
    all.rule("rule against strays", FORWARD, NftRule::new().marked(mark).drop());
    for_own(all, POSTROUTING, replies.is_some(), stale);
    if let Some(replies) = replies {
        let sent = NftRule::new().oif_not_lo().marked(replies).drop();
        all.rule("rule against stray replies", POSTROUTING, sent);
    }
}
