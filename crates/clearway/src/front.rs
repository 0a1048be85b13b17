//! Requests: the admin socket, its answers, and the clients that wait for one.

pub mod admin;
pub mod answers;
pub mod api;
pub mod client;
pub mod clients;
pub mod find;
pub mod sessions;

use std::collections::HashMap;

use clearway_core::supervisor::RequestId;
use tokio::sync::oneshot;

use admin::Answered;
use sessions::Ending;

/// Requests: the admin socket, its answers, and the clients that wait for one.
#[derive(Debug)]
pub struct Front {
    pub waiting: HashMap<RequestId, oneshot::Sender<Answered>>,
    pub requests: u64,
    /// Who waits until a generation is gone.
    pub ending: Vec<Ending>,
}

impl Front {
    /// Nothing has been done yet.
    pub fn new() -> Self {
        Self { waiting: HashMap::new(), requests: 0, ending: Vec::new() }
    }
}
