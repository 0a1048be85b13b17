//! The takeover: a Clearway that is started under the name of one that runs gets its listening sockets, and serves
//! instead of it. The conversation is drawn in docs/explanation/takeover.md; what is decided, and when, is in
//! [`clearway_core::supervisor`].
//!
//! Here is what listens, asks and hears; what is heard reaches the loop as [`News`]. Each conversation has a thread
//! of its own that only reads, so that nobody who dawdles or talks nonsense holds anything up. Only root and our own
//! user are spoken to, on both sides: anybody can bind an abstract name, or connect to it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::supervisor::Peer;
use clearway_haproxy::getsocks::ReceivedSocket;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::fleet::state::Snapshot;
use crate::ground::aside;
use crate::ground::credentials::Credentials;
use crate::shell::Inner;

use crate::peers::message::{self, Former, Message, Role};
use crate::peers::state::Collector;
use crate::peers::wire::{Door, Wire, WireError};

/// How long a message may take that the other one has ready.
pub const PROMPT: Duration = Duration::from_secs(5);

/// What the loop hears of conversations.
#[derive(Debug)]
pub enum News {
    /// Somebody wants the sockets.
    Asked {
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
    Serving(Peer),
    /// The successor does well.
    Settled(Peer),
    /// A conversation is over.
    Gone(Peer),
    /// A holder is there.
    Holder(Arc<Wire>),
    /// The predecessor drains; these are the listening sockets of the name.
    Relieved(Vec<OwnedFd>),
    /// The predecessor wants its sockets back.
    Withdrawn(Failure),
    /// The predecessor is gone.
    PredecessorGone,
    /// It is time to try again what could not be done for the name of this instance.
    TryAgain,
}

/// What a successor begins with.
#[derive(Debug)]
pub struct Inheritance {
    /// The conversation with the predecessor.
    pub wire: Arc<Wire>,
    /// Its sockets.
    pub sockets: Vec<ReceivedSocket>,
    /// What it knows of its servers, if it said so.
    pub state: Option<Snapshot>,
    /// Whom it knows to be superseded, itself included.
    pub superseded: Vec<Former>,
    /// Its Clearway's version.
    pub version: String,
}

/// The process at the other end.
fn other_end(socket: impl AsFd) -> Option<Credentials> {
    Credentials::of(&socket.as_fd().try_clone_to_owned().ok()?.into())
}

/// Connects to a door, if whoever has it is one of us. Unset if nobody has it.
pub fn knock(door: &Door) -> Result<Option<Wire>, Failure> {
    let taken = |message: String| Failure::new(ExitCode::InstanceTaken, message);
    let Ok(wire) = door.connect() else { return Ok(None) };
    match other_end(wire.socket()) {
        Some(owner) if owner.is_trusted() => Ok(Some(wire)),
        owner => {
            let uid =
                owner.map_or_else(|| "an unknown user".to_owned(), |owner| format!("uid {}", owner.uid));
            Err(taken(format!(
                "{door} belongs to a process of {uid}, which is no Clearway of ours: nothing is taken from it"
            ))
            .hint("end that process, or choose another CLEARWAY_INSTANCE"))
        }
    }
}

/// Asks the Clearway behind a door for its sockets. It answers when its own reload is over; after `limit` it is given up.
pub fn ask(wire: Wire, door: &Door, limit: Duration) -> Result<Inheritance, NotGiven> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(ExitCode::InstanceTaken, format!("taking over from the Clearway at {door}: {error}"))
    };
    let broken = |error: WireError| match error {
        WireError::Closed => NotGiven::Gone(wrong(&error)),
        WireError::TimedOut(_) => NotGiven::Refused(wrong(&error).hint(
            "it serves and does not answer: its reload takes longer than that (`clearway status` tells, \
             `CLEARWAY_READY_TIMEOUT` is the limit), or it hangs: then end that process",
        )),
        error => NotGiven::Refused(wrong(&error)),
    };
    wire.send(&Message::hello(Role::Successor), &[], PROMPT).map_err(broken)?;
    let (mut collector, mut state) = (Collector::default(), None);
    loop {
        match wire.hear(Some(limit)).map_err(broken)?.0 {
            Message::Welcome { protocol, version, sockets, origin, mut superseded } => {
                message::agree(protocol, protocol).map_err(|error| NotGiven::Refused(wrong(&error)))?;
                let sockets = wire.hear_sockets(sockets, PROMPT).map_err(broken)?;
                superseded.extend(origin.map(|origin| Former { origin, ago_ms: 0 }));
                return Ok(Inheritance { wire: Arc::new(wire), sockets, state, superseded, version });
            }
            Message::Servers { part, more, age_ms } => state = collector.hear(&part, more, age_ms),
            Message::Refused { reason, hints, code, again } => {
                let code = code.and_then(ExitCode::of_number).unwrap_or(ExitCode::InstanceTaken);
                let failure = Failure { hints, code, ..wrong(&reason) };
                return Err(if again { NotGiven::NotYet(failure) } else { NotGiven::Refused(failure) });
            }
            _ => {}
        }
    }
}

