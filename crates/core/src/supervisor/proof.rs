//! What a new generation has shown before it serves.

use crate::notice::parts;
use crate::strategy::{Means, Moved};

/// What a new generation has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The process that accepts connections.
    pub worker: u32,
    /// The addresses of the listening sockets that it took over from custody (the same inodes).
    pub adopted: Vec<String>,
    /// The addresses of the sockets that it made itself.
    pub fresh: Vec<String>,
    /// The addresses in custody that it does not use.
    pub unclaimed: Vec<String>,
}

impl Proof {
    /// What was done for the clients of every socket that the former generation had and this one has as well: those that
    /// it took over, and those of the switch.
    pub fn all_moved(&self, by_the_switch: Vec<Moved>) -> Vec<Moved> {
        let adopted =
            self.adopted.iter().map(|address| Moved { address: address.clone(), by: Means::Handoff });
        adopted.chain(by_the_switch).collect()
    }

    /// Whether it has no listening socket at all: an empty configuration is one that HAProxy accepts.
    pub fn listens_nowhere(&self) -> bool {
        self.adopted.is_empty() && self.fresh.is_empty()
    }
}

parts! {
    Proof as proof {
        worker: u32 = proof.worker,
        adopted: usize = proof.adopted.len(),
        fresh: usize = proof.fresh.len(),
        unclaimed: Vec<String> = proof.unclaimed.clone(),
    }
}
