//! The shell around the core: it carries out what [`Supervisor`](clearway_core::supervisor::Supervisor)
//! decides, and tells it what happened.
//!
//! It owns the processes, the sockets in custody, the plumbing and whoever waits for an answer. It makes no
//! decisions about the order of things.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clearway_core::exit::ExitCode;
use clearway_core::names::Generation;
use clearway_core::settings::Settings;
use clearway_core::strategy::Strategy;
use clearway_core::supervisor::{Action, Answer, Event, Failure, Proof, Report, RequestId, Source};
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::drift::Imprint;
use clearway_haproxy::getsocks::ReceivedSocket;
use clearway_kernel::plumbing::{Closing, Plumbing};
use clearway_kernel::queues::Listener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::admin::Answered;
use crate::admin::place::Place;
use crate::obstacles::Obstacle;
use crate::systemd::Systemd;
use crate::takeover::wire::Wire;
use crate::upkeep::Upkeep;
use crate::watch::Watch;
use crate::{log, takeover};

mod answers;
mod asking;
mod backlog;
mod canary;
mod carry;
mod child;
pub mod custody;
mod deaf;
mod devices;
mod ends;
pub mod failure;
mod foreign;
mod hand_over;
mod keeper;
mod launch;
mod master;
mod memory;
mod named;
mod neighbours;
mod network;
mod open_files;
mod paths;
mod prepare;
mod program;
mod prove;
mod reading;
pub mod reaper;
pub mod redirection;
mod said;
mod servers;
mod sessions;
mod sidecars;
pub mod stand_in;
pub mod state;
mod succession;
mod switch;
pub mod thread;
mod trial;
mod words;

pub use child::{Descriptors, is_inherited};
pub use open_files::OpenFiles;
pub use prepare::{MOST_ADDRESSES, may_be_foreign};
pub use program::Program;
pub use reading::read_with;
pub use succession::{Succession, door};

use asking::Answers;
use canary::Canary;
use custody::Custody;
use foreign::Others;
use launch::Running;
use memory::Memory;
use named::Named;
use neighbours::Ours;
use network::Network;
use prepare::Prepared;
use reading::{Chosen, Known};
use redirection::{Redirection, Turned};
use said::{Said, Subject};
use servers::Servers;
use sessions::Ending;
use sidecars::{Declared, Sidecars};
use stand_in::StandIn;
use state::{Snapshot, State};
use switch::{Cancel, Manners, Switch};
use trial::Trial;

/// What threads and tasks of the shell tell the loop.
#[derive(Debug)]
pub enum Inner {
    /// Something for the core.
    Event(Event),
    /// The worker of a generation has said its number.
    Answered {
        /// Which.
        generation: Generation,
        /// The number.
        worker: u32,
    },
    /// A generation's own master has replaced its worker.
    Replaced {
        /// Which generation.
        generation: Generation,
        /// The new worker.
        worker: u32,
    },
    /// A generation that was told to drain by way of its master may not have heard it.
    DrainAgain(Generation),
    /// Those who came to us before our clients were given back to others have been waited for.
    GaveBack,
    /// A generation that is to be cut has said how many sessions it has, if it has.
    Cut {
        /// Which.
        generation: Generation,
        /// How many.
        sessions: Option<u64>,
    },
    /// A generation has proved itself; its sockets go into custody if the core commits it.
    Proved {
        /// Which.
        generation: Generation,
        /// For the core.
        proof: Proof,
        /// For the shell.
        custody: Custody,
        /// For the log, each line once.
        notices: Vec<String>,
    },
    /// The files were read for a generation, or not.
    Read {
        /// Which.
        generation: Generation,
        /// From where it is to be started.
        source: Source,
        /// What they say.
        read: Result<Known, Failure>,
    },
    /// What those name was looked at, as far as it answers.
    Followed(Chosen),
    /// HAProxy was asked what must be known before it is started.
    Asked {
        /// What is to be started.
        chosen: Chosen,
        /// What it has answered.
        answers: Result<Answers, Failure>,
    },
    /// What [`Action::Switch`] has come to.
    Switched(Switch),
    /// Another Clearway says something.
    Takeover(takeover::News),
    /// The state of a generation's servers, if it said so.
    State(state::Told),
    /// What the canary has come to.
    Canary {
        /// In which round.
        round: clearway_core::canary::schedule::Round,
        /// Of each server.
        outcomes: Vec<(SocketAddr, clearway_kernel::canary::Outcome)>,
        /// What is in the way, as far as it is a problem.
        obstacles: Vec<Obstacle>,
    },
    /// What there is to know of the programs of a generation that serves.
    Programs {
        /// Which generation.
        generation: Generation,
        /// Its sections, and the environment for them.
        declared: Declared,
    },
    /// Others that listen where we do, a line for each: all of them, or none.
    Strangers(Vec<String>),
}

