//! Which processes there are, and the way to the master of each worker.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use clearway_haproxy::master_cli::{Dialect, DialogueTarget, ProcessTable};
use tokio::sync::Semaphore;

/// A real master.
#[derive(Debug)]
pub struct ReachableMaster {
    /// Its worker.
    pub worker: u32,
    /// Over which a connection to it is made.
    pub socket: OwnedFd,
    /// How many more clients it may have at the same time: it has few connections (10), some of them for Clearway itself.
    pub lane: Arc<Semaphore>,
}

/// All of them, as they were when a session asked.
#[derive(Debug)]
pub struct Reachable {
    /// What is said of them.
    pub table: ProcessTable,
    /// How HAProxy speaks.
    pub dialect: Dialect,
    /// The real masters, that of the serving generation first.
    pub masters: Vec<ReachableMaster>,
}

impl Reachable {
    /// The real master that a command is for.
    pub fn master_for(&self, target: DialogueTarget) -> Option<&ReachableMaster> {
        match target {
            DialogueTarget::Master => self.masters.first(),
            DialogueTarget::Worker(pid) => self.masters.iter().find(|master| master.worker == pid),
        }
    }
}
