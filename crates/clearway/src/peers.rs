//! Every conversation with another Clearway (predecessor, successors, holder), and the name of the instance.
//!
//! ```text
//!   beginning -> admin_socket (the lock), predecessor (asks for sockets), holder (asks for what is kept)
//!   name      -> lock, door, gate, admin sockets; the door is served by successor
//!   hold      -> the other end: conversations of `clearway hold` with balancers
//!   wire, message, state: what goes over a conversation, in the words of docs/explanation/takeover.md
//! ```
//!
//! [`Peers`] decides nothing: what is heard, what the generations want of it and what was committed becomes an event for
//! the machine of the core ([`Relations`]), and what that answers is carried out here, in order. An admin socket is made
//! here and served by another room ([`ServeAdmin`]).

pub mod admin_socket;
pub mod beginning;
pub mod door;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod given;
pub mod hold;
mod holder;
mod message;
mod name;
pub mod names;
mod news;
pub mod notices;
mod origin;
mod predecessor;
mod state;
mod successor;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::peers::fence::Fence;
use clearway_core::peers::{Beginning, PeersAction, PeersEvent, Relations, ToHolder};
use clearway_core::settings::Settings;
use clearway_core::supervisor::{Event, Peer};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::custody::sockets::Sockets;
use crate::custody::subscription::Subscription;
use crate::custody::usable::Unusable;
use crate::debug;
use crate::fleet::state::{Snapshot, StateQuestion};
use crate::ground::due;
use crate::ground::notice::tell;
use crate::ground::settle::settle;
use crate::peers::notices::PeersNotice;
use beginning::Newcomer;
use holder::KnownHolder;
use message::Former;
use name::Name;
use predecessor::Predecessor;
use successor::Successor;
use wire::Wire;

pub use name::ServeAdmin;
pub use news::News;

/// Every conversation with another Clearway, and the name of the instance.
#[derive(Debug)]
pub struct Peers {
    begun: Instant,
    relations: Relations,
    name: Name,
    sender: UnboundedSender<News>,
    news: UnboundedReceiver<News>,
    /// Each set of sockets that serves.
    custody: Subscription,
    /// What is known of the servers.
    servers: Option<Snapshot>,
    predecessor: Option<Predecessor>,
    successors: HashMap<Peer, Successor>,
    /// What is about to be handed over.
    handing: Option<(Arc<Sockets>, StateQuestion)>,
    holder: Option<KnownHolder>,
    /// The holder that has just come.
    came: Option<Arc<Wire>>,
}