/// Why a takeover did not begin.
#[derive(Debug)]
pub enum NotGiven {
    /// It said no, or nothing that could be understood.
    Refused(Failure),
    /// Another takeover is under way there, or has just been done.
    NotYet(Failure),
    /// It is gone: its name may be free.
    Gone(Failure),
}

/// A holder, and what it has kept.
#[derive(Debug)]
pub struct Kept {
    /// The conversation with it.
    pub wire: Arc<Wire>,
    /// The sockets that it has kept.
    pub sockets: Vec<ReceivedSocket>,
    /// What the balancer before had told it of its servers.
    pub state: Option<Snapshot>,
}

/// Asks the holder of an instance what it holds. Unset if there is none.
pub fn ask_holder(door: &Door) -> Result<Option<Kept>, Failure> {
    let Some(wire) = knock(door)? else { return Ok(None) };
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(ExitCode::Internal, format!("asking the holder at {door} for its sockets: {error}"))
    };
    wire.send(&Message::hello(Role::Balancer), &[], PROMPT).map_err(|error| wrong(&error))?;
    let (mut collector, mut state) = (Collector::default(), None);
    loop {
        match wire.hear(Some(PROMPT)).map_err(|error| wrong(&error))?.0 {
            Message::Welcome { protocol, sockets, .. } => {
                message::agree(protocol, protocol).map_err(|error| wrong(&error))?;
                let sockets = wire.hear_sockets(sockets, PROMPT).map_err(|error| wrong(&error))?;
                return Ok(Some(Kept { wire: Arc::new(wire), sockets, state }));
            }
            Message::Servers { part, more, age_ms } => state = collector.hear(&part, more, age_ms),
            Message::Refused { reason, hints, .. } => return Err(Failure { hints, ..wrong(&reason) }),
            _ => {}
        }
    }
}

/// Hears what the predecessor says after it has given its sockets.
pub fn listen_to_predecessor(wire: Arc<Wire>, inner: UnboundedSender<Inner>) -> bool {
    aside::spawn("listening to the Clearway before this one", move || {
        loop {
            let news = match wire.hear(None) {
                Ok((Message::Relieved, listeners)) => News::Relieved(listeners),
                Ok((Message::Refused { reason, hints, .. }, _)) => {
                    News::Withdrawn(Failure { hints, ..Failure::new(ExitCode::InstanceTaken, reason) })
                }
                Ok(_) => continue,
                Err(error) => {
                    debug!("the conversation with the Clearway before this one is over: {error}");
                    let _ = inner.send(Inner::Takeover(News::PredecessorGone));
                    return;
                }
            };
            let _ = inner.send(Inner::Takeover(news));
        }
    })
}

