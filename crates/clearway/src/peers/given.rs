//! What another Clearway gives to one that begins.

use clearway_haproxy::getsocks::ReceivedSocket;

use crate::fleet::state::Snapshot;

/// What another Clearway gave.
#[derive(Debug)]
pub struct Given {
    /// Listening sockets.
    pub sockets: Vec<ReceivedSocket>,
    /// What it knows of its servers, if it said so.
    pub servers: Option<Snapshot>,
}
