//! The shell around the core: it carries out what [`Supervisor`]
//! decides, and tells it what happened.
//!
//! It owns the rooms, and hands each action to the one that it is for. It makes no decisions about the order of things.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::names::Generation;
use clearway_core::path::Generations;
use clearway_core::peers::PeersEvent;
use clearway_core::settings::Settings;
use clearway_core::supervisor::{Action, Answer, Event, Supervisor};

use crate::apply::{self, Apply};
use crate::cutover::{self, Cutover, Upshot};
use crate::fleet::state::ServersHeard;
use crate::fleet::{self, Consequence, Fleet};
use crate::front::Front;
use crate::front::api::CanaryWish;
use crate::front::request::Request;
use crate::front::view::View;
use crate::ground::notice::tell;
use crate::ground::steps;
use crate::path::{self, Path};
use crate::peers::{self, Peers};
use crate::tell::Tell;

use crate::custody::Custody;
use crate::tell::said::Subject;

mod applying;
mod ends;
mod preparing;

/// What a room has to say.
#[derive(Debug)]
pub enum News {
    /// A request over the admin socket.
    Request(Request),
    /// Of generations, their files and their programs.
    Fleet(Box<fleet::News>),
    /// Of what is changed at run time.
    Apply(apply::News),
    /// Of the path between clients and servers.
    Path(path::News),
    /// Of clients that are diverted.
    Cutover(cutover::News),
    /// Of other Clearways.
    Peers(peers::News),
    /// The set of sockets that serves was passed on to what keeps it, or a cost was told.
    KeptUp,
}

/// Everything that Clearway holds.
#[derive(Debug)]
pub struct Shell {
    settings: Settings,
    custody: Custody,
    fleet: Fleet,
    apply: Apply,
    cutover: Cutover,
    path: Path,
    peers: Peers,
    front: Front,
    tell: Tell,
}

impl Shell {
    /// A shell that has done nothing yet.
    pub fn new(
        settings: Settings,
        custody: Custody,
        fleet: Fleet,
        peers: Peers,
        front: Front,
        tell: Tell,
    ) -> Self {
        Self {
            cutover: Cutover::new(&settings, custody.subscribe(), tell.gate_reports()),
            custody,
            fleet,
            apply: Apply::new(),
            path: Path::new(&settings),
            peers,
            front,
            tell,
            settings,
        }
    }

    /// Carries one action out. What comes of it at once is answered as an event; an exit code ends the loop.
    pub fn carry_out(&mut self, action: Action) -> ControlFlow<ExitCode, Option<Event>> {
        self.tell.hear(&action);
        self.front.note(&action, &self.fleet);
        match action {
            Action::Prepare(generation, source) => {
                self.apply.give_up(generation);
                self.fleet.read(generation, source);
            }
            Action::Plan(generation) => self.fleet.begin_plan(generation),
            Action::Apply(generation) => return Continue(self.apply_at_run_time(generation)),
            Action::Adopt { generation, serving } => self.adopt(generation, serving),
            Action::Try(generation) => self.fleet.begin_trial(generation),
            Action::Launch(generation, strictness) => {
                return Continue(Some(self.launch(generation, strictness)));
            }
            Action::Abandon(generation) => {
                self.apply.give_up(generation);
                self.fleet.abandon(generation);
                self.cutover.abandon(generation);
            }
            Action::Commit(generation) => {
                self.commit(generation);
                return Continue(self.fleet.find_programs(generation));
            }
            Action::Program(action) => {
                return Continue(self.fleet.do_with_program(action));
            }
            Action::RememberOnly(wanted) => self.fleet.remember_only(&wanted),
            Action::Carry(generation) => {
                return Continue(self.fleet.carry(generation));
            }
            Action::Switch(generation) => return Continue(self.switch(generation)),
            Action::Survey(generations) => self.fleet.survey(&generations),
            Action::Drain(generation) => self.drain(generation),
            Action::End(generation, how) => self.fleet.end(generation, how),
            Action::ReleaseCustody => {
                self.cutover.release();
                self.tell.stop(self.front.releases());
                self.peers.take(PeersEvent::Released { at_once: self.front.releases() });
                self.custody.release();
                self.fleet.give_up();
                self.path.release();
            }
            Action::HandOver(peer) => {
                self.cutover.hand_over();
                let state = self.fleet.question_to_hand_over();
                self.peers.hand_over(peer, self.custody.sockets(), state);
            }
            Action::Decline(peer, why) => drop(self.peers.take(PeersEvent::Decline(peer, why))),
            Action::Relieve(peer) => {
                self.cutover.relieve();
                self.peers.take(PeersEvent::Relieve(peer));
            }
            Action::TakeBack => {
                self.cutover.take_back();
                self.peers.take(PeersEvent::TakeBack);
            }
            Action::Supersede => drop(self.peers.take(PeersEvent::Supersede)),
            Action::Settled => {
                self.cutover.predecessor_drains();
                self.peers.take(PeersEvent::Settled);
            }
            Action::GiveBack => {
                self.cutover.part();
                self.peers.take(PeersEvent::GiveBack);
            }
            Action::Unplumb => self.path.unplumb(),
            Action::Answer(request, mut answer) => {
                if let Answer::Tried { changes, .. } = &mut answer {
                    *changes = self.fleet.take_changes();
                }
                self.front.answer(request, answer, &self.fleet, self.tell.cost());
            }
            Action::Report(report) => tell(&report),
            Action::Attempted(_) => {}
            Action::Exit(code) => return Break(self.leave(code)),
        }
        Continue(None)
    }

