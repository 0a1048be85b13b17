//! The way to the holder (`clearway hold`): it hears after each commit what this Clearway listens on, and at a planned
//! stop that it may let go.
//!
//! All words go to the holder in the order in which they were said, on a thread of their own: the holder may read slowly,
//! and the loop does not wait for it. What is left to say when Clearway leaves is waited for then ([`KnownHolder::finish`]),
//! because a holder that has not heard of a planned stop takes it for a loss.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use tokio::sync::oneshot;

use crate::custody::sockets::Sockets;
use crate::fleet::state::Snapshot;
use crate::ground::aside;
use crate::ground::notice::tell;
use crate::peers::door::Door;
use crate::peers::given::Given;
use crate::peers::message::{self, Initiator, PeerMessage};
use crate::peers::notices::PeersNotice;
use crate::peers::state::{self, Collector};
use crate::peers::wire::{PROMPT, Wire, WireError};

/// Asks the holder of an instance what it holds. Unset if there is none.
pub(super) fn ask(door: &Door) -> Result<Option<(Arc<Wire>, Given)>, Failure> {
    let Some(wire) = door.knock()? else { return Ok(None) };
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(ExitCode::Internal, format!("asking the holder at {door} for its sockets: {error}"))
    };
    wire.send(&PeerMessage::hello(Initiator::Balancer), &[], PROMPT).map_err(|error| wrong(&error))?;
    let (mut collector, mut servers) = (Collector::default(), None);
    loop {
        match wire.hear(Some(PROMPT)).map_err(|error| wrong(&error))?.0 {
            PeerMessage::Welcome { protocol, sockets, .. } => {
                message::agree(protocol, protocol).map_err(|error| wrong(&error))?;
                let sockets = wire.hear_sockets(sockets, PROMPT).map_err(|error| wrong(&error))?;
                return Ok(Some((Arc::new(wire), Given { sockets, servers })));
            }
            PeerMessage::Servers { part, more, age_ms } => servers = collector.hear(&part, more, age_ms),
            PeerMessage::Refused { reason, hints, .. } => return Err(Failure { hints, ..wrong(&reason) }),
            _ => {}
        }
    }
}

/// Sends one away that has come: it looks for the next balancer of the name.
pub(super) fn send_away(wire: &Wire) {
    let _ = wire.say(&PeerMessage::no("it stops", true), &[]);
    wire.hang_up();
}

/// A holder that is there.
#[derive(Debug)]
pub struct KnownHolder {
    wire: Arc<Wire>,
    words: Sender<Word>,
    /// Ends when all is said.
    said: oneshot::Receiver<()>,
}

/// What there is to say.
#[derive(Debug)]
enum Word {
    /// These are all the listening sockets from now on.
    Keep(Arc<Sockets>),
    /// This is what is known of the servers from now on.
    Servers(Snapshot),
    /// A planned stop.
    Release { at_once: bool },
}

impl KnownHolder {
    /// Talks to a holder. Unset if there can be no thread.
    pub fn of(wire: Arc<Wire>) -> Option<Self> {
        let (words, heard) = channel();
        let (all, said) = oneshot::channel();
        let its = Arc::clone(&wire);
        let begun = aside::spawn("talking to the holder", move || {
            say_all(&wire, &heard);
            drop(all);
        });
        begun.then_some(Self { wire: its, words, said })
    }

    /// Whether the holder is still there.
    pub fn is_there(&self) -> bool {
        self.wire.is_open()
    }

    /// These are all the listening sockets from now on.
    pub fn keep(&self, sockets: Arc<Sockets>) {
        self.say(Word::Keep(sockets));
    }

    /// This is what is known of the servers from now on.
    pub fn know(&self, servers: &Snapshot) {
        self.say(Word::Servers(servers.clone()));
    }

    /// A planned stop: the holder lets go in a while, or at once.
    pub fn release(&self, at_once: bool) {
        self.say(Word::Release { at_once });
    }

    fn say(&self, word: Word) {
        // The thread ends with the holder, which need not hear it any more.
        let _ = self.words.send(word);
    }

    /// Nothing more is said. Waits until all has been, not for longer than a holder may take for a word that it hears.
    pub async fn finish(self) {
        drop(self.words);
        if tokio::time::timeout(PROMPT, self.said).await.is_err() {
            tell(&PeersNotice::HolderDeaf);
        }
    }
}

fn say_all(wire: &Wire, words: &Receiver<Word>) {
    let mut next = words.recv().ok();
    while let Some(word) = next.take() {
        // Of several sets in a row the last one is what is to be held.
        next = words.try_recv().ok();
        let said = match (word, &next) {
            (Word::Keep(_), Some(Word::Keep(_))) | (Word::Servers(_), Some(Word::Servers(_))) => continue,
            (Word::Servers(snapshot), _) => state::send(wire, &snapshot, PROMPT),
            (Word::Keep(sockets), _) => keep(wire, &sockets),
            (Word::Release { at_once }, _) => wire.send(&PeerMessage::Release { at_once }, &[], PROMPT),
        };
        match said {
            Ok(()) => {}
            Err(WireError::Closed) => return tell(&PeersNotice::HolderGone),
            Err(error) => {
                tell(&PeersNotice::HolderGivenUp { error: error.to_string() });
                return wire.hang_up();
            }
        }
        next = next.or_else(|| words.recv().ok());
    }
}

fn keep(wire: &Wire, sockets: &Sockets) -> Result<(), WireError> {
    wire.send(&PeerMessage::Keep { sockets: sockets.all().len() }, &[], PROMPT)?;
    wire.send_sockets(sockets.all(), PROMPT)
}

#[cfg(test)]
mod tests;