/// Everything that Clearway holds.
#[derive(Debug)]
pub struct Shell {
    settings: Settings,
    invocation: Invocation,
    program: Program,
    descriptors: Descriptors,
    place: Place,
    inner: UnboundedSender<Inner>,
    custody: Arc<Custody>,
    /// For which generation the files are read and looked at.
    preparing: Option<Generation>,
    reading: thread::Single,
    /// The same for the paths of Unix sockets.
    looking: thread::Single,
    network: Network,
    /// For which of them HAProxy is asked questions.
    asking: thread::Single,
    /// The same for the status.
    comparing: thread::Single,
    /// What is only tried.
    trial: Option<Trial>,
    /// Which generation is the second start of one that lacked only the descriptors that Clearway adds.
    lenient: Option<Generation>,
    prepared: BTreeMap<Generation, Prepared>,
    /// What generations were started from that serve, or that served before.
    configurations: BTreeMap<Generation, Known>,
    running: BTreeMap<Generation, Running>,
    /// The programs of `program` sections.
    sidecars: Sidecars,
    plumbing: Option<Plumbing>,
    waiting: HashMap<RequestId, oneshot::Sender<Answered>>,
    requests: u64,
    /// Who waits until a generation is gone.
    ending: Vec<Ending>,
    said: Said,
    /// The memory limit, and whether somebody was killed for it.
    memory: Memory,
    /// What the serving generation was started from.
    imprint: Option<Arc<Imprint>>,
    /// What its files name, as that was seen then.
    named: Option<Arc<Named>>,
    /// The same for the files that a configuration names.
    naming: thread::Single,
    /// What the last generation has not read of what is on the host, each with what mends it.
    not_read: Vec<String>,
    /// To whom clients are brought, until it is committed or not.
    switch: Option<Switch>,
    /// What tells the thread that does so that it need not any more, and for whom; until that is committed or not.
    switching: Option<(Generation, Cancel)>,
    /// The sockets that our first generation did not use, and those of them that nobody is steered away from: until the
    /// predecessor has been told that we serve.
    kept_by_predecessor: Option<(Arc<Custody>, Vec<Listener>)>,
    /// Who was committed last, dead or alive.
    committed: Option<Generation>,
    /// Who serves.
    serving: Option<Serving>,
    /// What a generation is told of as its predecessor.
    stand_in: StandIn,
    /// Where new clients are sent, if generations have private ports.
    redirection: Redirection,
    /// Who listened where we do before we did.
    others: Others,
    /// What is to drain when those have been waited for who came here before the others got their clients back.
    giving_back: Option<Vec<Generation>>,
    /// Set if something could not be taken out of the kernel.
    residue: bool,
    /// Other Clearways of this name.
    pub succession: Succession,
    /// The files of the last generation that was prepared.
    pub watch: Watch,
    /// What is known of the servers of the generation that serves, or served last.
    pub state: State,
    /// Where the transparent servers are.
    pub servers: Servers,
    /// Whether they find the way to clients.
    pub canary: Canary,
    /// Whether somebody removes parts of the plumbing.
    pub upkeep: Upkeep,
    /// Who has started us, if that was systemd.
    systemd: Systemd,
}

