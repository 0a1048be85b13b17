//! Other Clearways of the same name: which one has the name, and what a predecessor, successors and a holder are told.
//!
//! The name is two listening sockets: the lock, which is the admin socket that all containers of the network namespace
//! see, and the door, where the next Clearway asks. They are handed over like the listening sockets of HAProxy, so that
//! there is no moment in which another process could take the name.
//!
//! ```text
//!   began alone                 began with the sockets of a predecessor
//!       |                                     |
//!       |                  the predecessor's: it is awaited ----- the predecessor is gone ----> taken when free
//!       |                                     | Relieved                                          |
//!       v                                     v                                                   |
//!     ours: lock and door are opened, and tried again if they cannot be <-------------------------'
//!       |           ^
//!       | Relieve   | TakeBack: it has failed
//!       v           |
//!     a successor's: duplicates are kept behind a closed gate -------- a stop: another one's, nothing is kept
//! ```
//!
//! This is what takes part in a takeover beside the [life of generations](crate::supervisor), which says when sockets are
//! handed over: its actions are events here, and what other Clearways say goes to it as [`PeersAction::Tell`]. How a Clearway
//! comes to begin is in [`arrival`], what a holder does in [`hold`].
//!
//! Time is a duration since Clearway began.

pub mod arrival;
mod event;
pub mod fence;
pub mod hold;
mod holder;
pub mod lookout;
mod name;
pub mod patience;

pub use event::{
    Beginning, NameGate, NamePart, PeersAction, PeersEvent, PeersReport, ToHolder, ToPredecessor,
};

use std::collections::HashSet;
use std::time::Duration;

use crate::supervisor::{Event as Told, Peer};
use fence::Fence;
use holder::HolderLink;
use name::Tenure;

/// From so many takeovers within the time of the fence on they are warned of.
const MANY: usize = 4;

/// All that one Clearway knows of others of its name.
#[derive(Debug)]
pub struct Relations {
    name: Tenure,
    fence: Fence,
    /// Its own container: two processes that nothing tells apart are never turned away.
    own_origin: Option<String>,
    /// Conversations with those that have asked for the sockets.
    successors: HashSet<Peer>,
    /// The one that was given the sockets last.
    given: Option<Peer>,
    /// Whether there is a conversation with a predecessor.
    predecessor: bool,
    /// What it knew to be superseded, until this one serves.
    inherited: Vec<(String, Duration)>,
    holder: HolderLink,
    /// Set from a stop on: nothing is held for this one any more.
    stops: bool,
}

impl Relations {
    /// Nothing has happened yet.
    pub fn new(is_private: bool, fence: Fence, own_origin: Option<String>) -> Self {
        Self {
            name: Tenure::new(is_private),
            fence,
            own_origin,
            successors: HashSet::new(),
            given: None,
            predecessor: false,
            inherited: Vec::new(),
            holder: HolderLink::default(),
            stops: false,
        }
    }

    /// When [`PeersEvent::TimePassed`] is due, if at all.
    pub fn due(&self) -> Option<Duration> {
        self.name.due()
    }

    /// Whether another Clearway, which would come back, has the sockets that this one began with.
    pub fn has_predecessor(&self) -> bool {
        self.predecessor
    }

    /// Whether the name is this one's, and other Clearways ask it.
    pub fn has_the_name(&self) -> bool {
        self.name.is_ours()
    }

    /// Whether this one was given the sockets last.
    pub fn has_given_to(&self, peer: Peer) -> bool {
        self.given == Some(peer)
    }

