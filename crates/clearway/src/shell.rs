//! The shell around the core: it carries out what [`Supervisor`](clearway_core::supervisor::Supervisor)
//! decides, and tells it what happened.
//!
//! It owns the rooms, and hands each action to the one that it is for. It makes no decisions about the order of things.

use std::sync::Arc;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::path::Generations;
use clearway_core::peers::PeersEvent;
use clearway_core::settings::Settings;
use clearway_core::strategy::Strategy;
use clearway_core::supervisor::{Action, Answer, Event, PlumbingDemand, Report, Strictness, Supervisor};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tracing::error;

use crate::cutover::{Cutover, switch};
use crate::fleet::asking::Draft;
use crate::fleet::launch::Surroundings;
use crate::fleet::state::ServersHeard;
use crate::fleet::{self, Consequence, Fleet};
use crate::front::Front;
use crate::front::request::Request;
use crate::front::view::View;
use crate::ground::notice::tell;
use crate::ground::{aside, steps};

use crate::path::{self, Path};
use crate::peers::beginning::{Given, Newcomer};
use crate::peers::{self, Peers};
use crate::tell::Tell;

use crate::custody::{Custody, KeptBy};
use crate::cutover::neighbours::Ours;
use crate::cutover::redirection::{self, Turned};
use crate::cutover::switch::{Manners, Switch};
use crate::tell::said::Subject;

/// What threads and tasks of the shell tell the loop.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it goes when the last room has a channel of its own")]
pub enum Inner {
    /// Those who came to us before our clients were given back to others have been waited for.
    GaveBack,
    /// What [`Action::Switch`] has come to.
    Switched(Switch),
    /// Others that listen where we do, a line for each: all of them, or none.
    Strangers(Vec<String>),
}

/// What a room has to say.
#[derive(Debug)]
pub enum News {
    /// Of what has no channel of its own yet.
    Inner(Box<Inner>),
    /// A request over the admin socket.
    Request(Request),
    /// Of generations, their files and their programs.
    Fleet(Box<fleet::News>),
    /// Of the path between clients and servers.
    Path(path::News),
    /// Of other Clearways.
    Peers(peers::News),
    /// The set of sockets that serves was passed on to what keeps it.
    KeptUp,
}