impl Shell {
    /// A shell that has done nothing yet.
    pub fn new(
        settings: Settings,
        invocation: Invocation,
        descriptors: Descriptors,
        place: Place,
        inner: UnboundedSender<Inner>,
        succession: Succession,
        systemd: Systemd,
    ) -> Self {
        Self {
            program: Program::new(invocation.program.clone()),
            watch: Watch::new(settings.watch, settings.watch_quiet),
            invocation,
            descriptors,
            place,
            inner,
            custody: Arc::default(),
            preparing: None,
            reading: thread::Single::default(),
            looking: thread::Single::default(),
            asking: thread::Single::default(),
            comparing: thread::Single::default(),
            trial: None,
            lenient: None,
            prepared: BTreeMap::new(),
            configurations: BTreeMap::new(),
            running: BTreeMap::new(),
            sidecars: Sidecars::default(),
            plumbing: None,
            waiting: HashMap::new(),
            requests: 0,
            ending: Vec::new(),
            said: Said::default(),
            network: Network::new(),
            memory: Memory::watch(),
            imprint: None,
            named: None,
            naming: thread::Single::default(),
            not_read: Vec::new(),
            switch: None,
            switching: None,
            kept_by_predecessor: None,
            committed: None,
            serving: None,
            stand_in: StandIn::default(),
            redirection: Redirection::default(),
            others: Others::default(),
            giving_back: None,
            residue: false,
            state: State::default(),
            servers: Servers::default(),
            canary: Canary::new(&settings),
            succession,
            upkeep: Upkeep::default(),
            systemd,
            settings,
        }
    }

    /// Carries one action out. What comes of it at once is answered as an event; an exit code ends the loop.
    pub fn carry_out(&mut self, action: Action) -> Outcome {
        self.systemd.hear(&action);
        match action {
            Action::Prepare(generation, source) => self.read(generation, source),
            Action::Try(generation) => self.begin_trial(generation),
            Action::Launch(generation) => return Outcome::Event(self.launch_generation(generation)),
            Action::Abandon(generation) => {
                self.preparing.take_if(|one| *one == generation);
                self.prepared.remove(&generation);
                self.end_trial(generation);
                // Its configuration has never served.
                self.configurations.remove(&generation);
                self.sidecars.forget(generation);
                if let Some(running) = self.running.get_mut(&generation) {
                    running.give_up();
                }
                self.cancel_switch(generation);
            }
            Action::Commit(generation) => {
                self.commit(generation);
                return self.find_programs(generation).map_or(Outcome::Nothing, Outcome::Event);
            }
            Action::Program(action) => {
                return self.do_with_program(action).map_or(Outcome::Nothing, Outcome::Event);
            }
            Action::RememberOnly(wanted) => self.configurations.retain(|one, _| wanted.contains(one)),
            Action::Carry(generation) => return self.carry(generation),
            Action::Switch(generation) => return self.switch(generation),
            Action::Survey(generations) => self.survey(&generations),
            Action::Drain(generation) => self.drain(generation),
            Action::End(generation, how) => self.end(generation, how),
            Action::ReleaseCustody => {
                self.redirection.release();
                self.give_back();
                self.systemd.stop(self.succession.release_at_once);
                self.succession.release();
                self.custody = Arc::default();
                self.running.values_mut().for_each(Running::give_up);
                self.stop_intercepting();
            }
            Action::HandOver(peer) => {
                self.redirection.hand_over();
                let state = self.question();
                self.succession.hand_over(peer, Arc::clone(&self.custody), state);
            }
            Action::Decline(peer, why) => self.succession.decline(peer, why),
            Action::Relieve(peer) => {
                self.others.pause(true);
                self.redirection.relieve();
                self.succession.relieve(peer);
            }
            Action::TakeBack => {
                self.others.inherit(&self.custody);
                self.others.pause(false);
                self.redirection.take_back();
                self.succession.take_back();
            }
            Action::Supersede => {
                self.succession.supersede();
                self.close_what_the_predecessor_keeps();
            }
            Action::Settled => self.succession.settled(),
            Action::GiveBack => {
                // What the switch of an attempt has done, which is over now, or is told so by its own thread.
                self.custody.unseal();
                self.redirection.release();
                self.succession.give_back();
            }
            // What is closed opens only if somebody wants that: when we leave, it is known.
            Action::Unplumb if self.settings.interception.is_closed() => {}
            Action::Unplumb => self.unplumb(Closing::Goes),
            Action::Answer(request, mut answer) => {
                if let Answer::Tried { changes, .. } = &mut answer {
                    *changes = self.take_changes();
                }
                if let Some(sender) = self.waiting.remove(&request) {
                    // Whoever asked may have gone.
                    let _ = sender.send(Answered { answer, not_read: self.not_read.clone() });
                }
            }
            Action::Report(report) => log::report(&report),
            Action::Exit(code) => return Outcome::Exit(self.leave(code)),
        }
        Outcome::Nothing
    }

