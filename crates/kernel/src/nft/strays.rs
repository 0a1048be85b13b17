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

use super::content::{FORWARD, POSTROUTING, empty, for_own};
use super::{NftRule, Transaction};

/// The chains with their rules. `replies`: the bit of replies of servers on this host; `stale`: there may be a chain for
/// these that is needed no longer.
pub(super) fn fill(all: &mut Transaction, mark: Mark, replies: Option<Mark>, stale: bool) {
    empty(all, FORWARD);
    all.rule("rule against strays", FORWARD, NftRule::new().marked(mark).drop());
    for_own(all, POSTROUTING, replies.is_some(), stale);
    if let Some(replies) = replies {
        let sent = NftRule::new().oif_not_lo().marked(replies).drop();
        all.rule("rule against stray replies", POSTROUTING, sent);
    }
}
