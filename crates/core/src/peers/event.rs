//! What the machine of [`Relations`](super::Relations) hears, and what it wants done.

use std::time::Duration;

use super::fence::TurnedAway;
use crate::count::Count;
use crate::failure::Failure;
use crate::supervisor::{self, Declined, Peer};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeersEvent {
    /// This Clearway begins, as its [arrival](super::arrival) came out.
    Begin(Beginning),

    /// The generations want the sockets in custody to be given to a successor.
    HandOver(Peer),
    /// They want a successor to be told that it does not get them, or may not use them any more.
    Decline(Peer, Declined),
    /// They know that the successor serves.
    Relieve(Peer),
    /// The successor has failed: this one serves again.
    TakeBack,
    /// This one serves instead of its predecessor.
    Supersede,
    /// It serves well: the predecessor need not wait any longer.
    Settled,
    /// It parts from the predecessor, which serves again.
    GiveBack,
    /// A generation was committed: there are sockets for a holder to keep.
    Committed,
    /// Something is known of the servers that a holder should know too.
    ServersKnown,
    /// A stop: custody is released.
    Released {
        /// A holder lets go at once, and not in a while.
        at_once: bool,
    },
    /// This process ends now.
    Leaves,

    /// Another Clearway asks for the sockets.
    Asked {
        /// Which conversation.
        peer: Peer,
        /// Its container, if that can be told.
        origin: Option<String>,
    },
    /// It serves.
    Serves(Peer),
    /// It serves well.
    ServesWell(Peer),
    /// Its conversation is over.
    Gone(Peer),
    /// A holder has come.
    HolderCame,
    /// The predecessor drains, and gives the name.
    Relieved {
        /// Whether the lock has come with that word: a predecessor may have lost it.
        named: bool,
    },
    /// The predecessor wants its sockets back.
    Withdrawn(Failure),
    /// The conversation with the predecessor is over.
    PredecessorGone,

    /// [`PeersAction::TakeLock`] is done.
    LockTaken,
    /// It could not be done: another process has it.
    LockNotFree(Failure),
    /// [`PeersAction::Open`] is done.
    Opened(NamePart),
    /// It could not be done.
    NotOpened(String),
    /// Nothing but time has passed.
    TimePassed,
}

/// What this Clearway begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Whether it has the lock of the name (a private instance: an abstract admin socket).
    pub lock: bool,
    /// If a predecessor has given its sockets: the containers that it knows to be superseded, itself included, and how
    /// long ago that was.
    pub predecessor: Option<Vec<(String, Duration)>>,
    /// Whether a holder was there.
    pub holder: bool,
}

/// A part of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePart {
    /// The abstract admin socket, which all containers of the network namespace see.
    Lock,
    /// Where the next Clearway asks for the sockets.
    Door,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeersAction {
    /// The generations are to know this.
    Tell(supervisor::Event),
    /// Bind the lock, if no process has it: [`PeersEvent::LockTaken`] or [`PeersEvent::LockNotFree`] follows.
    TakeLock,
    /// The descriptors that came with the predecessor's last word are the name from now on.
    UseGivenName,
    /// `listen` on what there is of the name: the process that did so last is the one at a client's other end
    /// (`SO_PEERCRED`, unix(7)).
    ListenAnew,
    /// Accept at this part of the name, which is made if it is not there yet: [`PeersEvent::Opened`] or
    /// [`PeersEvent::NotOpened`] follows.
    Open(NamePart),
    /// Accept at the open parts of the name, or leave that to the process that has them as well.
    SetGate(NameGate),
    /// Make a socket file, in the place of the predecessor's.
    MakeFile,
    /// Make an admin socket beside the name, which is a successor's.
    StandAside,
    /// It is not needed any more.
    ComeBack,
    /// Close what there is of the name, and accept there no more.
    LetGoOfName,
    /// Tell another Clearway that it does not get the sockets, and hang up.
    TurnAway(Peer, TurnedAway),
    /// Give the sockets in custody to a successor, with the containers that have to stay away.
    Welcome(Peer, Vec<(String, Duration)>),
    /// Tell it that it does not get them, or may not use them any more, and hang up.
    Decline(Peer, Declined),
    /// Tell it that this one drains, and give it what there is of the name.
    GiveName(Peer),
    /// Tell the predecessor something.
    TellPredecessor(ToPredecessor),
    /// Hang up on the predecessor: what was said is heard before that.
    PartFromPredecessor,
    /// Talk to the holder that has come from now on, and to no other one.
    TalkToHolder,
    /// Send the holder that has come away: it looks for the next balancer of the name.
    SendHolderAway,
    /// Tell the holder something: what is told is heard in this order.
    TellHolder(ToHolder),
    /// Write a line into the log.
    Report(PeersReport),
}

/// Whether this process accepts at the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameGate {
    /// It does.
    Open,
    /// Another process does.
    Closed,
}

/// What a predecessor is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToPredecessor {
    /// This one serves: the predecessor may drain.
    Serving,
    /// It serves well.
    Settled,
}

/// What a holder is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToHolder {
    /// The sockets in custody are all there are to keep from now on.
    Keep,
    /// What is known of the servers.
    Servers,
    /// A planned stop: let go in a while, or at once.
    Release {
        /// Which of both.
        at_once: bool,
    },
}

crate::notices! {
    /// About the name of an instance, and others that share it.
    pub enum PeersReport {
        /// The lock or the door of the name cannot be opened, and is tried again and again.
        Warn "instance.not-open" NotOpened { error: String }
            => "no other Clearway can take over from this one yet, it goes on trying: {error}";
        /// What could not be opened is open now.
        Info "instance.open" Opened => "other Clearways can take over from this one from now on";
        /// The Clearway that served has ended, and the name of the instance is not free: it is tried again and again.
        Error "instance.not-free" LockNotFree { failure: Failure } => "{}", failure.message;
        /// Containers of one name seem to replace each other for ever.
        Warn "takeover.many" ManyTakeovers { takeovers: usize }
            => "{} under this name within CLEARWAY_TAKEOVER_BACK: two containers that are both kept running replace each \
                other for ever (docs/how-to/swarm.md)", Count(*takeovers, "takeover");
        /// A holder has connected; at debug level, in place of one that was there.
        Info or Debug if *replaces, "holder.connected" HolderCame { replaces: bool } => "a holder has come{}",
            if *replaces {
                ", in the place of the one that was there"
            } else {
                ": it keeps the listening sockets open when no balancer does"
            };
    }
}
