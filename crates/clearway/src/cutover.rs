//! Everything that diverts clients between two generations or two balancers, and takes it back.
//!
//! What is to be done when is decided in [`clearway_core::cutover`]; here it is done.

pub mod counted;
pub mod first_comers;
pub mod neighbours;
pub mod notices;
pub mod redirection;
mod steer;
pub mod strategies;
pub mod switch;

mod carry_out;
mod requests;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use clearway_core::cutover::{CutoverEvent, Diversions};
use clearway_core::names::{Generation, InstanceName};
use clearway_core::settings::Settings;
use clearway_core::strategy::Strategy;
use clearway_core::supervisor::Event;
use clearway_kernel::queues::Listener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::custody::sockets::Sockets;
use crate::custody::subscription::Subscription;
use crate::ground::settle::settle;
use crate::ground::{due, steps};
use crate::tell::cost::GateReports;
use counted::GateCounts;
use first_comers::{FirstComers, SharingSeen};
use redirection::Redirection;
use switch::cancel::Cancel;
use switch::{Manners, Switch};

/// What threads of this room say, and its clock.
#[derive(Debug)]
pub enum News {
    /// What the thread of a switch has come to.
    Switched(Box<Switch>),
    /// Whether the sockets are closed that a switch has led clients away from.
    FormerClosed(Generation, bool),
    /// The clients that had come to us before others got theirs back have been waited for.
    GaveBack,
    /// Other processes that listen on our addresses, a line for each: all of them, or none.
    Strangers(Vec<String>),
    /// A comparison of what listens with what was there first.
    Compared(u64, Option<SharingSeen>),
    /// No client waits any more at processes that were there first.
    TheirsServed,
    /// Something is due.
    Due,
}

/// What comes of something for other rooms.
#[derive(Debug)]
pub enum Upshot {
    /// The core has to know.
    Event(Event),
    /// This generation is to be told to drain now.
    Drain(Generation),
    /// These processes listen on our addresses.
    Strangers(Vec<String>),
}

/// What a generation is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreparedFor {
    /// To serve beside another one.
    ServingBeside,
    /// To serve alone.
    ServingAlone,
    /// Only to show whether it would.
    Trial,
}

/// How far a switch has come, as far as there is something of it here.
#[derive(Debug)]
enum SwitchProgress {
    /// It is about to begin.
    Ordered(Box<Manners>),
    /// Its thread is at work, or will not be heard any more.
    AtWork(Cancel),
    /// What that has done.
    Moved(Box<Switch>),
}

/// Everything that diverts clients between two generations or two balancers, and takes it back.
#[derive(Debug)]
pub struct Cutover {
    machine: Diversions,
    strategy: Strategy,
    instance: Option<InstanceName>,
    /// `HAPROXY_PORTS`.
    ports: Vec<u16>,
    custody: Subscription,
    /// What hears how long new clients were kept away.
    reports: GateReports,
    switches: BTreeMap<Generation, SwitchProgress>,
    redirection: Redirection,
    first_comers: FirstComers,
    /// The sockets of which a predecessor keeps some that new clients would still come to.
    left_open: Option<(Arc<Sockets>, Vec<Listener>)>,
    /// The sockets (by inode) that were given to a successor.
    given: HashSet<u64>,
    /// What was done at gates that are open again.
    counts: Arc<GateCounts>,
    sender: UnboundedSender<News>,
    news: UnboundedReceiver<News>,
}

impl Cutover {
    /// Nothing has been done yet.
    pub fn new(settings: &Settings, custody: Subscription, reports: GateReports) -> Self {
        let (sender, news) = unbounded_channel();
        Self {
            machine: Diversions::default(),
            strategy: settings.strategy,
            instance: settings.instance.clone(),
            ports: settings.ports.clone(),
            custody,
            reports,
            switches: BTreeMap::new(),
            redirection: Redirection::default(),
            first_comers: FirstComers::default(),
            left_open: None,
            given: HashSet::new(),
            counts: Arc::default(),
            sender,
            news,
        }
    }

    /// How many requests for a connection have waited at a gate, or were dropped there; those that were sent again counted
    /// again.
    pub fn gate_counts(&self) -> &GateCounts {
        &self.counts
    }

    /// What happens next here. Never ends; can be cancelled.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            biased;
            // There is a sender, so that there is no end.
            Some(news) = self.news.recv() => news,
            () = due::after(self.machine.due()) => News::Due,
        }
    }

    /// What comes of it.
    pub fn hear(&mut self, news: News) -> Vec<Upshot> {
        if !matches!(news, News::Due | News::Compared(..)) {
            steps::at("hears", &news);
        }
        let event = match news {
            News::Switched(mut switch) => {
                let (generation, done, event) = (switch.generation, switch.done(), switch.event());
                self.switches.insert(generation, SwitchProgress::Moved(switch));
                let mut upshots = vec![Upshot::Event(event)];
                upshots.extend(self.step(CutoverEvent::Moved(generation, done)));
                return upshots;
            }
            News::FormerClosed(generation, true) => CutoverEvent::FormerClosed(generation),
            News::FormerClosed(generation, false) => CutoverEvent::NotWatched(generation),
            News::GaveBack => CutoverEvent::GaveBack,
            News::Strangers(lines) => return vec![Upshot::Strangers(lines)],
            News::Compared(round, found) => {
                let found = found.map(|found| self.first_comers.found(found));
                CutoverEvent::Compared { round, found }
            }
            News::TheirsServed => CutoverEvent::TheirsServed,
            News::Due => CutoverEvent::TimePassed,
        };
        self.step(event)
    }

    /// Tells the machine, and does what it answers, until there is nothing more to do.
    fn step(&mut self, event: CutoverEvent) -> Vec<Upshot> {
        let mut upshots = Vec::new();
        let step = |cutover: &mut Self, event| cutover.machine.step(event, due::elapsed());
        settle(self, event, step, |cutover, action| cutover.carry_out(action, &mut upshots));
        self.first_comers.keep(self.machine.shared());
        upshots
    }
}