    /// Hears an event, and says what is to be done, in this order.
    pub fn step(&mut self, event: PeersEvent, now: Duration) -> Vec<PeersAction> {
        let mut todo = Vec::new();
        match event {
            PeersEvent::Begin(beginning) => self.begin(beginning, &mut todo),
            PeersEvent::HandOver(peer) => {
                self.given = Some(peer);
                if self.successors.contains(&peer) {
                    todo.push(PeersAction::Welcome(peer, self.fence.list(now)));
                }
            }
            PeersEvent::Decline(peer, why) => {
                if self.successors.remove(&peer) {
                    todo.push(PeersAction::Decline(peer, why));
                }
            }
            PeersEvent::Relieve(peer) => self.relieve(peer, &mut todo),
            PeersEvent::TakeBack => {
                todo.push(PeersAction::ComeBack);
                self.name.take_back(&mut todo);
            }
            PeersEvent::Supersede => self.supersede(now, &mut todo),
            PeersEvent::Settled => {
                if self.predecessor {
                    todo.push(PeersAction::TellPredecessor(ToPredecessor::Settled));
                    self.part(&mut todo);
                    self.name.predecessor_gone(&mut todo);
                }
            }
            PeersEvent::GiveBack => {
                // It has not heard that this one has settled: it serves again, and has the name.
                self.name.let_go(&mut todo);
                self.part(&mut todo);
            }
            PeersEvent::Committed => self.holder.committed(&mut todo),
            PeersEvent::ServersKnown => self.holder.servers_known(&mut todo),
            PeersEvent::Released { at_once } => {
                self.stops = true;
                self.name.stop(&mut todo);
                self.holder.released(at_once, &mut todo);
            }
            PeersEvent::Leaves => self.leave(&mut todo),
            PeersEvent::Asked { peer, origin } => self.asked(peer, origin, now, &mut todo),
            PeersEvent::Serves(peer) => todo.push(PeersAction::Tell(Told::Superseded(peer))),
            PeersEvent::ServesWell(peer) => todo.push(PeersAction::Tell(Told::SuccessorSettled(peer))),
            PeersEvent::Gone(peer) => {
                self.successors.remove(&peer);
                todo.push(PeersAction::Tell(Told::PeerGone(peer)));
            }
            PeersEvent::HolderCame if self.stops => todo.push(PeersAction::SendHolderAway),
            PeersEvent::HolderCame => self.holder.came(&mut todo),
            PeersEvent::Relieved { named } => self.relieved(named, &mut todo),
            PeersEvent::Withdrawn(failure) => todo.push(PeersAction::Tell(Told::Withdrawn(failure))),
            PeersEvent::PredecessorGone => {
                self.predecessor = false;
                self.name.predecessor_gone(&mut todo);
                todo.push(PeersAction::Tell(Told::PredecessorGone));
            }
            PeersEvent::LockTaken => {
                self.name.take(&mut todo);
                todo.push(PeersAction::MakeFile);
            }
            PeersEvent::LockNotFree(failure) => self.name.not_free(failure, now, &mut todo),
            PeersEvent::Opened(part) => self.name.opened(part, &mut todo),
            PeersEvent::NotOpened(why) => self.name.not_opened(why, now, &mut todo),
            PeersEvent::TimePassed => self.name.time_passed(now, &mut todo),
        }
        todo
    }

    fn begin(&mut self, beginning: Beginning, todo: &mut Vec<PeersAction>) {
        let Beginning { lock, predecessor, holder } = beginning;
        self.holder.begin(holder);
        if let Some(superseded) = predecessor {
            self.predecessor = true;
            self.inherited = superseded;
            self.name.expect();
        }
        if lock {
            self.name.take(todo);
        }
    }

    /// A container that was superseded a short while ago, or is one of too many, is turned away.
    fn asked(&mut self, peer: Peer, origin: Option<String>, now: Duration, todo: &mut Vec<PeersAction>) {
        let origin = origin.filter(|origin| Some(origin) != self.own_origin.as_ref());
        if let Some(why) = origin.and_then(|origin| self.fence.ask(&origin, now)) {
            return todo.push(PeersAction::TurnAway(peer, why));
        }
        self.successors.insert(peer);
        todo.push(PeersAction::Tell(Told::TakeoverAsked(peer)));
    }

    /// A successor serves: the name is its own.
    fn relieve(&mut self, peer: Peer, todo: &mut Vec<PeersAction>) {
        self.name.lend(todo);
        if self.successors.contains(&peer) {
            todo.push(PeersAction::GiveName(peer));
        }
        todo.push(PeersAction::StandAside);
        if self.stops {
            self.name.stop(todo);
        }
    }

    /// A successor that has not served yet gets the name now: else a third one might take it before.
    fn leave(&self, todo: &mut Vec<PeersAction>) {
        let given = self.given.filter(|peer| self.name.is_ours() && self.successors.contains(peer));
        todo.extend(given.map(PeersAction::GiveName));
    }

    /// The name is here, unless that word and our parting have crossed.
    fn relieved(&mut self, named: bool, todo: &mut Vec<PeersAction>) {
        if self.predecessor && named {
            todo.extend([PeersAction::UseGivenName, PeersAction::ListenAnew]);
            self.name.take(todo);
            todo.push(PeersAction::MakeFile);
        }
    }

    fn supersede(&mut self, now: Duration, todo: &mut Vec<PeersAction>) {
        for (origin, ago) in std::mem::take(&mut self.inherited) {
            self.fence.keep_out(origin, ago, now);
        }
        let takeovers = self.fence.takeovers(now);
        if takeovers >= MANY {
            todo.push(PeersAction::Report(PeersReport::ManyTakeovers { takeovers }));
        }
        if self.predecessor {
            todo.push(PeersAction::TellPredecessor(ToPredecessor::Serving));
        }
    }

    fn part(&mut self, todo: &mut Vec<PeersAction>) {
        if std::mem::take(&mut self.predecessor) {
            todo.push(PeersAction::PartFromPredecessor);
        }
    }
}

#[cfg(test)]
mod tests;