    /// The generation serves: what it uses is what custody holds.
    fn commit(&mut self, generation: Generation) {
        let Some(running) = self.running.get_mut(&generation) else { return };
        running.keep();
        let ways = running.private.as_ref().map(|private| private.ways.clone());
        let proved = running.proved.take();
        self.imprint = Some(Arc::clone(&running.imprint));
        self.named.clone_from(&running.named);
        let predecessor_knows = self.committed.is_some();
        self.switching.take_if(|(one, _)| *one == generation);
        // Before anything is closed that clients may still be sent to.
        self.committed = Some(generation);
        if let Some(ways) = ways {
            let has_turned = |switch: &Switch| switch.generation == generation && switch.has_turned();
            let turned =
                if self.switch.as_ref().is_some_and(has_turned) { Turned::Already } else { Turned::NotYet };
            self.redirection.commit(generation, &ways, turned);
        }
        if let Some(custody) = proved {
            let former = std::mem::replace(&mut self.custody, custody);
            if let Some(switch) = self.switch.as_ref().filter(|one| one.generation == generation)
                && self.succession.has_predecessor()
            {
                self.kept_by_predecessor = Some((Arc::clone(&former), switch.alone().to_vec()));
                if predecessor_knows {
                    self.close_what_the_predecessor_keeps();
                }
            }
            backlog::apply(&self.custody);
            self.succession.keep(&self.custody);
            self.systemd.keep(&self.custody);
            self.others.steer_round(&self.custody);
            self.ours().and(&former).look(self.inner.clone());
        }
        self.serving = Some(Serving::begins(generation));
        if let Some(switch) = self.switch.take_if(|one| one.generation == generation) {
            switch.committed();
        }
        // There may be plumbing that only a former generation needs, and lines whose condition does not hold.
        let configuration = self.configurations.get(&generation).map(|known| &known.configuration);
        if let (Some(configuration), Some(running)) = (configuration, self.running.get(&generation)) {
            self.state.serves(generation, configuration, running);
        }
        let transparent = configuration.filter(|one| self.plumbing.is_some() && one.is_transparent());
        if transparent.is_some() {
            self.canary.wake();
        } else {
            self.canary.rest();
        }
        self.servers.serve(transparent.map(|one| &**one));
    }

    /// The predecessor keeps the former sockets for a while, to come back perhaps: those that would go on getting clients
    /// do not listen until then. Not before it has been told that it may drain: its HAProxy would not accept any more, even
    /// if they did listen again.
    fn close_what_the_predecessor_keeps(&mut self) {
        if let Some((former, listeners)) = self.kept_by_predecessor.take() {
            former.hear_no_more(&listeners);
        }
    }

    /// What is ours, also what a generation uses that has not been committed.
    fn ours(&self) -> Ours {
        let own = std::iter::once(std::process::id());
        let processes = own.chain(self.running.values().flat_map(Running::processes));
        let settling = self.running.values().filter_map(|running| running.proved.as_deref());
        settling.fold(Ours::of(&self.custody, processes, self.others.clone()), Ours::and)
    }

    /// The generation will not be committed: its clients go back to who serves, as soon as the thread hears of it.
    fn cancel_switch(&mut self, generation: Generation) {
        if let Some((_, cancel)) = self.switching.take_if(|(one, _)| *one == generation) {
            cancel.now();
        }
        if let Some(switch) = self.switch.take_if(|one| one.generation == generation) {
            switch.abandoned(false);
        }
    }

    fn switch(&mut self, generation: Generation) -> Outcome {
        let Some(new) = self.running.get(&generation).and_then(|running| running.proved.as_ref()) else {
            return Outcome::Event(Event::Switched { generation, moved: Vec::new() });
        };
        let Settings { strategy, instance, ports, .. } = &self.settings;
        // It keeps its sockets for a while: no gate can wait until they are closed.
        let strategy = if self.succession.has_predecessor() { Strategy::Handoff } else { *strategy };
        let private = self.running.get(&generation).and_then(|running| running.private.as_ref());
        let turn = private.and_then(|private| self.redirection.turn_to(&private.ways));
        let (instance, ports) = (instance.clone(), ports.clone());
        let manners = Manners { strategy, instance, ports, turn };
        match switch::begin(generation, manners, &self.custody, new, self.inner.clone()) {
            Ok(cancel) => {
                self.switching = Some((generation, cancel));
                Outcome::Nothing
            }
            Err(event) => Outcome::Event(event),
        }
    }

