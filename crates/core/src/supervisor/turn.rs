//! The log lines of a takeover: one per change of state, on both sides.

use crate::count::Count;
use std::fmt;
use std::time::Duration;

use super::PROBATION;
use super::event::Peer;
use super::report::Severity;

/// How a takeover goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Another Clearway of this name gets the sockets.
    HandingOver(Peer),
    /// It has gone before it served.
    NotTakenOver(Peer),
    /// It serves.
    Superseded(Peer),
    /// It has gone soon after: this one serves again.
    SuccessorGone(Peer),
    /// It serves well: this one finishes what it has, and leaves.
    TakenOver {
        /// How many generations have sessions.
        generations: usize,
        /// How long they may take.
        limit: Duration,
    },
    /// The other way round: the predecessor has gone before this one served.
    PredecessorGone,
    /// The predecessor is still serving although this one has begun to: this one ends.
    Withdrawn(String),
    /// This one has died young: the predecessor serves again.
    GivingBack,
}

impl Turn {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::GivingBack | Self::Withdrawn(_) => Severity::Error,
            Self::NotTakenOver(_) | Self::SuccessorGone(_) | Self::PredecessorGone => Severity::Warn,
            Self::HandingOver(_) | Self::Superseded(_) | Self::TakenOver { .. } => Severity::Info,
        }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandingOver(Peer(peer)) => {
                write!(
                    f,
                    "another Clearway of this name gets the sockets (takeover {peer}); reloads wait for it"
                )
            }
            Self::NotTakenOver(Peer(peer)) => {
                write!(f, "takeover {peer} failed: this one is still serving")
            }
            Self::Superseded(Peer(peer)) => {
                write!(f, "takeover {peer} is done, another Clearway serves; if it dies within ")?;
                write!(f, "{} s, this one serves again", PROBATION.as_secs())
            }
            Self::SuccessorGone(Peer(peer)) => {
                write!(
                    f,
                    "the Clearway of takeover {peer} is gone soon after it began: this one serves again"
                )
            }
            Self::TakenOver { generations, limit } => {
                write!(
                    f,
                    "the other Clearway does well: waiting for the sessions of {} here, ",
                    Count(*generations, "generation")
                )?;
                write!(f, "for at most {} s", limit.as_secs())
            }
            Self::PredecessorGone => {
                f.write_str("the Clearway that served is gone before this one does: its sockets are here")
            }
            Self::Withdrawn(why) => {
                write!(
                    f,
                    "the Clearway before this one is still serving ({why}): this one finishes its sessions and ends"
                )
            }
            Self::GivingBack => {
                f.write_str("HAProxy died soon after the takeover: the Clearway before this one serves again")
            }
        }
    }
}
