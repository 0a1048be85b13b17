//! The notices of a takeover: one per change of state, on both sides.

use std::time::Duration;

use crate::count::Count;

use super::event::Peer;
use super::limits::PROBATION;

crate::notices! {
    /// How a takeover goes.
    pub enum Turn {
        /// Another Clearway of this name gets the listening sockets.
        Info "takeover.started" HandingOver { takeover: Peer }
            => "another Clearway of this name gets the sockets (takeover {takeover}); reloads wait for it";
        /// The other Clearway has ended before it served.
        Warn "takeover.failed" NotTakenOver { takeover: Peer }
            => "takeover {takeover} failed: this one is still serving";
        /// The other Clearway serves.
        Info "takeover.superseded" Superseded { takeover: Peer }
            => "takeover {takeover} is done, another Clearway serves; if it dies within {} s, this one serves again",
                PROBATION.as_secs();
        /// The other Clearway has ended soon after it began to serve, and this one serves again.
        Warn "takeover.undone" SuccessorGone { takeover: Peer }
            => "the Clearway of takeover {takeover} is gone soon after it began: this one serves again";
        /// The other Clearway serves well: this one finishes its sessions, for at most `limit`, and ends.
        Info "takeover.settled" TakenOver { generations: usize, limit: Duration }
            => "the other Clearway does well: waiting for the sessions of {} here, for at most {} s",
                Count(*generations, "generation"), limit.as_secs();
        /// The Clearway that served has ended before this one, which takes over, serves.
        Warn "takeover.predecessor-gone" PredecessorGone
            => "the Clearway that served is gone before this one does: its sockets are here";
        /// The Clearway that served is still serving although this one has begun to: this one ends.
        Error "takeover.withdrawn" Withdrawn { error: String }
            => "the Clearway before this one is still serving ({error}): this one finishes its sessions and ends";
        /// HAProxy died soon after the takeover: the Clearway that served before serves again.
        Error "takeover.given-back" GivingBack
            => "HAProxy died soon after the takeover: the Clearway before this one serves again";
    }
}
