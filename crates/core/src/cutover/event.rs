//! What happens to clients that are diverted, and what is done.

use std::net::SocketAddr;

use crate::names::Generation;

/// What is in custody when a generation is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLaunch {
    /// Nothing: other processes that listen came first.
    Nothing,
    /// Sockets from which a predecessor serves.
    OfAPredecessor,
    /// Sockets from which no other Clearway serves.
    Ours,
}

/// Where a generation listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListensAt {
    /// At the ports that clients call.
    PublicPorts,
    /// At others, to which clients are redirected.
    PrivatePorts,
}

/// What has been done for a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// A gate is closed.
    pub gate: bool,
    /// New clients are steered.
    pub steers: bool,
    /// Sockets of the former generation would go on getting clients as long as they are open.
    pub leaves_listeners: bool,
}

/// An address at which a process listened before ours did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedAddress {
    /// The address.
    pub address: SocketAddr,
    /// All its sockets, by inode, in the kernel's order.
    pub sockets: Vec<u64>,
    /// How many of them, from the first, are not ours.
    pub theirs: usize,
}

/// Whose sockets are led away from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those that the former generation had and this one does not use.
    Former,
    /// Those that a generation has made that will not serve.
    New,
}

/// What was seen of an address that we share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Its new clients can be steered to us.
    CanBeSteered(SharedAddress),
    /// One of the sockets that were there first is gone, so that the place of ours is not known any more.
    OneHasGone(SocketAddr),
    /// They cannot be steered for another reason: a third process has come, or our former sockets are not closed yet.
    CannotBeSteered(SocketAddr),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutoverEvent {
    /// A generation is about to be launched.
    Launching(AtLaunch),
    /// What came of [`CutoverAction::LookWhatListens`]: whether that is known.
    FirstSeen(bool),
    /// What came of [`CutoverAction::ReleaseInherited`]: whether it was done at all addresses.
    InheritedReleased(bool),
    /// What came of [`CutoverAction::Compare`].
    Compared {
        /// Of which one.
        round: u64,
        /// What was found; unset if the kernel did not say.
        found: Option<Vec<Sharing>>,
    },
    /// [`CutoverAction::Steer`] failed.
    NotSteered(SharedAddress),
    /// No client waits any more at a process that was there first, or that was waited for long enough.
    TheirsServed,
    /// Clients are to be brought to this generation.
    SwitchAsked(Generation),
    /// That cannot be begun.
    NotBegun(Generation),
    /// It is done, or has failed and was undone as far as that is possible beside the loop.
    Moved(Generation, Done),
    /// None of the sockets that [`CutoverAction::Watch`] was about listens any more.
    FormerClosed(Generation),
    /// It cannot be known when that is so.
    NotWatched(Generation),
    /// A generation serves.
    Committed {
        /// Which.
        generation: Generation,
        /// Where it listens.
        listens: ListensAt,
        /// Whether there is a predecessor that would come back.
        predecessor: bool,
    },
    /// A generation will not serve: it was given up, or has ended.
    Abandoned(Generation),
    /// A generation is told to drain.
    Draining(Generation),
    /// Sockets were another Clearway's, which may have diverted their clients and is gone, or is about to be.
    Inherited {
        /// Whether there are any.
        any: bool,
    },
    /// A successor is about to get our sockets.
    HandedOver {
        /// Whether there are any.
        any: bool,
    },
    /// It serves from them.
    Superseded {
        /// Whether it redirects clients by itself.
        redirects: bool,
    },
    /// It has failed.
    TakenBack,
    /// The predecessor has said that it drains, or is gone, or is not waited for any more.
    PredecessorDrains,
    /// The predecessor serves again instead of us.
    Parted,
    /// The sockets in custody are about to be let go.
    Released,
    /// The clients have been accepted that came here before [`CutoverAction::GiveBack`], or were waited for long enough.
    GaveBack,
    /// Nothing but time has passed.
    TimePassed,
}

/// Where new clients are redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// To a generation that serves from now on.
    To(Generation),
    /// To what they were redirected to before a switch, which may have been nothing.
    Back(Option<Generation>),
    /// Nowhere.
    Nowhere,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutoverAction {
    /// Remember which processes listen now. Answered by [`CutoverEvent::FirstSeen`].
    LookWhatListens,
    /// Let the kernel share out new clients where no other process listens: another Clearway may have steered them.
    /// Answered by [`CutoverEvent::InheritedReleased`].
    ReleaseInherited,
    /// Compare what listens with what was there first, in this round: at once, as a commit waits for it.
    CompareAtOnce(u64),
    /// The same beside the loop.
    Compare(u64),
    /// Send new clients to our sockets of an address that we share.
    Steer(SharedAddress),
    /// The same, only to those of them whose place is certain.
    Narrow(SharedAddress),
    /// Let the kernel share them out again: no other process listens there any more.
    Release(SharedAddress),
    /// Say that new clients of an address are shared with another process.
    SayShared(SocketAddr),
    /// Wait until no client waits at the processes that were there first.
    AwaitTheirs,
    /// Say that those have ended.
    SayTheirsEnded,
    /// Send new clients to the processes that were there first, and wait for those that have come here.
    GiveBack(Vec<SharedAddress>),
    /// Bring the clients of the former generation's sockets to this one.
    Move(Generation),
    /// It will not serve: what its thread has not done yet is not to be done.
    Cancel(Generation),
    /// It serves without waiting for its thread, which redirects no client any more.
    Overtake(Generation),
    /// Undo what was done for its switch.
    TakeBack {
        /// Which generation.
        generation: Generation,
        /// Whether new clients are still steered for it, and not for a later one.
        steers: bool,
    },
    /// Say when the sockets are closed that new clients are led away from.
    Watch(Generation, Whose),
    /// Let SYNs go on that were stopped for this switch.
    OpenGate {
        /// Which one.
        generation: Generation,
        /// Whether the sockets behind it are closed.
        closed: bool,
    },
    /// Let the kernel share out new clients again that were steered for this switch.
    EndSteering(Generation),
    /// Nothing more is to be done for this switch.
    Forget(Generation),
    /// Redirect new clients.
    Redirect(Redirect),
    /// Keep the sockets that a switch has left open, until [`CutoverAction::CloseLeftOpen`].
    KeepLeftOpen(Generation),
    /// Take `listen` back from them, and keep them no longer.
    CloseLeftOpen,
    /// Keep them no longer, as they are.
    ForgetLeftOpen,
    /// Take `listen` back from sockets in custody that were not handed over: a generation has made them since, and the
    /// successor does not know them.
    CloseNotGiven,
    /// Let sockets get SYNs again that another Clearway has sealed, and listen if they do not.
    ListenAgain,
    /// Let sockets get SYNs again.
    Unseal,
    /// Tell a generation to drain.
    Drain(Generation),
}
