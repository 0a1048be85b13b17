//! The way to the holder (`clearway hold`): it hears after each commit what this Clearway listens on.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tracing::{info, warn};

use super::custody::Custody;
use super::thread;
use crate::takeover::PROMPT;
use crate::takeover::message::Message;
use crate::takeover::wire::{Wire, WireError};

/// A holder that is there.
#[derive(Debug)]
pub struct Keeper {
    wire: Arc<Wire>,
    /// One after the other, so that the last one sent is the last one held.
    sockets: Sender<Arc<Custody>>,
}

impl Keeper {
    /// Talks to a holder, on a thread: it may read slowly. Unset if there can be no thread.
    pub fn of(wire: Arc<Wire>) -> Option<Self> {
        let (sender, receiver) = channel();
        let same = Arc::clone(&wire);
        thread::spawn("talking to the holder", move || send_all(&same, &receiver))
            .then_some(Self { wire, sockets: sender })
    }

    /// These are all the listening sockets from now on.
    pub fn keep(&self, custody: &Arc<Custody>) {
        // Its thread ends with the holder.
        let _ = self.sockets.send(Arc::clone(custody));
    }

    /// A planned stop: the holder lets go in a while, or at once.
    pub fn release(&self, at_once: bool) {
        match self.wire.send(&Message::Release { at_once }, &[], PROMPT) {
            Ok(()) | Err(WireError::Closed) => {}
            Err(error) => warn!("telling the holder that this is a planned stop: {error}"),
        }
    }
}

fn send_all(wire: &Wire, custodies: &Receiver<Arc<Custody>>) {
    while let Ok(mut custody) = custodies.recv() {
        // Whatever has come meanwhile is newer.
        while let Ok(newer) = custodies.try_recv() {
            custody = newer;
        }
        let sockets = custody.sockets();
        let announced = wire.send(&Message::Keep { sockets: sockets.len() }, &[], PROMPT);
        match announced.and_then(|()| wire.send_sockets(sockets, PROMPT)) {
            Ok(()) => {}
            Err(error) => {
                info!("the holder is gone: {error}");
                wire.hang_up();
                return;
            }
        }
    }
}