impl Peers {
    /// Nothing has been done yet.
    pub fn new(settings: &Settings, serve: Box<dyn ServeAdmin>, custody: Subscription) -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        let fence = Fence::new(settings.takeover_back, settings.takeover_most);
        let is_private = settings.instance.is_none();
        Self {
            begun: Instant::now(),
            relations: Relations::new(is_private, fence, origin::of_this_container()),
            name: Name::new(settings, serve, sender.clone()),
            sender,
            news,
            custody,
            servers: None,
            predecessor: None,
            successors: HashMap::new(),
            handing: None,
            holder: None,
            came: None,
        }
    }

    /// Begins; so many sockets are in custody. Says whether they are those of a predecessor that serves.
    pub fn begin(&mut self, newcomer: Newcomer, sockets: usize) -> Result<bool, Failure> {
        let Newcomer { admin, predecessor, holder, .. } = newcomer;
        if let Some(one) = &predecessor {
            tell(&PeersNotice::TakeoverBegun { version: one.version.clone(), sockets });
            if !one.listen(self.sender.clone()) {
                return Err(cannot_take_over(&"it cannot be listened to"));
            }
        }
        self.holder = holder.and_then(KnownHolder::of);
        let ago = |former: &Former| (former.origin.clone(), Duration::from_millis(former.ago_ms));
        let beginning = Beginning {
            lock: self.name.begin(admin),
            predecessor: predecessor.as_ref().map(|one| one.superseded.iter().map(ago).collect()),
            holder: self.holder.is_some(),
        };
        self.predecessor = predecessor;
        self.take(PeersEvent::Begin(beginning));
        Ok(self.has_predecessor())
    }

    /// What is heard next; meanwhile it does what is due. Never ends; can be cancelled.
    pub async fn next(&mut self) -> News {
        loop {
            let due = self.relations.due().map(|due| self.begun + due);
            tokio::select! {
                biased;
                () = self.custody.changed() => self.keep_up(),
                Some(news) = self.news.recv() => return news,
                () = due::at(due) => drop(self.take(PeersEvent::TimePassed)),
            }
        }
    }

    /// Takes what was heard, as an event for the core, if it is one.
    pub fn hear(&mut self, news: News) -> Option<Event> {
        let event = match news {
            News::SuccessorAsked { peer, wire, version, origin } => {
                self.successors.insert(peer, Successor::new(wire, version));
                PeersEvent::Asked { peer, origin }
            }
            News::SuccessorServes(peer) => PeersEvent::Serves(peer),
            News::SuccessorSettled(peer) => PeersEvent::ServesWell(peer),
            News::SuccessorGone(peer) => {
                self.successors.remove(&peer);
                PeersEvent::Gone(peer)
            }
            News::HolderCame(wire) => {
                self.came = Some(wire);
                PeersEvent::HolderCame
            }
            News::Relieved(given) => PeersEvent::Relieved { named: self.name.offer(given) },
            News::Withdrawn(failure) => PeersEvent::Withdrawn(failure),
            News::PredecessorGone => {
                self.predecessor = None;
                PeersEvent::PredecessorGone
            }
        };
        let told = self.take(event);
        // What is of no use is closed.
        self.name.offer(Vec::new());
        told
    }

    /// Gives the sockets in custody to a successor, and what `servers` comes to.
    pub fn hand_over(&mut self, peer: Peer, sockets: Arc<Sockets>, servers: StateQuestion) {
        self.handing = Some((sockets, servers));
        self.take(PeersEvent::HandOver(peer));
        self.handing = None;
    }

    /// This is known of the servers now.
    pub fn know_servers(&mut self, servers: &Snapshot) {
        self.servers = Some(servers.clone());
        self.take(PeersEvent::ServersKnown);
    }

    /// A set that serves is known to the holder before anything else is said to it.
    fn keep_up(&mut self) {
        if self.custody.news().is_some() {
            self.step(PeersEvent::Committed);
        }
    }

    /// Does what an event comes to, as the core says. Answers with what the generations are to know.
    pub fn take(&mut self, event: PeersEvent) -> Option<Event> {
        self.keep_up();
        self.step(event)
    }

    fn step(&mut self, event: PeersEvent) -> Option<Event> {
        let mut told = None;
        let step = |peers: &mut Self, event| peers.relations.step(event, peers.begun.elapsed());
        settle(self, event, step, |peers, action| peers.carry_out(action, &mut told));
        told
    }

    fn carry_out(&mut self, action: PeersAction, told: &mut Option<Event>) -> Option<PeersEvent> {
        match action {
            PeersAction::Tell(event) => {
                self.log_asking(&event);
                *told = Some(event);
            }
            PeersAction::TakeLock => return self.name.take_lock(),
            PeersAction::UseGivenName => self.name.use_given(),
            PeersAction::ListenAnew => self.name.listen_anew(),
            PeersAction::Open(part) => return Some(self.name.open(part)),
            PeersAction::SetGate(gate) => self.name.set_gate(gate),
            PeersAction::MakeFile => self.name.make_file(),
            PeersAction::StandAside => self.name.stand_aside(),
            PeersAction::ComeBack => self.name.come_back(),
            PeersAction::LetGoOfName => self.name.let_go(),
            PeersAction::TurnAway(peer, why) => {
                if let Some(successor) = self.successors.remove(&peer) {
                    successor.turn_away(&why.failure());
                }
            }
            PeersAction::Welcome(peer, superseded) => self.welcome(peer, superseded),
            PeersAction::Decline(peer, why) => {
                if let Some(successor) = self.successors.remove(&peer) {
                    successor.decline(peer, why);
                }
            }
            PeersAction::GiveName(peer) => {
                if let Some(successor) = self.successors.get(&peer) {
                    successor.give_name(&self.name.sockets());
                }
            }
            PeersAction::TellPredecessor(word) => {
                if let Some(predecessor) = &self.predecessor {
                    predecessor.tell(word);
                }
            }
            PeersAction::PartFromPredecessor => {
                if let Some(predecessor) = self.predecessor.take() {
                    predecessor.part();
                }
            }
            PeersAction::TalkToHolder => self.holder = self.came.take().and_then(KnownHolder::of),
            PeersAction::SendHolderAway => {
                debug!("a holder has come, and was sent away: this Clearway stops");
                if let Some(wire) = self.came.take() {
                    holder::send_away(&wire);
                }
            }
            PeersAction::TellHolder(what) => self.tell_holder(what),
            PeersAction::Report(report) => tell(&report),
        }
        None
    }

    fn welcome(&mut self, peer: Peer, superseded: Vec<(String, Duration)>) {
        let former = |(origin, ago): (String, Duration)| Former {
            origin,
            ago_ms: u64::try_from(ago.as_millis()).unwrap_or(u64::MAX),
        };
        if let (Some(successor), Some((sockets, servers))) = (self.successors.get(&peer), self.handing.take())
        {
            successor.welcome(sockets, servers, superseded.into_iter().map(former).collect());
        }
    }

    fn tell_holder(&mut self, what: ToHolder) {
        let Some(holder) = &self.holder else { return };
        match what {
            ToHolder::Keep => {
                if let Some(sockets) = self.custody.serving() {
                    holder.keep(sockets);
                }
            }
            ToHolder::Servers => {
                if let Some(servers) = &self.servers {
                    holder.know(servers);
                }
            }
            ToHolder::Release { at_once } => holder.release(at_once),
        }
    }

    fn log_asking(&self, event: &Event) {
        if let Event::TakeoverAsked(peer) = event
            && let Some(successor) = self.successors.get(peer)
        {
            let version = successor.version.clone();
            tell(&PeersNotice::TakeoverRequested { takeover: peer.0, version });
        }
    }

    /// Whether another Clearway, which would come back, has the sockets that this one began with.
    pub fn has_predecessor(&self) -> bool {
        self.relations.has_predecessor()
    }

    /// Whether a successor has been given our sockets.
    pub fn has_given_to(&self, peer: Peer) -> bool {
        self.relations.has_given_to(peer)
    }

    /// Whether a holder is there; unset for a private instance, which none can hold for.
    pub fn has_holder(&self) -> Option<bool> {
        (!self.name.is_private()).then(|| self.holder.as_ref().is_some_and(KnownHolder::is_there))
    }

    /// This process ends: a successor that starts gets the name, and the admin sockets go.
    pub fn leave(&mut self) {
        self.take(PeersEvent::Leaves);
        self.name.leave();
    }

    /// Nothing more is said to the holder: waits until it has heard all, not for long.
    pub async fn finish(&mut self) {
        if let Some(holder) = self.holder.take() {
            holder.finish().await;
        }
    }
}

/// A takeover that ends before it has begun.
fn cannot_take_over(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(ExitCode::Internal, format!("taking over: {why}"))
}

/// The sockets of the predecessor are of no use here.
pub fn unusable(why: &Unusable) -> Failure {
    let failure = cannot_take_over(why);
    match why {
        Unusable::Elsewhere(_) => {
            failure.hint("both need the same network namespace: --network host, or the same pod")
        }
        Unusable::Unknown(_) => failure,
    }
}