    /// The generation serves: what it uses is what custody holds.
    fn commit(&mut self, generation: Generation) {
        let Some(committed) = self.fleet.commit(generation) else { return };
        if let Some(sockets) = committed.sockets {
            // Held until nothing leads to what is closed with it.
            let former = self.custody.commit(sockets);
            // A predecessor may have to take them back.
            if !self.peers.has_predecessor() {
                former.hide(&self.custody.sockets());
            }
            self.cutover.commit(generation, self.peers.has_predecessor());
            let ours = self.cutover.ours(self.fleet.processes(), self.fleet.proved());
            self.cutover.look_for_strangers(ours.and(&former));
        }
        self.path.commit(committed.configuration.as_deref());
    }

    fn switch(&mut self, generation: Generation) -> Option<Event> {
        let Some(new) = self.fleet.proved_by(generation) else {
            return Some(Event::Switched { generation, moved: Vec::new() });
        };
        let upshots = self.cutover.switch(generation, new, self.peers.has_predecessor());
        self.take_upshots(upshots)
    }

    /// What has come of something in the room `cutover`; gives what the core has to know.
    fn take_upshots(&mut self, upshots: Vec<Upshot>) -> Option<Event> {
        let mut event = None;
        for upshot in upshots {
            match upshot {
                Upshot::Event(one) => event = Some(one),
                Upshot::Drain(generation) => self.fleet.drain(generation),
                Upshot::Strangers(lines) => self.tell.found(Subject::Strangers, lines),
            }
        }
        event
    }

    /// Reaps every child that has ended; what that is for the core.
    pub fn reap(&mut self) -> Vec<Event> {
        let reaped = self.fleet.reap();
        for generation in reaped.generations() {
            self.front.gone(generation);
            self.cutover.abandon(generation);
        }
        let misplaced = self.fleet.misplaced(&reaped, |one| self.cutover.leads_elsewhere(one));
        reaped.events(misplaced).collect()
    }

    fn drain(&mut self, generation: Generation) {
        self.fleet.begin_to_drain(generation);
        let upshots = self.cutover.drain(generation);
        self.take_upshots(upshots);
    }

    /// What a room says next. Never ends.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            biased;
            () = self.tell.keep_up() => News::KeptUp,
            news = self.fleet.next() => News::Fleet(Box::new(news)),
            news = self.apply.next() => News::Apply(news),
            news = self.path.next() => News::Path(news),
            news = self.cutover.next() => News::Cutover(news),
            news = self.peers.next() => News::Peers(news),
            request = self.front.next() => News::Request(request),
        }
    }

    /// What a room has said, as an event for the core.
    pub fn hear(&mut self, news: News, core: &Supervisor, now: Duration) -> Event {
        match news {
            News::Request(Request::AskCanary(sender)) => {
                let _ = sender.send(CanaryWish::of(self.path.ask_now()));
            }
            News::Request(request) => {
                let Self { settings, custody, fleet, apply: _, cutover, path, peers, front, tell } = self;
                let view = View { core, now, settings, custody, tell, cutover, path, fleet, peers };
                return front.hear(request, &view);
            }
            News::Fleet(news) => {
                return self.hear_from_the_fleet(*news);
            }
            News::Apply(news) => return self.apply.hear(news),
            News::KeptUp => {}
            News::Peers(news) => {
                steps::at("hears", &news);
                return self.hear_of_others(news);
            }
            News::Path(news) => self.path.hear(news),
            News::Cutover(news) => {
                let upshots = self.cutover.hear(news);
                return self.take_upshots(upshots).unwrap_or(Event::TimePassed);
            }
        }
        Event::TimePassed
    }

    fn hear_from_the_fleet(&mut self, news: fleet::News) -> Event {
        match self.fleet.hear(news, &self.custody.sockets()) {
            Consequence::Event(event) => {
                if let Event::Proved { generation, .. } = &event
                    && let Some(sockets) = self.fleet.proved_by(*generation)
                {
                    self.cutover.bound(*generation, sockets);
                }
                return event;
            }
            Consequence::Asked(draft) => {
                let generation = draft.generation();
                let prepared = self.prepare(*draft);
                return prepared.unwrap_or_else(|failure| Event::Failed { generation, failure });
            }
            Consequence::Plan(read) => return self.apply.plan(*read).unwrap_or(Event::TimePassed),
            Consequence::Cut { generation, sessions } => {
                self.front.note_what_is_cut(generation, sessions);
                self.tell.cut(sessions);
            }
            Consequence::StateDue => {
                self.fleet.ask_for_state(self.path.follows_servers());
                self.tell.glance();
            }
            Consequence::Servers(ServersHeard { fresh, is_new, seen }) => {
                self.path.look_after_the_plumbing(fresh);
                if is_new {
                    self.tell_the_holder();
                }
                if let Some(seen) = seen {
                    let several = self.fleet.count() > 1;
                    let generations = if several { Generations::Several } else { Generations::One };
                    self.path.hear_of_servers(seen, fresh, generations);
                }
            }
        }
        Event::TimePassed
    }

    /// A holder knows the state of the servers, too.
    fn tell_the_holder(&mut self) {
        if let Some(known) = self.fleet.state_to_keep() {
            self.peers.know_servers(known);
        }
    }

    fn hear_of_others(&mut self, news: peers::News) -> Event {
        // It may have died in the middle of a switch; while we switch ourselves, it has not been given our sockets yet.
        if matches!(&news, peers::News::SuccessorGone(peer) if self.peers.has_given_to(*peer)) {
            self.cutover.inherit();
        }
        if let peers::News::Relieved(_) | peers::News::PredecessorGone = &news {
            self.cutover.predecessor_drains();
        }
        self.peers.hear(news).unwrap_or(Event::TimePassed)
    }
}
