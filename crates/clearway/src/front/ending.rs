//! Clients that wait for the end of a generation (`clearway end`).

use clearway_core::names::Generation;
use tokio::sync::oneshot;

use crate::front::api::EndOf;

/// A client that waits until a generation is gone.
#[derive(Debug)]
pub struct Ending {
    generation: Generation,
    /// How many sessions are cut, as soon as it has said so.
    cut: Option<u64>,
    sender: oneshot::Sender<EndOf>,
}

impl Ending {
    pub fn new(generation: Generation, sender: oneshot::Sender<EndOf>) -> Self {
        Self { generation, cut: None, sender }
    }

    pub fn is_of(&self, generation: Generation) -> bool {
        self.generation == generation
    }

    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Takes note of how many sessions are cut, if it is this generation's end.
    pub fn note(&mut self, generation: Generation, sessions: Option<u64>) {
        if self.is_of(generation) {
            self.cut = sessions;
        }
    }

    pub fn tell(self) {
        let _ = self.sender.send(EndOf::Ended { generation: self.generation.number(), cut: self.cut });
    }
}
