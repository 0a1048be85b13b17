//! What answers are made of: the core and the rooms, as they are while a request is answered.

mod configuration;
mod metrics;
mod planned;
mod processes;
mod ready;
mod servers;
mod sessions;
mod sockets;
mod status;

use std::time::Duration;

use clearway_core::names::Generation;
use clearway_core::settings::Settings;
use clearway_core::supervisor::{GenerationView, LifePhase, Supervisor};
use tokio::sync::oneshot;

use crate::custody::Custody;
use crate::cutover::Cutover;
use crate::cutover::neighbours::Ours;
use crate::fleet::Fleet;
use crate::front::api::{EndOf, Reloads};
use crate::front::request::Health;
use crate::ground::aside;
use crate::path::Path;
use crate::peers::Peers;
use crate::tell::Tell;

/// The core and the rooms below.
#[derive(Debug)]
pub struct View<'a> {
    /// The core.
    pub core: &'a Supervisor,
    /// How long it has been since it began.
    pub now: Duration,
    /// The settings.
    pub settings: &'a Settings,
    /// The sockets.
    pub custody: &'a Custody,
    /// The observers.
    pub tell: &'a Tell,
    /// What diverts clients.
    pub cutover: &'a Cutover,
    /// Transparency.
    pub path: &'a Path,
    /// The generations.
    pub fleet: &'a Fleet,
    /// Other Clearways.
    pub peers: &'a Peers,
}

impl View<'_> {
    /// Tells a probe how it is. Where a generation serves, the network is looked at on a thread of its own.
    pub fn answer_health(&self, sender: oneshot::Sender<Health>) {
        if self.core.drains_as_planned() {
            let _ = sender.send(Health::Superseded);
            return;
        }
        if !self.core.is_ready() || !self.path.is_ready() {
            let _ = sender.send(Health::NotServing);
            return;
        }
        let (interfaces, remembered) = (self.path.interfaces(), self.path.interfaces());
        tokio::spawn(async move {
            let looked =
                aside::outcome_of("looking at the network for a probe", move || interfaces.are_gone()).await;
            let is_gone = looked.unwrap_or_else(|| remembered.were_gone());
            sender.send(if is_gone { Health::NetworkGone } else { Health::Serving })
        });
    }

    /// What has happened.
    pub fn reloads(&self) -> Reloads {
        let history = self.tell.history();
        Reloads { reloads: history.entries(), forgotten: history.forgotten() }
    }

    /// What is ours, also what a generation uses that has not been committed.
    pub fn ours(&self) -> Ours {
        self.cutover.ours(self.fleet.processes(), self.fleet.proved())
    }

    pub(super) fn generations(&self) -> Vec<GenerationView> {
        self.core.status(self.now).generations
    }

    /// The generation with this number, if it may be ended by hand.
    pub fn may_end(&self, number: u32) -> Result<Generation, EndOf> {
        let generations = self.generations();
        let found = generations.iter().find(|one| one.generation.number() == number);
        let refused = |message: String, hint: &str| EndOf::Refused { message, hint: hint.to_owned() };
        match found.map(|one| (one.generation, one.state)) {
            Some((generation, LifePhase::Draining)) => Ok(generation),
            None => Err(self.not_there(number)),
            Some((_, LifePhase::Serving)) => Err(refused(
                format!("generation {number} serves: only a generation that drains is ended by hand"),
                "`clearway reload` starts another one in its place, `clearway drain` stops all",
            )),
            Some((_, state)) => Err(refused(
                format!("generation {number} is {state}: only a generation that drains is ended by hand"),
                "`clearway status` says what becomes of it",
            )),
        }
    }

    pub(super) fn not_there(&self, number: u32) -> EndOf {
        let there: Vec<String> = self.generations().iter().map(|one| one.generation.to_string()).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        EndOf::Refused {
            message: format!("there is no generation {number}"),
            hint: format!("there are: {there}"),
        }
    }
}
