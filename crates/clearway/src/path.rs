//! What transparency has in the kernel, and what is known of the network between clients and servers.

pub mod canary;
pub mod intercept;
pub mod network;
pub mod obstacles;
pub mod servers;
pub mod upkeep;

use clearway_core::settings::Settings;
use clearway_kernel::plumbing::Plumbing;

use canary::Canary;
use network::Network;
use servers::Servers;
use upkeep::Upkeep;

/// What transparency has in the kernel, and what is known of the network between clients and servers.
#[derive(Debug)]
pub struct Path {
    pub plumbing: Option<Plumbing>,
    pub network: Network,
    /// Where the transparent servers are.
    pub servers: Servers,
    /// Whether they find the way to clients.
    pub canary: Canary,
    /// Whether somebody removes parts of the plumbing.
    pub upkeep: Upkeep,
    /// Set if something could not be taken out of the kernel.
    pub residue: bool,
}

impl Path {
    /// Nothing has been done yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            plumbing: None,
            network: Network::new(),
            servers: Servers::default(),
            canary: Canary::new(settings),
            upkeep: Upkeep::default(),
            residue: false,
        }
    }
}
