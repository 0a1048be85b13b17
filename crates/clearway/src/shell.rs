//! The shell around the core: it carries out what [`Supervisor`](clearway_core::supervisor::Supervisor)
//! decides, and tells it what happened.
//!
//! It owns the processes, the sockets in custody, the plumbing and whoever waits for an answer. It makes no
//! decisions about the order of things.

use std::sync::Arc;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::settings::Settings;
use clearway_core::strategy::Strategy;
use clearway_core::supervisor::{Action, Answer, Asker, Event, Report, Strictness, Supervisor};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tracing::{error, info};

use crate::cutover::{Cutover, switch};
use crate::fleet::launch::Serving;
use crate::fleet::{self, Fleet, watch};
use crate::front::Front;
use crate::front::request::Request;
use crate::front::view::View;
use crate::ground::notice::tell;
use crate::ground::steps;
use crate::path::{self, Path};
use crate::peers::takeover::Kept;
use crate::peers::{Peers, succession, takeover};
use crate::tell::Tell;

use crate::custody::{Custody, KeptBy};
use crate::cutover::neighbours::Ours;
use crate::cutover::redirection::Turned;
use crate::cutover::switch::{Manners, Switch};
use crate::fleet::asking::Answers;
use crate::fleet::launch::Running;
use crate::fleet::reading::Chosen;
use crate::tell::said::Subject;

/// What threads and tasks of the shell tell the loop.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it goes when the last room has a channel of its own")]
pub enum Inner {
    /// Those who came to us before our clients were given back to others have been waited for.
    GaveBack,
    /// What [`Action::Switch`] has come to.
    Switched(Switch),
    /// Another Clearway says something.
    Takeover(takeover::News),
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
    /// The set of sockets that serves was passed on to what keeps it.
    KeptUp,
}

