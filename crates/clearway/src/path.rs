//! What transparency has in the kernel, and what is known of the network between clients and servers.
//!
//! ```text
//!   a configuration --> plumb ------> plumbing (what is in the kernel) <-- upkeep (has another process removed some of it?)
//!                                        ^
//!   what HAProxy says ---> servers ------+----> canary (do the servers find the way to clients?) ---> ready, status
//! ```
//!
//! [`Path`] knows no other room. It is given the settings once, configurations and what HAProxy tells as arguments; what
//! its threads find out comes back as [`News`].

pub mod canary;
pub mod intercept;
pub mod network;
pub mod obstacles;
pub mod plumbing;
pub mod servers;
pub mod upkeep;

use std::net::SocketAddr;

use clearway_core::canary::schedule::Round;
use clearway_core::intercept::Interception;
use clearway_core::names::{InstanceName, Mark};
use clearway_core::settings::Settings;
use clearway_haproxy::configuration::Configuration;
use clearway_kernel::canary::ProbeOutcome;
use clearway_kernel::plumbing::Plumbing;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::ground::steps;
use crate::tell::said::Said;
use canary::Canary;
use network::Network;
use obstacles::Obstacle;
use servers::Servers;
use upkeep::Upkeep;

/// What the loop is told.
#[derive(Debug)]
pub enum News {
    /// It is time to ask the servers.
    CanaryDue,
    /// What the canary has come to.
    Canary {
        /// In which round.
        round: Round,
        /// Of each server.
        outcomes: Vec<(SocketAddr, ProbeOutcome)>,
        /// What is in the way, as far as it is a problem.
        obstacles: Vec<Obstacle>,
    },
    /// It is time to look at the plumbing.
    UpkeepDue,
}

/// What transparency has in the kernel, and what is known of the network between clients and servers.
#[derive(Debug)]
pub struct Path {
    instance: Option<InstanceName>,
    mark: Option<Mark>,
    interception: Interception,
    plumbing: Option<Plumbing>,
    network: Network,
    /// Where the transparent servers are.
    servers: Servers,
    /// Whether they find the way to clients.
    canary: Canary,
    /// Whether another process removes parts of the plumbing.
    upkeep: Upkeep,
    /// Set if something could not be taken out of the kernel.
    residue: bool,
    said: Said,
    sender: UnboundedSender<News>,
    news: UnboundedReceiver<News>,
}

impl Path {
    /// Nothing has been done yet.
    pub fn new(settings: &Settings) -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        Self {
            instance: settings.instance.clone(),
            mark: settings.mark,
            interception: settings.interception.clone(),
            plumbing: None,
            network: Network::new(),
            servers: Servers::default(),
            canary: Canary::new(settings),
            upkeep: Upkeep::default(),
            residue: false,
            said: Said::default(),
            sender,
            news,
        }
    }

    /// Waits for what is next. May be dropped at any time, and called again.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            biased;
            Some(news) = self.news.recv() => news,
            () = self.canary.due() => News::CanaryDue,
            () = self.upkeep.due() => News::UpkeepDue,
        }
    }

    /// Does what is to be done then.
    pub fn hear(&mut self, news: News) {
        steps::at("hears", &news);
        match news {
            News::CanaryDue => self.ask_the_canary(),
            News::Canary { round, outcomes, obstacles } => self.canary.hear(round, outcomes, obstacles),
            News::UpkeepDue => self.look_after_the_plumbing(),
        }
    }

    /// A generation serves from now on, with this configuration. There may be plumbing that only a former one needs, and
    /// lines whose condition does not hold.
    pub fn commit(&mut self, configuration: Option<&Configuration>) {
        let transparent = configuration.filter(|one| self.is_plumbed() && one.is_transparent());
        if transparent.is_some() {
            self.canary.wake();
        } else {
            self.canary.rest();
        }
        self.servers.serve(transparent);
    }

    /// Whether new clients should be sent here, as far as the canary has a say.
    pub fn is_ready(&self) -> bool {
        self.canary.is_ready()
    }

    /// Whether no client can come any more, because the network that this process began in is gone.
    pub fn is_cut_off(&mut self) -> bool {
        self.network.is_gone()
    }
}
