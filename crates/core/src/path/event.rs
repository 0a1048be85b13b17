//! What the machine is told, and what it answers with.

use std::net::SocketAddr;

use crate::exit::ExitCode;
use crate::intercept::Closing;

use super::needs::ServerNeeds;
use super::schedule::Round;
use super::verdict::{CanaryVerdict, ServersByAddress};

/// How many generations there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generations {
    /// Only the one that the told servers belong to.
    One,
    /// Others that drain or start: their sessions may go to other servers.
    Several,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathEvent {
    /// A generation is being prepared that needs the plumbing, for servers at the addresses that its files say.
    Needed(ServerNeeds),
    /// [`PathAction::Install`] is done, as far as this kernel can.
    Installed(ServerNeeds),
    /// [`PathAction::Follow`] is done.
    Followed {
        /// What the plumbing is for now.
        needs: ServerNeeds,
        /// Whether it was for something else before.
        changed: bool,
    },
    /// [`PathAction::Watch`] has failed.
    CannotWatch,
    /// Something may have been removed.
    Removed,
    /// [`PathAction::Look`] is done.
    Looked {
        /// Whether something was gone, and is back.
        repaired: bool,
    },
    /// [`PathAction::Look`] has failed, or what was gone could not be put back.
    LookFailed,
    /// HAProxy was asked for the state of its servers, and has answered or has not: a time to look for what cannot be
    /// watched (a route that was replaced, a plain table that was flushed, what only another Clearway had needed).
    Told {
        /// Whether the generation has just begun.
        fresh: bool,
    },
    /// A generation serves.
    Serves {
        /// Whether its configuration is transparent.
        transparent: bool,
    },
    /// Where the servers are now.
    Servers {
        /// Those that clients are sent to.
        servers: ServersByAddress,
        /// What all of them need; unset while the address of none is known.
        needs: Option<ServerNeeds>,
        /// How many generations there are.
        generations: Generations,
        /// Whether the generation has just begun.
        fresh: bool,
    },
    /// A person or a tool wants the servers to be asked now.
    AskWanted,
    /// A round of questions is over.
    RoundOver {
        /// Which.
        round: Round,
        /// What is known of each server.
        verdicts: Vec<(SocketAddr, CanaryVerdict)>,
        /// Whether something of another process is in the way.
        obstructed: bool,
    },
    /// [`PathAction::Ask`] has failed.
    CouldNotAsk,
    /// None of our sockets listens any more, or another Clearway has them.
    ReleaseCustody,
    /// No generation needs the plumbing any more.
    Unplumb,
    /// Clearway ends.
    Leave(ExitCode),
    /// The deadline has passed.
    TimePassed,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathAction {
    /// Put the plumbing into the kernel. It comes to [`PathEvent::Installed`], or to nothing.
    Install(ServerNeeds),
    /// Remove what others have left, now that what rejects connections is our own.
    SweepTheRest,
    /// Let the plumbing be for this. It comes to [`PathEvent::Followed`], or to nothing.
    Follow(ServerNeeds),
    /// Watch anew for removals of what is ours.
    Watch,
    /// Watch no more.
    Unwatch,
    /// Put back what is missing, and remove what is too much. It comes to [`PathEvent::Looked`] or
    /// [`PathEvent::LookFailed`].
    Look,
    /// Say that another process removes the plumbing again and again, and that it is put back more and more seldom.
    SayRemovedAgainAndAgain,
    /// Leave new connections alone from now on.
    StopIntercepting,
    /// Take the plumbing out of the kernel.
    Remove(Closing),
    /// Ask the servers whether they find the way to clients.
    Ask(Round),
    /// The answers of the round that was asked last are of no use any more.
    GiveUp,
}
