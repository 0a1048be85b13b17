//! What is heard of the path between clients and servers.

use std::net::SocketAddr;

use clearway_core::path::schedule::Round;
use clearway_kernel::canary::ProbeOutcome;

use crate::path::obstacles::Obstacle;

/// What the loop is told.
#[derive(Debug)]
pub enum News {
    /// The time has come that the machine waits for.
    Due,
    /// A part of the plumbing may have been removed.
    Removed,
    /// What the canary has come to.
    Canary {
        /// In which round.
        round: Round,
        /// Of each server.
        outcomes: Vec<(SocketAddr, ProbeOutcome)>,
        /// What is in the way, as far as it is a problem.
        obstacles: Vec<Obstacle>,
    },
}