    fn prepare_generation(&mut self, chosen: Chosen, answers: Result<Answers, Failure>) -> Event {
        let generation = chosen.generation;
        // It may have been abandoned while HAProxy was asked.
        if self.preparing.take_if(|one| *one == generation).is_none() {
            return Event::TimePassed;
        }
        match answers.and_then(|answers| self.prepare(chosen, answers)) {
            Ok(prepared) => {
                let (plumbing, most_reloads) = (prepared.needs, prepared.most_reloads);
                self.prepared.insert(generation, prepared);
                Event::Prepared { generation, plumbing, most_reloads }
            }
            Err(failure) => Event::Failed { generation, failure },
        }
    }

    fn launch_generation(&mut self, generation: Generation) -> Event {
        let Some(prepared) = self.prepared.remove(&generation) else {
            let failure = Failure::new(ExitCode::Internal, "a generation was launched that was not prepared");
            return Event::Failed { generation, failure };
        };
        match self.launch(generation, prepared) {
            Ok(running) => {
                let pid = running.pid;
                self.running.insert(generation, running);
                Event::Started { generation, pid }
            }
            Err(failure) => Event::Failed { generation, failure },
        }
    }

    /// What a thread or task has to say, as an event for the core.
    pub fn hear(&mut self, inner: Inner) -> Event {
        match inner {
            Inner::Event(event) => {
                if let Event::LastWords { generation, failure } = &event
                    && failure.again
                    && self.lenient != Some(*generation)
                {
                    self.lenient = Some(generation.next());
                }
                event
            }
            Inner::Read { generation, source, read } => self.take_read(generation, source, read),
            Inner::Followed(chosen) => self.followed(chosen),
            Inner::Asked { chosen, answers } => self.prepare_generation(chosen, answers),
            Inner::Answered { generation, worker } => {
                if let Some(running) = self.running.get_mut(&generation) {
                    running.know_worker(worker);
                    if let Some(master) = running.master(generation) {
                        tokio::spawn(master.watch(self.inner.clone()));
                    }
                }
                Event::TimePassed
            }
            Inner::Replaced { generation, worker } => {
                let Some(running) = self.running.get_mut(&generation) else { return Event::TimePassed };
                running.know_worker(worker);
                Event::Replaced { generation, worker }
            }
            Inner::DrainAgain(generation) => {
                self.signal_drain(generation);
                Event::TimePassed
            }
            Inner::GaveBack => {
                self.gave_back();
                Event::TimePassed
            }
            Inner::Cut { generation, sessions } => {
                self.note_what_is_cut(generation, sessions);
                self.cut(generation, sessions);
                Event::TimePassed
            }
            Inner::Takeover(news) => self.hear_of_a_takeover(news),
            Inner::State(told) => {
                self.hear_state(told);
                Event::TimePassed
            }
            Inner::Canary { round, outcomes, obstacles } => {
                self.canary.hear(round, outcomes, obstacles);
                Event::TimePassed
            }
            Inner::Programs { generation, declared } => self.programs_known(generation, declared),
            Inner::Strangers(lines) => {
                self.said.found(Subject::Strangers, lines);
                Event::TimePassed
            }
            Inner::Switched(mut switch) => {
                let event = switch.event();
                let generation = switch.generation;
                // It may have ended or been given up meanwhile, or was committed without waiting any longer.
                match self.running.get(&generation) {
                    Some(running) if running.proved.is_some() => self.switch = Some(switch),
                    _ if self.committed == Some(generation) => switch.committed(),
                    _ => switch.abandoned(self.committed > Some(generation)),
                }
                event
            }
            Inner::Proved { generation, proof, custody, .. } if self.is_tried(generation) => {
                if let Some(running) = self.running.get_mut(&generation) {
                    running.settle();
                }
                self.trial_proved(&custody);
                Event::Proved { generation, proof }
            }
            Inner::Proved { generation, proof, custody, notices } => {
                if let Some(running) = self.running.get_mut(&generation) {
                    running.settle();
                    running.needed =
                        running.processes().map(clearway_kernel::memory::resident).sum::<Option<u64>>();
                    if let Some(private) = &mut running.private {
                        private.bound(&custody);
                    }
                    running.proved = Some(Arc::new(custody));
                    self.said.found(Subject::BoundTwice, notices);
                }
                Event::Proved { generation, proof }
            }
        }
    }