/// Where takeovers are asked for, as long as the gate is open. The socket is shared: another process may accept from
/// it while the gate is closed. It takes packets, which the type does not know and accepting does not mind.
pub async fn serve(listener: UnixListener, mut gate: watch::Receiver<bool>, inner: UnboundedSender<Inner>) {
    loop {
        if gate.wait_for(|open| *open).await.is_err() {
            return;
        }
        let accepted = tokio::select! {
            biased;
            _closed = gate.wait_for(|open| !*open) => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => admit(&stream, &inner),
            Err(error) => {
                debug!("accepting a conversation with another Clearway: {error}");
                // No descriptors, most likely.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// How many conversations there may be at a time that have not said what they want.
static UNKNOWN: AtomicU64 = AtomicU64::new(0);
const MOST_UNKNOWN: u64 = 16;

fn admit(stream: &UnixStream, inner: &UnboundedSender<Inner>) {
    static CONVERSATIONS: AtomicU64 = AtomicU64::new(1);
    match stream.peer_cred().map(Credentials::from) {
        Ok(caller) if caller.is_trusted() => {}
        Ok(Credentials { uid, .. }) => {
            return warn!("a process of uid {uid} was sent away: it asked for the listening sockets");
        }
        Err(error) => {
            return warn!("a process whose user cannot be told asked for the listening sockets: {error}");
        }
    }
    // A duplicate of its own, which no event loop knows.
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
        return warn!("a takeover was not begun: no descriptors are left");
    };
    if UNKNOWN.fetch_add(1, Ordering::Relaxed) >= MOST_UNKNOWN {
        UNKNOWN.fetch_sub(1, Ordering::Relaxed);
        return warn!("too many processes ask for the listening sockets at once: one was sent away");
    }
    let peer = Peer(CONVERSATIONS.fetch_add(1, Ordering::Relaxed));
    let wire = Arc::new(Wire::of(socket));
    let inner = inner.clone();
    let begun = aside::spawn("listening to another Clearway", move || {
        let known = greet(&wire);
        UNKNOWN.fetch_sub(1, Ordering::Relaxed);
        match known {
            Ok((Role::Holder, ..)) => {
                let _ = inner.send(Inner::Takeover(News::Holder(wire)));
            }
            Ok((_, version, origin)) => {
                let asked = News::Asked { peer, wire: Arc::clone(&wire), version, origin };
                let _ = inner.send(Inner::Takeover(asked));
                converse(peer, &wire, &inner);
            }
            Err(reason) => {
                warn!("a process that asked for the listening sockets was sent away: {reason}");
                let _ =
                    wire.say(&Message::Refused { reason, hints: Vec::new(), code: None, again: false }, &[]);
            }
        }
    });
    if !begun {
        UNKNOWN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The first word of a successor or a holder.
fn greet(wire: &Wire) -> Result<(Role, String, Option<String>), String> {
    match wire.hear(Some(PROMPT)) {
        Ok((Message::Hello { protocol, lowest, version, role, origin }, _)) => {
            message::agree(protocol, lowest)?;
            match role {
                Role::Successor | Role::Holder => Ok((role, version, origin)),
                Role::Balancer | Role::Unknown => Err("it is neither a successor nor a holder".to_owned()),
            }
        }
        Ok(_) => Err("its first word was no greeting".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Hears a successor to the end.
fn converse(peer: Peer, wire: &Wire, inner: &UnboundedSender<Inner>) {
    loop {
        let news = match wire.hear(None) {
            Ok((Message::Serving, _)) => News::Serving(peer),
            Ok((Message::Settled, _)) => News::Settled(peer),
            Ok(_) => continue,
            Err(error) => {
                if error != WireError::Closed {
                    warn!("the conversation with the Clearway of takeover {}: {error}", peer.0);
                }
                let _ = inner.send(Inner::Takeover(News::Gone(peer)));
                return;
            }
        };
        let _ = inner.send(Inner::Takeover(news));
    }
}
