//! What this room is told, and asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use clearway_core::cutover::{AtLaunch, CutoverEvent};
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::strategy::Strategy;
use clearway_haproxy::configuration::Configuration;

use super::switch::Manners;
use super::{Cutover, News, PreparedFor, SwitchProgress, Upshot};
use crate::custody::sockets::Sockets;
use crate::cutover::neighbours::Ours;
use crate::cutover::notices::CutoverNotice;
use crate::ground::notice::tell;

/// The life of generations.
impl Cutover {
    /// The copy of the configuration with private ports, where the strategy wants one.
    pub fn private_ports(
        &mut self,
        generation: Generation,
        configuration: &Configuration,
        purpose: PreparedFor,
    ) -> Result<Option<Arc<Configuration>>, Failure> {
        if self.strategy != Strategy::TableFlip {
            return Ok(None);
        }
        if purpose == PreparedFor::Trial {
            return self.redirection.copy_beside(generation, configuration).map(Some);
        }
        let (instance, serves) = (self.instance.as_ref(), purpose == PreparedFor::ServingBeside);
        self.redirection.prepare(generation, instance, configuration, serves).map(Some)
    }

    /// A generation is about to be launched. `predecessor`: whether another Clearway serves from what is in custody.
    pub fn launch(&mut self, predecessor: bool) {
        let held = match (self.custody.held().is_empty(), predecessor) {
            (true, _) => AtLaunch::Nothing,
            (false, true) => AtLaunch::OfAPredecessor,
            (false, false) => AtLaunch::Ours,
        };
        self.step(CutoverEvent::Launching(held));
    }

    /// The public address for each private one: of what is in use, and of this generation.
    pub fn publics(&self, generation: Generation) -> HashMap<SocketAddr, SocketAddr> {
        self.redirection.publics(generation)
    }

    /// A generation has proved to use these.
    pub fn bound(&mut self, generation: Generation, sockets: &Sockets) {
        self.redirection.bound(generation, sockets);
    }

    /// Brings the clients of what is in custody to a generation that uses these sockets. `predecessor`: whether one would
    /// come back. It keeps its sockets for a while: no gate can wait until they are closed.
    pub fn switch(&mut self, generation: Generation, new: &Arc<Sockets>, predecessor: bool) -> Vec<Upshot> {
        let manners = Manners {
            strategy: if predecessor { Strategy::Handoff } else { self.strategy },
            instance: self.instance.clone(),
            ports: self.ports.clone(),
            counts: Arc::clone(&self.counts),
            ways: self.redirection.change_to(generation),
            reports: self.reports.clone(),
            former: Arc::downgrade(&self.custody.held()),
            new: Arc::downgrade(new),
        };
        self.switches.insert(generation, SwitchProgress::Ordered(Box::new(manners)));
        self.step(CutoverEvent::SwitchAsked(generation))
    }

    /// A generation serves, and its sockets are in custody. Nothing of what was there before is closed yet.
    pub fn commit(&mut self, generation: Generation, predecessor: bool) {
        let listens = self.redirection.listens(generation);
        self.step(CutoverEvent::Committed { generation, listens, predecessor });
    }

    /// A generation will not be committed, or has ended: clients that were brought to it go back, if it does not serve.
    pub fn abandon(&mut self, generation: Generation) {
        self.step(CutoverEvent::Abandoned(generation));
        self.redirection.forget(generation);
    }

    /// A generation is to drain: tells which ones are to be told so now.
    pub fn drain(&mut self, generation: Generation) -> Vec<Upshot> {
        self.step(CutoverEvent::Draining(generation))
    }

    /// Whether clients wait at other private ports than those of a generation that is starting.
    pub fn leads_elsewhere(&self, generation: Generation) -> bool {
        self.redirection.leads_elsewhere(generation)
    }
}

/// Other Clearways.
impl Cutover {
    /// What is in custody was another Clearway's, which may have diverted clients, or has died while it did.
    pub fn inherit(&mut self) {
        let any = !self.custody.held().is_empty();
        self.step(CutoverEvent::Inherited { any });
    }

    /// A successor is about to get the sockets.
    pub fn hand_over(&mut self) {
        let held = self.custody.held();
        self.given = held.inodes();
        self.step(CutoverEvent::HandedOver { any: !held.is_empty() });
        self.redirection.hand_over();
    }

    /// It serves.
    pub fn relieve(&mut self) {
        let redirects = self.redirection.is_another_ones();
        self.step(CutoverEvent::Superseded { redirects });
    }

    /// It has failed.
    pub fn take_back(&mut self) {
        self.step(CutoverEvent::TakenBack);
    }

    /// The predecessor has said that it drains, or is gone, or is not waited for any more.
    pub fn predecessor_drains(&mut self) {
        self.step(CutoverEvent::PredecessorDrains);
    }

    /// The predecessor serves again.
    pub fn part(&mut self) {
        self.step(CutoverEvent::Parted);
    }

    /// What is in custody is about to be let go.
    pub fn release(&mut self) {
        self.step(CutoverEvent::Released);
    }

    /// Takes the table out of the kernel; says whether it is out.
    pub fn leave(&mut self) -> bool {
        let Err(error) = self.redirection.remove() else { return true };
        let hints = vec!["`clearway cleanup` tries again".to_owned()];
        tell(&CutoverNotice::NotRemoved { error: error.to_string(), hints });
        false
    }
}

/// Questions.
impl Cutover {
    /// What is ours, to look for other processes on the same addresses: what is in custody, the processes of generations,
    /// and what those use that have not been committed.
    pub fn ours<'a>(
        &self,
        generations: impl Iterator<Item = u32>,
        proved: impl Iterator<Item = &'a Sockets>,
    ) -> Ours {
        let processes = std::iter::once(std::process::id()).chain(generations).collect();
        let ours = Ours::of(&self.custody.held(), processes, self.first_comers.without_clients());
        proved.fold(ours, Ours::and)
    }

    /// Looks for them on a thread.
    pub fn look_for_strangers(&self, ours: Ours) {
        let news = self.sender.clone();
        ours.look(move |lines| {
            let _ = news.send(News::Strangers(lines));
        });
    }

    /// Where clients are redirected, for the status.
    pub fn redirected(&self) -> Vec<String> {
        self.redirection.describe()
    }
}
