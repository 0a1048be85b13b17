//! The way to the holder (`clearway hold`): it hears after each commit what this Clearway listens on, and at a planned
//! stop that it may let go.
//!
//! All words go to the holder in the order in which they were said, on a thread of their own: the holder may read slowly,
//! and the loop does not wait for it. What is left to say when Clearway leaves is waited for then ([`Keeper::finish`]),
//! because a holder that has not heard of a planned stop takes it for a loss.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::custody::sockets::Sockets;
use crate::fleet::state::Snapshot;
use crate::ground::aside;
use crate::peers::message::Message;
use crate::peers::state;
use crate::peers::takeover::PROMPT;
use crate::peers::wire::{Wire, WireError};

/// A holder that is there.
#[derive(Debug)]
pub struct Keeper {
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
    State(Snapshot),
    /// A planned stop.
    Release { at_once: bool },
}

impl Keeper {
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
    pub fn keep_state(&self, state: &Snapshot) {
        self.say(Word::State(state.clone()));
    }

    /// A planned stop: the holder lets go in a while, or at once.
    pub fn release(&self, at_once: bool) {
        self.say(Word::Release { at_once });
    }

    fn say(&self, word: Word) {
        // The thread ends with the holder: nobody is there to hear it.
        let _ = self.words.send(word);
    }

    /// Nothing more is said. Waits until all has been, not for longer than a holder may take for a word that it hears.
    pub async fn finish(self) {
        drop(self.words);
        if tokio::time::timeout(PROMPT, self.said).await.is_err() {
            warn!("the holder does not listen: it may take this planned stop for a loss");
        }
    }
}

fn say_all(wire: &Wire, words: &Receiver<Word>) {
    let mut next = words.recv().ok();
    while let Some(word) = next.take() {
        // Of several sets in a row the last one is what is to be held.
        next = words.try_recv().ok();
        let said = match (word, &next) {
            (Word::Keep(_), Some(Word::Keep(_))) | (Word::State(_), Some(Word::State(_))) => continue,
            (Word::State(snapshot), _) => state::send(wire, &snapshot, PROMPT),
            (Word::Keep(sockets), _) => keep(wire, &sockets),
            (Word::Release { at_once }, _) => wire.send(&Message::Release { at_once }, &[], PROMPT),
        };
        match said {
            Ok(()) => {}
            Err(WireError::Closed) => return info!("the holder is gone"),
            Err(error) => {
                warn!("the holder is given up: {error}");
                return wire.hang_up();
            }
        }
        next = next.or_else(|| words.recv().ok());
    }
}

fn keep(wire: &Wire, sockets: &Sockets) -> Result<(), WireError> {
    let sockets = sockets.all();
    wire.send(&Message::Keep { sockets: sockets.len() }, &[], PROMPT)?;
    wire.send_sockets(sockets, PROMPT)
}

#[cfg(test)]
mod tests;