/// Everything that Clearway holds.
#[derive(Debug)]
pub struct Shell {
    pub settings: Settings,
    pub inner: UnboundedSender<Inner>,
    heard: UnboundedReceiver<Inner>,
    pub custody: Custody,
    pub fleet: Fleet,
    pub cutover: Cutover,
    pub path: Path,
    pub peers: Peers,
    pub front: Front,
    pub tell: Tell,
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
        self.tell.systemd.hear(&action);
        match action {
            Action::Prepare(generation, source) => self.read(generation, source),
            Action::Try(generation) => self.begin_trial(generation),
            Action::Launch(generation, strictness) => {
                return Outcome::Event(self.launch_generation(generation, strictness));
            }
            Action::Abandon(generation) => {
                self.fleet.preparing.take_if(|one| *one == generation);
                self.fleet.prepared.remove(&generation);
                self.end_trial(generation);
                // Its configuration has never served.
                self.fleet.configurations.remove(&generation);
                self.fleet.sidecars.forget(generation);
                if let Some(running) = self.fleet.running.get_mut(&generation) {
                    running.give_up();
                }
                self.cancel_switch(generation);
            }
            Action::Commit(generation) => {
                self.commit(generation);
                return self.fleet.find_programs(generation).map_or(Outcome::Nothing, Outcome::Event);
            }
            Action::Program(action) => {
                return self.fleet.do_with_program(action).map_or(Outcome::Nothing, Outcome::Event);
            }
            Action::RememberOnly(wanted) => self.fleet.configurations.retain(|one, _| wanted.contains(one)),
            Action::Carry(generation) => return self.carry(generation),
            Action::Switch(generation) => return self.switch(generation),
            Action::Survey(generations) => self.fleet.survey(&generations),
            Action::Drain(generation) => self.drain(generation),
            Action::End(generation, how) => self.end(generation, how),
            Action::ReleaseCustody => {
                self.cutover.redirection.release();
                self.give_back();
                self.tell.systemd.stop(self.front.releases());
                self.peers.succession.release(self.front.releases());
                self.custody.release();
                self.fleet.running.values_mut().for_each(Running::give_up);
                self.path.stop_intercepting();
            }
            Action::HandOver(peer) => {
                self.cutover.redirection.hand_over();
                let state = self.question();
                self.peers.succession.hand_over(peer, self.custody.sockets(), state);
            }
            Action::Decline(peer, why) => self.peers.succession.decline(peer, why),
            Action::Relieve(peer) => {
                self.cutover.others.pause(true);
                self.cutover.redirection.relieve();
                self.peers.succession.relieve(peer);
            }
            Action::TakeBack => {
                self.cutover.others.inherit(&self.custody.sockets());
                self.cutover.others.pause(false);
                self.cutover.redirection.take_back();
                self.peers.succession.take_back();
            }
            Action::Supersede => {
                self.peers.succession.supersede();
                self.close_what_the_predecessor_keeps();
            }
            Action::Settled => self.peers.succession.settled(),
            Action::GiveBack => {
                // What the switch of an attempt has done, which is over now, or is told so by its own thread.
                self.custody.sockets().unseal();
                self.cutover.redirection.release();
                self.peers.succession.give_back();
            }
            Action::Unplumb => self.path.unplumb(),
            Action::Answer(request, mut answer) => {
                if let Answer::Tried { changes, .. } = &mut answer {
                    *changes = self.take_changes();
                }
                self.front.answer(request, answer, &self.fleet.not_read);
            }
            Action::Report(report) => tell(&report),
            Action::Exit(code) => return Outcome::Exit(self.leave(code)),
        }
        Outcome::Nothing
    }

    /// The generation serves: what it uses is what custody holds.
    pub fn commit(&mut self, generation: Generation) {
        let Some(running) = self.fleet.running.get_mut(&generation) else { return };
        running.keep();
        let ways = running.private.as_ref().map(|private| private.ways.clone());
        let proved = running.proved.take();
        self.fleet.imprint = Some(Arc::clone(&running.imprint));
        self.fleet.named.clone_from(&running.named);
        let predecessor_knows = self.fleet.committed.is_some();
        self.cutover.switching.take_if(|(one, _)| *one == generation);
        // Before anything is closed that clients may still be sent to.
        self.fleet.committed = Some(generation);
        if let Some(ways) = ways {
            let has_turned = |switch: &Switch| switch.generation == generation && switch.has_turned();
            let turned = if self.cutover.switch.as_ref().is_some_and(has_turned) {
                Turned::Already
            } else {
                Turned::NotYet
            };
            self.cutover.redirection.commit(generation, &ways, turned);
        }
        if let Some(sockets) = proved {
            let former = self.custody.commit(Arc::clone(&sockets));
            if let Some(switch) = self.cutover.switch.as_ref().filter(|one| one.generation == generation)
                && self.peers.succession.has_predecessor()
            {
                self.cutover.kept_by_predecessor = Some((Arc::clone(&former), switch.alone().to_vec()));
                if predecessor_knows {
                    self.close_what_the_predecessor_keeps();
                }
            }
            self.cutover.others.steer_round(&sockets);
            self.ours().and(&former).look(self.inner.clone());
        }
        self.fleet.serving = Some(Serving::begins(generation));
        if let Some(switch) = self.cutover.switch.take_if(|one| one.generation == generation) {
            switch.committed();
        }
        let configuration = self.fleet.configurations.get(&generation).map(|known| &known.configuration);
        if let (Some(configuration), Some(running)) = (configuration, self.fleet.running.get(&generation)) {
            self.fleet.state.serves(generation, configuration, running);
        }
        self.path.commit(configuration.map(|one| &**one));
    }

    /// The predecessor keeps the former sockets for a while, to come back perhaps: those that would go on getting clients
    /// do not listen until then. Not before it has been told that it may drain: its HAProxy would not accept any more, even
    /// if they did listen again.
    pub fn close_what_the_predecessor_keeps(&mut self) {
        if let Some((former, listeners)) = self.cutover.kept_by_predecessor.take() {
            former.stop_listening(&listeners);
        }
    }

    /// What is ours, also what a generation uses that has not been committed.
    pub fn ours(&self) -> Ours {
        let processes = std::iter::once(std::process::id()).chain(self.fleet.processes());
        let ours = Ours::of(&self.custody.sockets(), processes, self.cutover.others.clone());
        self.fleet.proved().fold(ours, Ours::and)
    }

    /// The generation will not be committed: its clients go back to who serves, as soon as the thread hears of it.
    pub fn cancel_switch(&mut self, generation: Generation) {
        if let Some((_, cancel)) = self.cutover.switching.take_if(|(one, _)| *one == generation) {
            cancel.now();
        }
        if let Some(switch) = self.cutover.switch.take_if(|one| one.generation == generation) {
            switch.abandoned(false);
        }
    }

    pub fn switch(&mut self, generation: Generation) -> Outcome {
        let Some(new) = self.fleet.running.get(&generation).and_then(|running| running.proved.as_ref())
        else {
            return Outcome::Event(Event::Switched { generation, moved: Vec::new() });
        };
        let Settings { strategy, instance, ports, .. } = &self.settings;
        // It keeps its sockets for a while: no gate can wait until they are closed.
        let strategy = if self.peers.succession.has_predecessor() { Strategy::Handoff } else { *strategy };
        let private = self.fleet.running.get(&generation).and_then(|running| running.private.as_ref());
        let turn = private.and_then(|private| self.cutover.redirection.turn_to(&private.ways));
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

    pub fn prepare_generation(&mut self, chosen: Chosen, answers: Result<Answers, Failure>) -> Event {
        let generation = chosen.generation;
        // It may have been abandoned while HAProxy was asked.
        if self.fleet.preparing.take_if(|one| *one == generation).is_none() {
            return Event::TimePassed;
        }
        match answers.and_then(|answers| self.prepare(chosen, answers)) {
            Ok(prepared) => {
                let (plumbing, most_reloads) = (prepared.needs, prepared.most_reloads);
                self.fleet.prepared.insert(generation, prepared);
                Event::Prepared { generation, plumbing, most_reloads }
            }
            Err(failure) => Event::Failed { generation, failure },
        }
    }

    pub fn launch_generation(&mut self, generation: Generation, strictness: Strictness) -> Event {
        let Some(mut prepared) = self.fleet.prepared.remove(&generation) else {
            let failure = Failure::new(ExitCode::Internal, "a generation was launched that was not prepared");
            return Event::Failed { generation, failure };
        };
        prepared.overlay.lenient = strictness == Strictness::Lenient;
        match self.launch(generation, prepared) {
            Ok(running) => {
                let pid = running.pid;
                self.fleet.running.insert(generation, running);
                Event::Started { generation, pid }
            }
            Err(failure) => Event::Failed { generation, failure },
        }
    }

    /// What a room says next. Never ends.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            biased;
            () = self.peers.succession.keep_up() => News::KeptUp,
            () = self.tell.systemd.keep_up() => News::KeptUp,
            Some(news) = self.heard.recv() => News::Inner(Box::new(news)),
            news = self.fleet.next() => News::Fleet(Box::new(news)),
            news = self.path.next() => News::Path(news),
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
                return front
                    .hear(request, View { core, now, settings, custody, cutover, path, fleet, peers });
            }
            News::Fleet(news) => {
                steps::at("hears", &news);
                return self.hear_from_the_fleet(*news);
            }
            News::KeptUp => {}
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
            Inner::Takeover(news) => self.hear_of_a_takeover(news),
            Inner::Strangers(lines) => {
                self.tell.said.found(Subject::Strangers, lines);
                Event::TimePassed
            }
            Inner::Switched(mut switch) => {
                let event = switch.event();
                let generation = switch.generation;
                // It may have ended or been given up meanwhile, or was committed without waiting any longer.
                match self.fleet.running.get(&generation) {
                    Some(running) if running.proved.is_some() => self.cutover.switch = Some(switch),
                    _ if self.fleet.committed == Some(generation) => switch.committed(),
                    _ => switch.abandoned(self.fleet.committed > Some(generation)),
                }
                event
            }
        }
    }

    fn hear_from_the_fleet(&mut self, news: fleet::News) -> Event {
        match news {
            fleet::News::Event(event) => event,
            fleet::News::Read { generation, source, read } => self.take_read(generation, source, read),
            fleet::News::Followed(chosen) => self.followed(*chosen),
            fleet::News::Asked { chosen, answers } => {
                self.prepare_generation(*chosen, answers.map(|answers| *answers))
            }
            fleet::News::Answered { generation, worker } => {
                if let Some(running) = self.fleet.running.get_mut(&generation) {
                    running.know_worker(worker);
                    if let Some(master) = running.master(generation) {
                        tokio::spawn(master.watch(self.fleet.news.clone()));
                    }
                }
                Event::TimePassed
            }
            fleet::News::Replaced { generation, worker } => {
                let Some(running) = self.fleet.running.get_mut(&generation) else { return Event::TimePassed };
                running.know_worker(worker);
                Event::Replaced { generation, worker }
            }
            fleet::News::Cut { generation, sessions } => {
                self.front.note_what_is_cut(generation, sessions);
                self.cut(generation, sessions);
                Event::TimePassed
            }
            fleet::News::State(told) => {
                self.hear_state(told);
                Event::TimePassed
            }
            fleet::News::Programs { generation, declared } => self.fleet.programs_known(generation, declared),
            fleet::News::Proved { generation, proof, sockets, .. } if self.is_tried(generation) => {
                if let Some(running) = self.fleet.running.get_mut(&generation) {
                    running.settle();
                }
                self.trial_proved(&sockets);
                Event::Proved { generation, proof }
            }
            fleet::News::Proved { generation, proof, sockets, notices } => {
                if let Some(running) = self.fleet.running.get_mut(&generation) {
                    running.settle();
                    running.needed =
                        running.processes().map(clearway_kernel::memory::resident).sum::<Option<u64>>();
                    if let Some(private) = &mut running.private {
                        private.bound(&sockets);
                    }
                    running.proved = Some(Arc::new(sockets));
                    self.tell.said.found(Subject::BoundTwice, notices);
                }
                Event::Proved { generation, proof }
            }
            fleet::News::StateDue => {
                self.ask_for_state();
                Event::TimePassed
            }
            fleet::News::Changed(files) => {
                info!("changed: {}", watch::listed(&files));
                Event::ReloadAsked(Asker::Watch)
            }
        }
    }

    pub fn hear_of_a_takeover(&mut self, news: takeover::News) -> Event {
        let had_the_name = self.peers.succession.has_the_name();
        // It may have died in the middle of a switch; while we switch ourselves, it has not been given our sockets yet.
        if matches!(&news, takeover::News::Gone(peer) if self.peers.succession.has_given_to(*peer)) {
            self.cutover.others.inherit(&self.custody.sockets());
        }
        let is_holder = matches!(news, takeover::News::Holder(_));
        let event = self.peers.succession.hear(news);
        if is_holder {
            self.tell_the_holder();
        }
        if self.peers.succession.has_no_name() {
            match self.peers.place.take_the_name() {
                Ok(Some(lock)) => self.peers.succession.hold_the_name(lock),
                Ok(None) => {}
                Err(failure) => self.peers.succession.try_again_for_the_name(&failure),
            }
        }
        if self.peers.succession.has_the_name()
            && !had_the_name
            && let Some(file) = self.peers.place.replace_file(&self.settings.run_directory)
        {
            self.peers.succession.serve_file(file);
        }
        event
    }

    /// Begins with the sockets of a predecessor.
    pub fn inherit(&mut self, mut inheritance: takeover::Inheritance) -> Result<(), Failure> {
        self.inherit_state(inheritance.state.take());
        let sockets = std::mem::take(&mut inheritance.sockets);
        let count = self.custody.inherit(sockets).map_err(|why| succession::unusable(&why))?;
        self.peers.succession.inherit(inheritance, count)
    }

    /// Begins with what a holder has, or systemd, if no predecessor gave any.
    pub fn begin_with(&mut self, holder: Option<Kept>) {
        if let Some(Kept { wire, sockets, state }) = holder {
            self.inherit_state(state);
            self.peers.succession.talk_to(wire);
            self.custody.begin_with(sockets, KeptBy::Holder);
        }
        self.custody.begin_with(self.tell.systemd.kept(), KeptBy::Systemd);
        self.cutover.others.inherit(&self.custody.sockets());
    }

    /// The loop is over: the last answers, and the last words to other Clearways. Does not wait for long.
    pub async fn finish(&mut self, code: ExitCode) {
        self.front.end(code);
        self.peers.succession.finish().await;
        self.fleet.hear_programs_out().await;
    }

    pub fn leave(&mut self, code: ExitCode) -> ExitCode {
        self.peers.succession.leave_aside();
        self.peers.place.leave();
        self.fleet.stand_in.end();
        let mut residue = false;
        if let Err(error) = self.cutover.redirection.remove() {
            residue = true;
            error!(
                "removing the table that sends clients to private ports: {error} (`clearway cleanup` tries again)"
            );
        }
        residue |= self.path.leave(code);
        let code = if residue && code == ExitCode::Done { ExitCode::Residue } else { code };
        self.tell.systemd.hear(&Action::Report(Report::Leaving { exit_code: code }));
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
