//! What is heard of other Clearways.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use clearway_core::failure::Failure;
use clearway_core::supervisor::Peer;

use crate::peers::wire::Wire;

/// What is heard of other Clearways.
#[derive(Debug)]
pub enum News {
    /// Another one asks for the sockets.
    SuccessorAsked {
        /// Which conversation.
        peer: Peer,
        /// The conversation.
        wire: Arc<Wire>,
        /// Its Clearway's version.
        version: String,
        /// Its container.
        origin: Option<String>,
    },
    /// The successor serves.
    SuccessorServes(Peer),
    /// The successor does well.
    SuccessorSettled(Peer),
    /// A conversation is over.
    SuccessorGone(Peer),
    /// A holder is there.
    HolderCame(Arc<Wire>),
    /// The predecessor drains; these are the listening sockets of the name.
    Relieved(Vec<OwnedFd>),
    /// The predecessor wants its sockets back.
    Withdrawn(Failure),
    /// The predecessor is gone.
    PredecessorGone,
}
