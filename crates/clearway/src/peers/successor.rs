//! The serving side of a takeover: the door, and conversations with those that knock there. The conversation is drawn in
//! docs/explanation/takeover.md; what is decided, and when, is in [`clearway_core::peers`] and
//! [`clearway_core::supervisor`].
//!
//! Each conversation has a thread of its own that only reads, so that one that dawdles or talks nonsense holds nothing up.
//! Only processes of root and our own user are spoken to: any process can connect to an abstract name.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clearway_core::failure::Failure;
use clearway_core::supervisor::{Declined, Peer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::custody::sockets::Sockets;
use crate::debug;
use crate::fleet::state::StateQuestion;
use crate::ground::aside;
use crate::ground::credentials::Credentials;
use crate::ground::notice::tell;
use crate::peers::message::{self, Former, Initiator, PROTOCOL, PeerMessage};
use crate::peers::news::News;
use crate::peers::notices::PeersNotice;
use crate::peers::state;
use crate::peers::wire::{PROMPT, Wire, WireError};

/// One that has asked for the sockets.
#[derive(Debug)]
pub(super) struct Successor {
    wire: Arc<Wire>,
    /// Its Clearway's version.
    pub(super) version: String,
}

impl Successor {
    /// One that has asked.
    pub(super) fn new(wire: Arc<Wire>, version: String) -> Self {
        Self { wire, version }
    }

    /// It does not get them at all.
    pub(super) fn turn_away(&self, failure: &Failure) {
        tell(&PeersNotice::TakeoverRefused { error: failure.message.clone() });
        let _ = self.wire.say(&PeerMessage::refused(failure), &[]);
        self.wire.hang_up();
    }

    /// It does not get them now, or may not use them any longer.
    pub(super) fn decline(&self, peer: Peer, why: Declined) {
        let reason = match why {
            Declined::Busy => "another takeover is under way",
            Declined::Superseded => {
                "another Clearway serves by now; it is asked when this one is started again"
            }
            Declined::NotServing => "this one has not taken over itself yet",
            Declined::TooLate => "it took too long: this one is still serving",
        };
        tell(&PeersNotice::TakeoverDeclined { takeover: peer.0, reason: reason.to_owned() });
        let again = matches!(why, Declined::Busy | Declined::Superseded | Declined::NotServing);
        let _ = self.wire.say(&PeerMessage::no(reason, again), &[]);
        self.wire.hang_up();
    }

    /// Gives it the sockets in custody, on a thread: it may read slowly.
    pub(super) fn welcome(&self, sockets: Arc<Sockets>, servers: StateQuestion, superseded: Vec<Former>) {
        let (wire, hang_up) = (Arc::clone(&self.wire), Arc::clone(&self.wire));
        let welcome = PeerMessage::Welcome {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sockets: sockets.all().len(),
            origin: crate::peers::origin::of_this_container(),
            superseded,
        };
        let begun = aside::spawn("handing the listening sockets over to another Clearway", move || {
            let told = servers.now().map_or(Ok(()), |servers| state::send(&wire, &servers, PROMPT));
            let sent = told
                .and_then(|()| wire.send(&welcome, &[], PROMPT))
                .and_then(|()| wire.send_sockets(sockets.all(), PROMPT));
            if let Err(error) = sent {
                tell(&PeersNotice::SocketsNotSent { error: error.to_string() });
                wire.hang_up();
            }
        });
        if !begun {
            hang_up.hang_up();
        }
    }

    /// This one drains: the name is its own.
    pub(super) fn give_name(&self, name: &[BorrowedFd<'_>]) {
        if let Err(error) = self.wire.say(&PeerMessage::Relieved, name) {
            tell(&PeersNotice::NameNotSent { error: error.to_string() });
        }
    }
}

/// Where takeovers are asked for, as long as the gate is open. The socket is shared: another process may accept from
/// it while the gate is closed. It takes packets, which the type does not know and accepting does not mind.
pub(super) async fn serve(
    listener: UnixListener,
    mut gate: watch::Receiver<bool>,
    news: UnboundedSender<News>,
) {
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
            Ok((stream, _)) => admit(&stream, &news),
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

/// Whether the process that has connected is one of ours; if not, it is sent away with a line in the log.
pub(super) fn is_one_of_us(stream: &UnixStream) -> bool {
    match stream.peer_cred().map(Credentials::from) {
        Ok(caller) if caller.is_trusted() => return true,
        Ok(Credentials { uid, .. }) => {
            tell(&PeersNotice::Foreign { uid });
        }
        Err(error) => {
            tell(&PeersNotice::UnknownUser { error: error.to_string() });
        }
    }
    false
}

fn admit(stream: &UnixStream, news: &UnboundedSender<News>) {
    static CONVERSATIONS: AtomicU64 = AtomicU64::new(1);
    if !is_one_of_us(stream) {
        return;
    }
    // A duplicate of its own, which no event loop knows.
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
        return tell(&PeersNotice::NoDescriptors);
    };
    if UNKNOWN.fetch_add(1, Ordering::Relaxed) >= MOST_UNKNOWN {
        UNKNOWN.fetch_sub(1, Ordering::Relaxed);
        return tell(&PeersNotice::TooMany);
    }
    let peer = Peer(CONVERSATIONS.fetch_add(1, Ordering::Relaxed));
    let wire = Arc::new(Wire::of(socket));
    let news = news.clone();
    let begun = aside::spawn("listening to another Clearway", move || {
        let known = greet(&wire);
        UNKNOWN.fetch_sub(1, Ordering::Relaxed);
        match known {
            Ok((Initiator::Holder, ..)) => {
                let _ = news.send(News::HolderCame(wire));
            }
            Ok((_, version, origin)) => {
                let asked = News::SuccessorAsked { peer, wire: Arc::clone(&wire), version, origin };
                let _ = news.send(asked);
                converse(peer, &wire, &news);
            }
            Err(reason) => {
                tell(&PeersNotice::SentAway { reason: reason.clone() });
                let _ = wire.say(&PeerMessage::no(&reason, false), &[]);
            }
        }
    });
    if !begun {
        UNKNOWN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The first word of a successor or a holder.
fn greet(wire: &Wire) -> Result<(Initiator, String, Option<String>), String> {
    match wire.hear(Some(PROMPT)) {
        Ok((PeerMessage::Hello { protocol, lowest, version, role, origin }, _)) => {
            message::agree(protocol, lowest)?;
            match role {
                Initiator::Successor | Initiator::Holder => Ok((role, version, origin)),
                Initiator::Balancer | Initiator::Unknown => {
                    Err("it is neither a successor nor a holder".to_owned())
                }
            }
        }
        Ok(_) => Err("its first word was no greeting".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Hears a successor to the end.
fn converse(peer: Peer, wire: &Wire, news: &UnboundedSender<News>) {
    loop {
        let said = match wire.hear(None) {
            Ok((PeerMessage::Serving, _)) => News::SuccessorServes(peer),
            Ok((PeerMessage::Settled, _)) => News::SuccessorSettled(peer),
            Ok(_) => continue,
            Err(error) => {
                if error != WireError::Closed {
                    tell(&PeersNotice::TakeoverTalkFailed { takeover: peer.0, error: error.to_string() });
                }
                let _ = news.send(News::SuccessorGone(peer));
                return;
            }
        };
        let _ = news.send(said);
    }
}