/// Everything that Clearway holds.
#[derive(Debug)]
pub struct Shell {
    settings: Settings,
    inner: UnboundedSender<Inner>,
    heard: UnboundedReceiver<Inner>,
    custody: Custody,
    fleet: Fleet,
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
        (inner, heard): (UnboundedSender<Inner>, UnboundedReceiver<Inner>),
        custody: Custody,
        fleet: Fleet,
        peers: Peers,
        front: Front,
        tell: Tell,
    ) -> Self {
        Self {
            inner,
            heard,
            custody,
            fleet,
            cutover: Cutover::new(),
            path: Path::new(&settings),
            peers,
            front,
            tell,
            settings,
        }
    }

    /// Carries one action out. What comes of it at once is answered as an event; an exit code ends the loop.
    pub fn carry_out(&mut self, action: Action) -> Outcome {
        self.tell.hear(&action);
        match action {
            Action::Prepare(generation, source) => self.fleet.read(generation, source),
            Action::Try(generation) => self.fleet.begin_trial(generation),
            Action::Launch(generation, strictness) => {
                return Outcome::Event(self.launch(generation, strictness));
            }
            Action::Abandon(generation) => {
                self.fleet.abandon(generation);
                self.cancel_switch(generation);
            }
            Action::Commit(generation) => {
                self.commit(generation);
                return self.fleet.find_programs(generation).map_or(Outcome::Nothing, Outcome::Event);
            }
            Action::Program(action) => {
                return self.fleet.do_with_program(action).map_or(Outcome::Nothing, Outcome::Event);
            }
            Action::RememberOnly(wanted) => self.fleet.remember_only(&wanted),
            Action::Carry(generation) => {
                return self.fleet.carry(generation).map_or(Outcome::Nothing, Outcome::Event);
            }
            Action::Switch(generation) => return self.switch(generation),
            Action::Survey(generations) => self.fleet.survey(&generations),
            Action::Drain(generation) => self.drain(generation),
            Action::End(generation, how) => self.fleet.end(generation, how),
            Action::ReleaseCustody => {
                self.cutover.redirection.release();
                self.give_back();
                self.tell.stop(self.front.releases());
                self.peers.take(PeersEvent::Released { at_once: self.front.releases() });
                self.custody.release();
                self.fleet.give_up();
                self.path.release();
            }
            Action::HandOver(peer) => {
                self.cutover.redirection.hand_over();
                let state = self.fleet.question();
                self.peers.hand_over(peer, self.custody.sockets(), state);
            }
            Action::Decline(peer, why) => drop(self.peers.take(PeersEvent::Decline(peer, why))),
            Action::Relieve(peer) => {
                self.cutover.others.pause(true);
                self.cutover.redirection.relieve();
                self.peers.take(PeersEvent::Relieve(peer));
            }
            Action::TakeBack => {
                self.custody.sockets().listen_again();
                self.cutover.others.inherit(&self.custody.sockets());
                self.cutover.others.pause(false);
                self.cutover.redirection.take_back();
                self.peers.take(PeersEvent::TakeBack);
            }
            Action::Supersede => {
                self.peers.take(PeersEvent::Supersede);
                self.close_what_the_predecessor_keeps();
            }
            Action::Settled => drop(self.peers.take(PeersEvent::Settled)),
            Action::GiveBack => {
                // What the switch of an attempt has done, which is over now, or is told so by its own thread.
                self.custody.sockets().unseal();
                self.cutover.redirection.release();
                self.peers.take(PeersEvent::GiveBack);
            }
            Action::Unplumb => self.path.unplumb(),
            Action::Answer(request, mut answer) => {
                if let Answer::Tried { changes, .. } = &mut answer {
                    *changes = self.fleet.take_changes();
                }
                self.front.answer(request, answer, self.fleet.not_read());
            }
            Action::Report(report) => tell(&report),
            Action::Exit(code) => return Outcome::Exit(self.leave(code)),
        }
        Outcome::Nothing
    }

    /// The generation serves: what it uses is what custody holds.
    fn commit(&mut self, generation: Generation) {
        let Some(committed) = self.fleet.commit(generation) else { return };
        self.cutover.switching.take_if(|(one, _)| *one == generation);
        // Before anything is closed that clients may still be sent to.
        if let Some(ways) = committed.ways {
            let has_turned = |switch: &Switch| switch.generation == generation && switch.has_turned();
            let turned = if self.cutover.switch.as_ref().is_some_and(has_turned) {
                Turned::Already
            } else {
                Turned::NotYet
            };
            self.cutover.redirection.commit(generation, &ways, turned);
        }
        if let Some(sockets) = committed.sockets {
            let former = self.custody.commit(Arc::clone(&sockets));
            if let Some(switch) = self.cutover.switch.as_ref().filter(|one| one.generation == generation)
                && self.peers.has_predecessor()
            {
                self.cutover.kept_by_predecessor = Some((Arc::clone(&former), switch.alone().to_vec()));
                if !committed.is_first {
                    self.close_what_the_predecessor_keeps();
                }
            }
            self.cutover.others.steer_round(&sockets);
            self.ours().and(&former).look(self.inner.clone());
        }
        if let Some(switch) = self.cutover.switch.take_if(|one| one.generation == generation) {
            switch.committed();
        }
        self.path.commit(committed.configuration.as_deref());
    }

    /// The predecessor keeps the former sockets for a while, to come back perhaps: those that would go on getting clients
    /// do not listen until then. Not before it has been told that it may drain: its HAProxy would not accept any more, even
    /// if they did listen again.
    fn close_what_the_predecessor_keeps(&mut self) {
        if let Some((former, listeners)) = self.cutover.kept_by_predecessor.take() {
            former.stop_listening(&listeners);
        }
    }

    /// What is ours, also what a generation uses that has not been committed.
    fn ours(&self) -> Ours {
        let processes = std::iter::once(std::process::id()).chain(self.fleet.processes());
        let ours = Ours::of(&self.custody.sockets(), processes, self.cutover.others.clone());
        self.fleet.proved().fold(ours, Ours::and)
    }

    /// The generation will not be committed: its clients go back to who serves, as soon as the thread hears of it.
    fn cancel_switch(&mut self, generation: Generation) {
        if let Some((_, cancel)) = self.cutover.switching.take_if(|(one, _)| *one == generation) {
            cancel.now();
        }
        if let Some(switch) = self.cutover.switch.take_if(|one| one.generation == generation) {
            switch.abandoned(false);
        }
    }

    fn switch(&mut self, generation: Generation) -> Outcome {
        let Some(new) = self.fleet.proved_by(generation) else {
            return Outcome::Event(Event::Switched { generation, moved: Vec::new() });
        };
        let Settings { strategy, instance, ports, .. } = &self.settings;
        // It keeps its sockets for a while: no gate can wait until they are closed.
        let strategy = if self.peers.has_predecessor() { Strategy::Handoff } else { *strategy };
        let ways = self.fleet.ways(generation);
        let turn = ways.and_then(|ways| self.cutover.redirection.turn_to(ways));
        let (instance, ports) = (instance.clone(), ports.clone());
        let manners = Manners { strategy, instance, ports, turn };
        match switch::begin(generation, manners, &self.custody.sockets(), new, self.inner.clone()) {
            Ok(cancel) => {
                self.cutover.switching = Some((generation, cancel));
                Outcome::Nothing
            }
            Err(event) => Outcome::Event(event),
        }
    }

    /// Each room does its part for a generation about whose files everything is known.
    fn prepare(&mut self, draft: Draft) -> Result<Event, Failure> {
        let needs = self.fleet.examine(&draft, self.path.intercepts())?;
        let configuration = Arc::clone(draft.configuration());
        if self.fleet.is_tried(draft.generation()) {
            let notices = self.path.not_intercepted(&configuration);
            self.fleet.would(notices.into_iter().map(|notice| notice.text));
            self.fleet.compare_for_trial(&configuration, needs, self.path.is_plumbed());
            let selection = self.custody.select(&configuration, draft.moved());
            let private = match self.settings.strategy {
                Strategy::TableFlip => Some(redirection::copy_beside(&configuration)?),
                _ => None,
            };
            // Nothing is made for it, so nothing has to go.
            return Ok(self.fleet.prepared(draft, PlumbingDemand::NotNeeded, selection, private));
        }
        self.path.say_what_is_not_intercepted(&configuration);
        if needs == PlumbingDemand::Needed {
            self.path.plumb(&configuration)?;
        }
        let selection = self.custody.select(&configuration, draft.moved());
        let Settings { strategy, instance, .. } = &self.settings;
        let redirection = &mut self.cutover.redirection;
        let private = match strategy {
            Strategy::TableFlip => {
                Some(redirection.prepare(instance.as_ref(), &configuration, self.fleet.serves())?)
            }
            _ => None,
        };
        Ok(self.fleet.prepared(draft, needs, selection, private))
    }

    fn launch(&mut self, generation: Generation, strictness: Strictness) -> Event {
        let (sockets, has_predecessor) = (self.custody.sockets(), self.peers.has_predecessor());
        if !self.fleet.is_tried(generation) {
            if sockets.is_empty() {
                self.cutover.others.begin();
            } else if !has_predecessor {
                self.cutover.others.begin_with(&sockets);
            }
        }
        let around = Surroundings { sockets, has_predecessor, redirection: &self.cutover.redirection };
        self.fleet.launch(generation, strictness, around)
    }

    /// Reaps every child that has ended; what that is for the core.
    pub fn reap(&mut self) -> Vec<Event> {
        let reaped = self.fleet.reap();
        for generation in reaped.generations() {
            self.front.gone(generation);
            if self.fleet.committed() != Some(generation) {
                self.cancel_switch(generation);
            }
        }
        let start_over = self.fleet.start_over(&reaped, &self.cutover.redirection);
        reaped.events(start_over).collect()
    }

    fn drain(&mut self, generation: Generation) {
        self.fleet.begin_to_drain(generation);
        self.cutover.redirection.drain(generation);
        match &mut self.cutover.giving_back {
            Some(waiting) => waiting.push(generation),
            None => self.fleet.drain(generation),
        }
    }

    /// New clients are those again who listened here before us; clients that have come to us meanwhile are accepted first,
    /// which is waited for beside the loop.
    fn give_back(&mut self) {
        let Some(arrived) = self.cutover.others.give_back() else { return };
        let inner = self.inner.clone();
        let begun = aside::spawn("waiting for those who have come here", move || {
            arrived.wait();
            let _ = inner.send(Inner::GaveBack);
        });
        self.cutover.giving_back = begun.then(Vec::new);
    }

    /// They have been waited for.
    fn gave_back(&mut self) {
        for generation in self.cutover.giving_back.take().into_iter().flatten() {
            self.fleet.drain(generation);
        }
    }

    /// What a room says next. Never ends.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            biased;
            () = self.tell.keep_up() => News::KeptUp,
            Some(news) = self.heard.recv() => News::Inner(Box::new(news)),
            news = self.fleet.next() => News::Fleet(Box::new(news)),
            news = self.path.next() => News::Path(news),
            news = self.peers.next() => News::Peers(news),
            request = self.front.next() => News::Request(request),
        }
    }

    /// What a room has said, as an event for the core.
    pub fn hear(&mut self, news: News, core: &Supervisor, now: Duration) -> Event {
        match news {
            News::Inner(news) => {
                steps::at("hears", &news);
                return self.hear_inner(*news);
            }
            News::Request(request) => {
                let Self { settings, custody, fleet, cutover, path, peers, front, .. } = self;
                let view = View { core, now, settings, custody, cutover, path, fleet, peers };
                return front.hear(request, &view);
            }
            News::Fleet(news) => {
                return self.hear_from_the_fleet(*news);
            }
            News::KeptUp => {}
            News::Peers(news) => {
                steps::at("hears", &news);
                return self.hear_of_others(news);
            }
            News::Path(news) => self.path.hear(news),
        }
        Event::TimePassed
    }

    fn hear_inner(&mut self, inner: Inner) -> Event {
        match inner {
            Inner::GaveBack => {
                self.gave_back();
                Event::TimePassed
            }
            Inner::Strangers(lines) => {
                self.tell.found(Subject::Strangers, lines);
                Event::TimePassed
            }
            Inner::Switched(mut switch) => {
                let event = switch.event();
                let generation = switch.generation;
                // It may have ended or been given up meanwhile, or was committed without waiting any longer.
                let committed = self.fleet.committed();
                if self.fleet.proved_by(generation).is_some() {
                    self.cutover.switch = Some(switch);
                } else if committed == Some(generation) {
                    switch.committed();
                } else {
                    switch.abandoned(committed > Some(generation));
                }
                event
            }
        }
    }

    fn hear_from_the_fleet(&mut self, news: fleet::News) -> Event {
        match self.fleet.hear(news, &self.custody.sockets()) {
            Consequence::Event(event) => return event,
            Consequence::Asked(draft) => {
                let generation = draft.generation();
                let prepared = self.prepare(*draft);
                return prepared.unwrap_or_else(|failure| Event::Failed { generation, failure });
            }
            Consequence::Cut { generation, sessions } => self.front.note_what_is_cut(generation, sessions),
            Consequence::StateDue => self.fleet.ask_for_state(self.path.follows_servers()),
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
            self.custody.sockets().listen_again();
            self.cutover.others.inherit(&self.custody.sockets());
        }
        self.peers.hear(news).unwrap_or(Event::TimePassed)
    }

    /// Begins with what a predecessor, a holder or systemd gave; says whether that is a predecessor that serves.
    pub fn begin(&mut self, mut newcomer: Newcomer) -> Result<bool, Failure> {
        let mut inherited = 0;
        if let Some(Given { sockets, servers }) = newcomer.inherited.take() {
            self.fleet.inherit_state(servers);
            inherited = self.custody.inherit(sockets).map_err(|why| peers::unusable(&why))?;
        }
        if let Some(Given { sockets, servers }) = newcomer.kept.take() {
            self.fleet.inherit_state(servers);
            self.custody.begin_with(sockets, KeptBy::Holder);
        }
        self.custody.begin_with(self.tell.kept(), KeptBy::Systemd);
        // Whether they listen was seen just now.
        self.custody.sockets().unseal();
        self.cutover.others.inherit(&self.custody.sockets());
        self.peers.begin(newcomer, inherited)
    }

    /// The loop is over: the last answers, and the last words to other Clearways. Does not wait for long.
    pub async fn finish(&mut self, code: ExitCode) {
        self.front.end(code);
        tokio::join!(self.peers.finish(), self.front.let_go());
        self.fleet.hear_programs_out().await;
    }

    fn leave(&mut self, code: ExitCode) -> ExitCode {
        self.peers.leave();
        self.fleet.leave();
        let mut residue = false;
        if let Err(error) = self.cutover.redirection.remove() {
            residue = true;
            error!(
                "removing the table that sends clients to private ports: {error} (`clearway cleanup` tries again)"
            );
        }
        residue |= self.path.leave(code);
        let code = if residue && code == ExitCode::Done { ExitCode::Residue } else { code };
        self.tell.hear(&Action::Report(Report::Leaving { exit_code: code }));
        tell(&Report::Leaving { exit_code: code });
        code
    }
}

/// What came of an action.
#[derive(Debug)]
pub enum Outcome {
    /// It is done.
    Nothing,
    /// It is done, and the core has to know.
    Event(Event),
    /// Clearway leaves.
    Exit(ExitCode),
}
