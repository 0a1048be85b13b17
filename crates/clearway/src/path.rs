//! What transparency has in the kernel, and what is known of the network between clients and servers.
//!
//! ```text
//!   a configuration --> plumb --------------\                    /--> plumbing: what is in the kernel
//!   what HAProxy says --> hear_of_servers ---+--> PathMachine --+---> watch:    has another process removed some of it?
//!   watch, canary, the clock --> News ------/    (in the core)   \--> canary:   do the servers find the way to clients?
//! ```
//!
//! What happens when is decided by the core ([`clearway_core::path`]); this room carries it out. [`Path`] knows no other
//! room: it is given the settings once, configurations and what HAProxy tells as arguments, and what its threads find out
//! comes back as [`News`].

pub mod canary;
mod following;
pub mod intercept;
pub mod network;
mod news;
pub mod notices;
pub mod obstacles;
pub mod plumbing;
mod rounds;
pub mod servers;
mod watch;

use std::sync::Arc;

use clearway_core::intercept::Interception;
use clearway_core::names::{InstanceName, Mark};
use clearway_core::path::{PathAction, PathEvent, PathMachine};
use clearway_core::settings::Settings;
use clearway_haproxy::configuration::Configuration;
use clearway_kernel::plumbing::{Plumbing, PlumbingError};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::ground::notice::tell;
use crate::ground::settle::settle;
use crate::ground::{due, steps};
use crate::tell::said::Said;
use canary::Canary;
use network::Interfaces;
use notices::PathNotice;
use servers::FollowedServers;
use watch::RemovalWatch;

pub use news::News;

/// What could not be had of the plumbing.
#[derive(Debug, Default)]
struct Shortfall {
    /// What failed first.
    failed: Option<PlumbingError>,
    /// What there is to do without: servers on own addresses need conntrack.
    without: Option<PlumbingError>,
}

/// What transparency has in the kernel, and what is known of the network between clients and servers.
#[derive(Debug)]
pub struct Path {
    instance: Option<InstanceName>,
    mark: Option<Mark>,
    interception: Interception,
    machine: PathMachine,
    plumbing: Option<Plumbing>,
    watch: RemovalWatch,
    interfaces: Arc<Interfaces>,
    followed: FollowedServers,
    canary: Canary,
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
            machine: PathMachine::new(&settings.interception, settings.canary, settings.canary_every),
            plumbing: None,
            watch: RemovalWatch::default(),
            interfaces: Arc::new(Interfaces::new()),
            followed: FollowedServers::default(),
            canary: Canary::new(settings.canary_address),
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
            () = self.watch.removed() => News::Removed,
            () = due::after(self.machine.due()) => News::Due,
        }
    }

    /// Does what is to be done then.
    pub fn hear(&mut self, news: News) {
        steps::at("hears", &news);
        match news {
            News::Due => self.look_after(PathEvent::TimePassed),
            News::Removed => self.look_after(PathEvent::Removed),
            News::Canary { round, outcomes, obstacles } => self.hear_the_canary(round, outcomes, obstacles),
        }
    }

    /// A generation serves from now on, with this configuration.
    pub fn commit(&mut self, configuration: Option<&Configuration>) {
        let transparent = configuration.is_some_and(Configuration::is_transparent);
        self.take(PathEvent::Serves { transparent });
        self.followed.serve(configuration.filter(|_| self.machine.follows_servers()));
        self.canary.forget(&self.machine);
    }

    /// Whether new clients should be sent here, as far as the canary has a say.
    pub fn is_ready(&self) -> bool {
        self.machine.is_ready()
    }

    /// How often another process had removed a part of the plumbing that was put back.
    pub fn repairs(&self) -> u64 {
        self.watch.repairs()
    }

    /// What tells whether the network that this process began in is gone, so that no client can come any more.
    pub fn interfaces(&self) -> Arc<Interfaces> {
        Arc::clone(&self.interfaces)
    }

    /// Tells the machine, and carries out what it answers, until there is nothing more to do.
    fn take(&mut self, event: PathEvent) -> Shortfall {
        let mut shortfall = Shortfall::default();
        let step = |path: &mut Self, event| path.machine.step(event, due::elapsed());
        settle(self, event, step, |path, action| path.carry_out(action, &mut shortfall));
        shortfall
    }

    fn carry_out(&mut self, action: PathAction, shortfall: &mut Shortfall) -> Option<PathEvent> {
        match action {
            PathAction::Install(needs) => return self.install(needs, shortfall),
            PathAction::SweepTheRest => {
                if let Some(notice) = PathNotice::of_a_sweep(clearway_kernel::plumbing::sweep()) {
                    tell(&notice);
                }
            }
            PathAction::Follow(needs) => return self.follow(needs, shortfall),
            PathAction::Watch => return self.watch.begin(self.plumbing.as_ref()?),
            PathAction::Unwatch => self.watch.end(),
            PathAction::Look => return self.look(shortfall),
            PathAction::SayRemovedAgainAndAgain => watch::say_removed_again_and_again(),
            PathAction::StopIntercepting => self.stop_intercepting(),
            PathAction::Remove(closing) => self.remove(closing),
            PathAction::Ask(round) => return self.ask(round),
            PathAction::GiveUp => self.canary.give_up(),
        }
        None
    }
}