    fn hear_of_a_takeover(&mut self, news: takeover::News) -> Event {
        let had_the_name = self.succession.has_the_name();
        // It may have died in the middle of a switch; while we switch ourselves, it has not been given our sockets yet.
        if matches!(&news, takeover::News::Gone(peer) if self.succession.has_given_to(*peer)) {
            self.others.inherit(&self.custody);
        }
        let is_holder = matches!(news, takeover::News::Holder(_));
        let event = self.succession.hear(news);
        if is_holder {
            self.tell_the_holder();
        }
        if self.succession.has_no_name() {
            match self.place.take_the_name() {
                Ok(Some(lock)) => self.succession.hold_the_name(lock),
                Ok(None) => {}
                Err(failure) => self.succession.try_again_for_the_name(&failure),
            }
        }
        if self.succession.has_the_name()
            && !had_the_name
            && let Some(file) = self.place.replace_file(&self.settings.run_directory)
        {
            self.succession.serve_file(file);
        }
        event
    }

    /// Begins with the sockets of a predecessor.
    pub fn inherit(&mut self, mut inheritance: takeover::Inheritance) -> Result<(), Failure> {
        self.inherit_state(inheritance.state.take());
        self.custody = Arc::new(self.succession.inherit(inheritance)?);
        self.others.inherit(&self.custody);
        Ok(())
    }

    /// Begins with what a holder has, if nobody else gave any.
    pub fn begin_with(&mut self, wire: Arc<Wire>, sockets: Vec<ReceivedSocket>, state: Option<Snapshot>) {
        self.inherit_state(state);
        let custody = self.succession.know_holder(wire, sockets);
        if self.custody.sockets().is_empty() {
            self.custody = Arc::new(custody);
            self.others.inherit(&self.custody);
        }
    }

    /// Begins with what systemd has kept, if nobody else gave any.
    pub fn begin_with_stored(&mut self) {
        let custody = self.systemd.kept();
        if self.custody.sockets().is_empty() {
            self.custody = Arc::new(custody);
            self.others.inherit(&self.custody);
        }
    }

    /// Nobody of ours listens any more, or another Clearway has the listeners.
    fn stop_intercepting(&mut self) {
        if let Some(Err(error)) = self.plumbing.as_mut().map(Plumbing::stop_intercepting) {
            warn!("new connections may still be intercepted: {error}");
        }
    }

    fn unplumb(&mut self, closing: Closing) {
        // Before anything goes: what we remove ourselves is not to be put back.
        self.upkeep.end();
        let Some(mut plumbing) = self.plumbing.take() else { return };
        match plumbing.remove_but(closing) {
            Ok(()) if closing == Closing::Stays => warn!(
                "the transparent plumbing is out of the kernel, but for the rules that reject what was intercepted: \
                 until the next start, or `clearway cleanup`"
            ),
            Ok(()) => info!("the transparent plumbing is out of the kernel"),
            Err(errors) => {
                self.residue = true;
                log::failure(&failure::left_behind(&errors));
            }
        }
    }

    fn leave(&mut self, code: ExitCode) -> ExitCode {
        self.succession.leave_aside();
        self.place.leave();
        self.stand_in.end();
        if let Err(error) = self.redirection.remove() {
            self.residue = true;
            error!(
                "removing the table that sends clients to private ports: {error} (`clearway cleanup` tries again)"
            );
        }
        self.unplumb(if code == ExitCode::Done { Closing::Goes } else { Closing::Stays });
        let code = if self.residue && code == ExitCode::Done { ExitCode::Residue } else { code };
        self.systemd.hear(&Action::Report(Report::Leaving(code)));
        log::report(&Report::Leaving(code));
        code
    }
}

/// The generation that was committed last, as long as its process lives.
#[derive(Debug)]
struct Serving {
    generation: Generation,
    /// Cleared when it is gone: seen by the thread that hands its sockets over.
    alive: Arc<AtomicBool>,
}

impl Serving {
    fn begins(generation: Generation) -> Self {
        Self { generation, alive: Arc::new(AtomicBool::new(true)) }
    }

    fn ends(self) {
        self.alive.store(false, Ordering::Relaxed);
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
