//! A shell that lies, dawdles and dies at random, and invariants after every step.
//!
//! A failure prints its seed; put it into [`SEEDS_THAT_FAILED`] and mend the rule.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::*;
use super::end;
use crate::settings::ApplySetting;

mod apply;

use apply::AtRunTime;

/// Seeds that once broke an invariant: they stay.
const SEEDS_THAT_FAILED: &[u64] = &[];

const LIMITS: Limits = Limits {
    drain: Duration::from_secs(20),
    stop_delay: Duration::from_secs(1),
    takeover_drain: Duration::from_secs(40),
    ready: Duration::from_secs(10),
    settle: Duration::from_millis(200),
    old: Budget { generations: 3, age: Some(Duration::from_mins(10)), memory: Some(1000) },
    apply: ApplySetting::Reload,
    interrupted: ExitCode::Interrupted,
};

/// What the imagined shell knows of a process.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Process {
    Preparing,
    Running { told_to_finish: bool },
}

struct Simulation {
    random: fastrand::Rng,
    supervisor: Supervisor,
    now: Duration,
    processes: BTreeMap<Generation, Process>,
    /// Those that are gone and have not been heard to the end.
    speaking: Vec<(Generation, Failure)>,
    committed: Option<Generation>,
    /// Those that had proved themselves.
    proved: BTreeSet<Generation>,
    /// The configurations that the shell still has, and those that have served.
    remembered: BTreeSet<Generation>,
    configuration: BTreeMap<Generation, Generation>,
    /// What the files of each configuration say.
    texts: BTreeMap<Generation, u8>,
    /// What serves or served last, and what a rollback is to bring back.
    served_text: Option<u8>,
    text_before: Option<u8>,
    /// The attempts that are rollbacks, each with what it is to bring back.
    rollbacks: BTreeMap<Generation, u8>,
    /// The requests for one that were not answered yet.
    rollbacks_asked: BTreeSet<u64>,
    /// What a rollback has brought back, until something else was read from the disk.
    rolled_back: Option<u8>,
    /// Those that are only tried.
    trials: BTreeSet<Generation>,
    /// Those that have not heard that they are to drain: they had not proved themselves.
    deaf: BTreeSet<Generation>,
    /// What the last words of these were: they lacked only the descriptors that Clearway adds.
    lacking: BTreeSet<Generation>,
    /// Those that were started without these.
    lenient: BTreeSet<Generation>,
    /// Those that were warned about.
    warned: BTreeSet<Generation>,
    custody: bool,
    plumbed: bool,
    at_run_time: AtRunTime,
    asked: u64,
    /// The requests that wait for their answer.
    unanswered: BTreeSet<u64>,
    exit: Option<ExitCode>,
    stopping_since: Option<Duration>,
    /// When the first `SIGTERM` came.
    told_to_stop: Option<Duration>,
    /// What the shell will answer when it comes to it.
    switch_done: Option<Generation>,
    /// Those that are being given the state of their servers, and since when.
    carrying: BTreeMap<Generation, Duration>,
    carried: BTreeSet<Generation>,
    surveys: Option<Vec<Survey>>,
    /// What has the sockets beside us: a successor that starts, or that serves.
    peer: Option<(Peer, bool)>,
    peers: u64,
    /// Whether the sockets are a predecessor's, which serves.
    predecessor: bool,
    /// How late the shell was woken: the machine had been suspended.
    late: Duration,
    events: VecDeque<Event>,
    /// The processes of programs, and the last signal that each has got.
    programs: BTreeMap<programs::ProgramId, Option<programs::ProgramSignal>>,
}

/// The steps of an attempt are all of it.
fn adds_up(attempted: &Attempted) {
    let Steps { plan, apply, prepare, prove, carry, settle, switch, end } = attempted.steps;
    assert_eq!(plan + apply + prepare + prove + carry + settle + switch + end, attempted.took);
    let went_well = matches!(attempted.result, AttemptResult::Took | AttemptResult::Applied);
    assert_eq!(attempted.failure.is_none(), went_well);
}

impl Simulation {
    fn run(seed: u64) {
        let mut it = Self {
            random: fastrand::Rng::with_seed(seed),
            supervisor: Supervisor::new(LIMITS),
            now: Duration::ZERO,
            processes: BTreeMap::new(),
            speaking: Vec::new(),
            committed: None,
            proved: BTreeSet::new(),
            remembered: BTreeSet::new(),
            configuration: BTreeMap::new(),
            texts: BTreeMap::new(),
            served_text: None,
            text_before: None,
            rollbacks: BTreeMap::new(),
            rollbacks_asked: BTreeSet::new(),
            rolled_back: None,
            trials: BTreeSet::new(),
            deaf: BTreeSet::new(),
            lacking: BTreeSet::new(),
            lenient: BTreeSet::new(),
            warned: BTreeSet::new(),
            custody: false,
            plumbed: false,
            at_run_time: AtRunTime::default(),
            asked: 0,
            unanswered: BTreeSet::new(),
            exit: None,
            stopping_since: None,
            told_to_stop: None,
            switch_done: None,
            carrying: BTreeMap::new(),
            carried: BTreeSet::new(),
            surveys: None,
            peer: None,
            peers: 0,
            predecessor: false,
            late: Duration::ZERO,
            events: VecDeque::new(),
            programs: BTreeMap::new(),
        };
        if it.random.bool() {
            it.supervisor = Supervisor::new(Limits { apply: ApplySetting::Auto, ..LIMITS });
        }
        if it.random.u8(0..4) == 0 {
            it.supervisor = it.supervisor.succeeding();
            (it.predecessor, it.custody) = (true, true);
        }
        it.step(Event::Begin);
        for _ in 0..300 {
            if it.exit.is_some() {
                break;
            }
            it.something_happens();
        }
        it.come_to_an_end();
        assert!(it.exit.is_some(), "seed {seed}: it never left");
        let killed = it.programs.values().all(|told| *told == Some(programs::ProgramSignal::Kill));
        assert!(killed, "seed {seed}: a program runs on: {:?}", it.programs);
        assert!(!it.plumbed && !it.custody, "seed {seed}: something was left behind");
        assert!(it.unanswered.is_empty(), "seed {seed}: these still wait for an answer: {:?}", it.unanswered);
    }

    fn something_happens(&mut self) {
        let some = self.random.usize(0..self.processes.len().max(1));
        let target = self.processes.iter().nth(some).map(|(generation, process)| (*generation, *process));
        let failure =
            Failure { closed: self.random.bool(), ..Failure::new(ExitCode::ConfigurationRefused, "made up") };
        let failure = Failure { lacks_only_ours: self.random.u8(0..4) == 0, ..failure };
        let (long, short) = (self.random.u64(0..15_000), self.random.u64(0..50));
        match (self.random.u8(0..32), target) {
            (29.., _) => self.a_plan_goes_on(),
            (27.., _) => self.asks_to_apply(),
            (25.., _) => self.a_rollback_is_asked_for(),
            (23.., _) => self.a_program_ends(),
            (20, _) => self.the_other_one_does_something(),
            (21, _) if self.predecessor => {
                self.predecessor = false;
                match self.random.u8(0..4) {
                    0 => self.step(Event::Withdrawn(failure)),
                    _ => self.step(Event::PredecessorGone),
                }
            }
            // The machine was suspended, for long: nothing woke in time.
            (22, _) if self.random.u8(0..5) == 0 => {
                let slept = Duration::from_secs(self.random.u64(0..100_000));
                self.now += slept;
                self.late += slept;
                self.step(Event::TimePassed);
            }
            (1, _) if self.switch_done.is_some() => {
                let generation = self.switch_done.take().unwrap();
                self.step(Event::Switched { generation, moved: Vec::new() });
            }
            (2 | 3, _) if !self.carrying.is_empty() && self.random.bool() => {
                let generation = *self.carrying.keys().next().unwrap();
                self.has_carried(generation);
            }
            (2..=4, _) if self.surveys.is_some() => {
                let surveys = self.surveys.take().unwrap();
                self.step(Event::Surveyed(surveys));
            }
            (5..=7, _) if !self.speaking.is_empty() => self.last_words(),
            (0, _) => self.step(Event::ReloadAsked(Asker::Signal("SIGHUP"))),
            (1, Some((generation, _))) if self.random.u8(0..5) == 0 => {
                let hears =
                    self.processes.get(&generation) == Some(&Process::Running { told_to_finish: true });
                if hears || self.deaf.contains(&generation) {
                    self.warned.insert(generation);
                }
                self.step(Event::EndAsked(generation));
            }
            (1, _) => self.step(Event::ReloadAsked(Asker::Watch)),
            (2, _) => {
                let request = self.request();
                self.step(Event::ReloadAsked(Asker::Admin(request)));
            }
            (3, _) if self.random.u8(0..10) == 0 => self.stop(),
            (3, _) => {
                let request = self.request();
                self.step(Event::TrialAsked(request));
            }
            (4, _) => self.time_passes(Duration::from_millis(long)),
            (5, _) => self.time_passes(Duration::from_millis(short)),
            (6..=9, Some((generation, Process::Preparing))) => self.prepared(generation),
            (10, Some((generation, Process::Preparing))) => {
                self.processes.remove(&generation);
                self.step(Event::Failed { generation, failure });
            }
            (6..=12, Some((generation, Process::Running { .. }))) => self.proved(generation),
            (13, Some((generation, Process::Running { .. }))) => {
                self.step(Event::Failed { generation, failure });
            }
            (14..=16, Some((generation, Process::Running { told_to_finish: true }))) => {
                self.exited(generation, "exit code 0", failure);
            }
            (17, Some((generation, Process::Running { .. }))) => {
                self.exited(generation, "killed by SIGSEGV", failure);
            }
            (19, Some((generation, _))) if self.carrying.contains_key(&generation) => {
                self.has_carried(generation);
            }
            (19, Some((generation, _))) => self.step(Event::Switched { generation, moved: Vec::new() }),
            // Events about what never was: a shell in confusion.
            (18, _) => self.step(Event::Started { generation: Generation::FIRST, pid: 1 }),
            _ => {}
        }
    }

    fn a_rollback_is_asked_for(&mut self) {
        let request = self.request();
        self.rollbacks_asked.insert(request.0);
        self.step(Event::RollbackAsked(request));
    }

    fn request(&mut self) -> RequestId {
        self.asked += 1;
        self.unanswered.insert(self.asked);
        self.at_run_time.asked(self.asked);
        RequestId(self.asked)
    }

    fn a_program_ends(&mut self) {
        let some = self.random.usize(0..self.programs.len().max(1));
        if let Some(id) = self.programs.keys().nth(some).copied() {
            self.programs.remove(&id);
            let how = "exit code 3".to_owned();
            let how = if self.random.bool() {
                programs::ProgramEnd::Failed(how)
            } else {
                programs::ProgramEnd::Wanted(how)
            };
            self.step(Event::Program(programs::ProgramEvent::Ended(id, how)));
        }
    }

    /// What a generation says of its programs when it serves.
    fn programs_of(&mut self, generation: Generation) -> Event {
        use programs::OnReload::{Anew, Keep};
        let sections = [("a", Anew), ("b", Keep)].into_iter().filter(|_| self.random.bool());
        let sections = sections.map(|(name, on_reload)| programs::ProgramSpec {
            name: name.to_owned(),
            command: vec!["true".to_owned()],
            user: None,
            group: None,
            on_reload,
        });
        Event::Programs { generation, sections: sections.collect(), on_death: programs::OnDeath::Restart }
    }

    /// A successor, or what says that it is one.
    fn the_other_one_does_something(&mut self) {
        match self.peer {
            None if self.random.u8(0..4) == 0 => self.step(Event::PeerGone(Peer(self.peers))),
            None => {
                self.peers += 1;
                self.step(Event::TakeoverAsked(Peer(self.peers)));
            }
            Some((peer, false)) => match self.random.u8(0..3) {
                0 => {
                    self.peer = Some((peer, true));
                    self.step(Event::Superseded(peer));
                }
                1 => self.the_other_one_goes(),
                _ => self.step(Event::SuccessorSettled(peer)), // not true
            },
            Some((peer, true)) => match self.random.u8(0..3) {
                0 => {
                    self.step(Event::SuccessorSettled(peer));
                }
                1 => self.the_other_one_goes(),
                _ => self.step(Event::Superseded(peer)), // a second time
            },
        }
    }

    fn the_other_one_goes(&mut self) {
        if let Some((peer, _)) = self.peer.take() {
            self.step(Event::PeerGone(peer));
        }
    }

    fn prepared(&mut self, generation: Generation) {
        let needs = !self.trials.contains(&generation) && self.random.bool();
        let plumbing = if needs { PlumbingDemand::Needed } else { PlumbingDemand::NotNeeded };
        self.plumbed |= plumbing == PlumbingDemand::Needed;
        let most_reloads = (self.random.u8(0..3) == 0).then(|| self.random.u32(0..3));
        self.step(Event::Prepared { generation, plumbing, most_reloads });
    }

    fn proved(&mut self, generation: Generation) {
        // Now and then an address is bound a second time.
        let twice = if self.random.u8(0..4) == 0 { vec!["[fd00::1]:80".to_owned()] } else { Vec::new() };
        let proof =
            Proof { worker: 1, adopted: vec!["127.0.0.1:81".into()], fresh: twice.clone(), unclaimed: twice };
        if self.supervisor.attempt.as_ref().is_some_and(|attempt| attempt.generation == generation) {
            self.proved.insert(generation);
        }
        self.step(Event::Proved { generation, proof });
    }

    fn has_carried(&mut self, generation: Generation) {
        self.carried.insert(generation);
        let carried = if self.random.bool() { Carried::default() } else { Carried::failed("made up") };
        self.step(Event::Carried { generation, carried });
    }

    fn exited(&mut self, generation: Generation, how: &str, failure: Failure) {
        self.processes.remove(&generation);
        self.deaf.remove(&generation);
        if self.committed == Some(generation) {
            self.committed = None;
        }
        self.at_run_time.ends(generation, self.supervisor.stop.is_some());
        self.step(Event::Exited { generation, end: end(how) });
        self.at_run_time.has_ended();
        if self.random.bool() {
            self.speaking.push((generation, failure));
        } else {
            self.says(generation, failure);
        }
    }

    /// Another process had held the standard error of a process that was gone.
    fn last_words(&mut self) {
        let some = self.random.usize(0..self.speaking.len());
        let (generation, failure) = self.speaking.swap_remove(some);
        self.says(generation, failure);
    }

    fn says(&mut self, generation: Generation, failure: Failure) {
        if failure.lacks_only_ours {
            self.lacking.insert(generation);
        }
        self.step(Event::LastWords { generation, failure });
    }

    fn stop(&mut self) {
        self.told_to_stop.get_or_insert(self.now);
        self.step(Event::StopAsked(Asker::Signal("SIGTERM")));
        if self.random.bool() {
            self.step(Event::StopAsked(Asker::Signal("SIGTERM")));
        }
    }

    fn time_passes(&mut self, duration: Duration) {
        // The shell wakes at every deadline on the way.
        let end = self.now + duration;
        while let Some(deadline) = self.supervisor.due().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            self.step(Event::TimePassed);
        }
        self.now = end;
        self.step(Event::TimePassed);
    }

    /// Stops, and lets processes end as real ones do, or not at all.
    fn come_to_an_end(&mut self) {
        self.stop();
        for _ in 0..100 {
            if self.exit.is_some() {
                return;
            }
            if self.random.bool() {
                self.a_program_ends();
            }
            if self.exit.is_some() {
                return;
            }
            let gone = self.processes.iter().find_map(|(generation, process)| match process {
                Process::Running { told_to_finish: true } => Some(*generation),
                _ => None,
            });
            match gone {
                _ if !self.speaking.is_empty() && self.random.bool() => self.last_words(),
                Some(generation) if self.random.bool() => {
                    self.exited(generation, "exit code 0", Failure::new(ExitCode::Internal, "made up"));
                }
                _ => self.time_passes(Duration::from_secs(5)),
            }
        }
    }

    fn step(&mut self, event: Event) {
        // As the real shell does it: what comes of an action at once is an event after the others of its step.
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            for action in self.supervisor.step(event, self.now) {
                self.carry_out(action);
            }
        }
        self.check_invariants();
    }

    fn carry_out(&mut self, action: Action) {
        assert!(self.exit.is_none(), "{action:?} after the exit");
        match action {
            Action::Prepare(generation, source) => self.prepares(generation, source),
            Action::Try(generation) => self.tries(generation),
            // The disk is full, or there are no descriptors left.
            Action::Plan(generation) => self.plans(generation),
            Action::Apply(generation) => self.applies(generation),
            Action::Adopt { generation, serving } => self.adopts(generation, serving),
            Action::Launch(generation, _) if self.random.u8(0..10) == 0 => {
                self.processes.remove(&generation);
                let failure = Failure::new(ExitCode::Internal, "no space left on device");
                self.events.push_back(Event::Failed { generation, failure });
            }
            Action::Launch(generation, strictness) => {
                self.launches(generation, strictness);
                self.processes.insert(generation, Process::Running { told_to_finish: false });
                self.events.push_back(Event::Started { generation, pid: 1 });
            }
            Action::Abandon(generation) => {
                self.at_run_time.is_given_up(generation);
                if self.processes.get(&generation) == Some(&Process::Preparing) {
                    self.processes.remove(&generation);
                }
            }
            Action::Commit(generation) => self.commits(generation),
            Action::Carry(generation) => {
                assert!(!self.trials.contains(&generation), "a trial accepts");
                assert!(self.proved.contains(&generation), "it does not answer yet");
                assert!(self.carrying.insert(generation, self.now).is_none(), "asked twice");
                if self.random.u8(0..3) > 0 {
                    self.carried.insert(generation);
                    self.events.push_back(Event::Carried { generation, carried: Carried::default() });
                }
            }
            Action::Switch(generation) => {
                assert!(self.predecessor || self.committed.is_some());
                assert!(self.committed != Some(generation));
                if self.random.bool() {
                    self.switch_done = Some(generation);
                }
            }
            Action::RememberOnly(wanted) => {
                assert!(wanted.iter().all(|one| self.remembered.contains(one)), "{wanted:?} was forgotten");
                self.remembered.retain(|one| wanted.contains(one));
            }
            Action::Survey(generations) => {
                let surveys = generations.into_iter().map(|generation| Survey {
                    generation,
                    sessions: self.random.bool().then(|| self.random.u64(0..5)),
                    memory: Some(self.random.u64(0..600)),
                });
                self.surveys = Some(surveys.collect());
            }
            Action::Drain(generation) => self.drains(generation),
            Action::End(generation, _) => {
                if self.supervisor.stop.is_none() && !self.trials.contains(&generation) {
                    assert!(self.warned.contains(&generation), "generation {generation} was cut in silence");
                }
                self.told_to_finish(generation);
            }
            Action::Program(action) => self.do_with_program(&action),
            Action::ReleaseCustody => self.custody = false,
            Action::Unplumb => {
                self.plumbed = false;
            }
            Action::HandOver(peer) => {
                assert!(
                    (self.custody || self.supervisor.stop.is_some()) && self.peer.is_none(),
                    "there is nothing to hand over"
                );
                self.peer = Some((peer, false));
            }
            Action::Decline(peer, _) => {
                self.peer.take_if(|(one, _)| *one == peer);
            }
            Action::Relieve(peer) => {
                assert_eq!(self.peer, Some((peer, true)), "relieved by none");
                self.committed = None;
            }
            Action::TakeBack => assert!(self.custody, "the sockets are gone, and are to be taken back"),
            Action::Supersede => assert!(self.committed.is_some(), "nothing serves that could supersede"),
            Action::Settled | Action::GiveBack => self.predecessor = false,
            Action::Answer(request, answer) => {
                assert!(self.unanswered.remove(&request.0), "{request:?} is answered twice");
                self.is_what_was_asked_for(request, &answer);
                if self.rollbacks_asked.remove(&request.0) {
                    self.rollback_is_answered(&answer);
                }
            }
            Action::Report(report) => {
                assert!(!report.to_string().is_empty());
                if let Report::AboutToCut { generation, .. } = report {
                    self.warned.insert(generation);
                }
            }
            Action::Attempted(attempted) => adds_up(&attempted),
            Action::Exit(code) => self.exit = Some(code),
        }
    }

    fn prepares(&mut self, generation: Generation, source: Source) {
        let configuration = match source {
            Source::Disk => {
                self.reads(generation);
                generation
            }
            Source::Served(former) => {
                let is_known = self.remembered.contains(&former) || self.at_run_time.was_read(former);
                assert!(is_known, "generation {former} was forgotten");
                former
            }
        };
        self.at_run_time.prepares(generation, source);
        self.configuration.insert(generation, configuration);
        self.is_a_rollback(generation, configuration);
        self.trials.remove(&generation);
        self.proved.remove(&generation);
        assert_eq!(self.processes.insert(generation, Process::Preparing), None);
    }

    fn do_with_program(&mut self, action: &programs::ProgramAction) {
        match action {
            programs::ProgramAction::Start(id, _) => {
                assert!(self.stopping_since.is_none(), "a program is started during a stop");
                assert_eq!(self.programs.insert(*id, None), None);
                self.events.push_back(Event::Program(programs::ProgramEvent::Started(*id, 1)));
            }
            programs::ProgramAction::Tell(id, told) => *self.programs.get_mut(id).unwrap() = Some(*told),
            programs::ProgramAction::Report(_) => unreachable!("it is a report of the supervisor's"),
        }
    }

    /// Before its proof its master may not hear it, and is told again.
    fn drains(&mut self, generation: Generation) {
        let has_proved = self.supervisor.lives.get(&generation).is_some_and(|life| life.has_proved);
        let hears = has_proved || self.deaf.contains(&generation) || self.random.bool();
        if hears {
            self.told_to_finish(generation);
        } else {
            self.deaf.insert(generation);
        }
    }

    fn told_to_finish(&mut self, generation: Generation) {
        self.deaf.remove(&generation);
        if let Some(Process::Running { told_to_finish }) = self.processes.get_mut(&generation) {
            *told_to_finish = true;
        }
    }

    /// Once more after a strict start that lacked something, and only then, it is lenient.
    fn launches(&mut self, generation: Generation, strictness: Strictness) {
        self.lacking.remove(&generation);
        self.lenient.remove(&generation);
        if strictness == Strictness::Lenient {
            let former = self.lacking.iter().find(|former| former.next() == generation);
            let former = former.expect("the one before lacked nothing");
            assert!(!self.lenient.contains(former), "started once more a second time");
            self.lenient.insert(generation);
        }
    }

    fn tries(&mut self, generation: Generation) {
        assert!(self.committed.is_some(), "nothing serves beside which it could be tried");
        self.trials.insert(generation);
        assert_eq!(self.processes.insert(generation, Process::Preparing), None);
    }

    fn commits(&mut self, generation: Generation) {
        assert!(self.stopping_since.is_none(), "a commit during a stop");
        assert!(!self.trials.contains(&generation), "a commit of one that is only tried");
        assert!(self.proved.contains(&generation), "a commit without a proof");
        assert!(self.processes.contains_key(&generation), "a commit of one that is gone");
        let waited = self.now.saturating_sub(self.carrying[&generation]);
        assert!(
            self.carried.contains(&generation) || waited >= CARRY_DEADLINE,
            "a commit without the state of the servers"
        );
        let configuration = self.configuration[&generation];
        self.remembered.insert(configuration);
        self.at_run_time.commits(generation, configuration);
        self.succeeds(generation, configuration == generation);
        self.committed = Some(generation);
        self.custody = true;
        let event = self.programs_of(generation);
        self.events.push_back(event);
    }

    /// The files are read for a generation: often they say what they said before.
    fn reads(&mut self, generation: Generation) {
        self.at_run_time.reads(generation);
        let text = self.random.u8(0..4);
        self.texts.insert(generation, text);
        let known = self.remembered.iter().copied().find(|known| self.texts[known] == text);
        if let Some(former) = known {
            self.events.push_back(Event::SameFiles { generation, former });
        }
    }

    /// What is started for a rollback is what served before, and nothing else.
    fn is_a_rollback(&mut self, generation: Generation, configuration: Generation) {
        self.rollbacks.remove(&generation);
        // It may have been given up in the same step.
        let Some(attempt) = self.supervisor.attempt.as_ref().filter(|one| one.generation == generation)
        else {
            return;
        };
        let (cause, source) = (attempt.cause, attempt.source);
        if cause == Cause::Rollback {
            assert_eq!(Some(self.texts[&configuration]), self.text_before, "not what served before");
            self.rollbacks.insert(generation, self.texts[&configuration]);
        }
        if source == Source::Disk && self.rolled_back.is_some() && self.committed.is_some() {
            // The one that mends what an apply has left.
            let is_asked_for = matches!(cause, Cause::Reload | Cause::Mend);
            assert!(is_asked_for, "a rollback is undone that serves, and no reload was asked for");
        }
    }

    /// The simple rule: what was read from the disk, and is different, has what served before it.
    fn succeeds(&mut self, generation: Generation, is_from_disk: bool) {
        let text = self.texts[&self.configuration[&generation]];
        let is_other = self.served_text.is_some_and(|former| former != text);
        if is_other {
            self.text_before = self.served_text.filter(|_| is_from_disk);
        }
        if let Some(wanted) = self.rollbacks.remove(&generation) {
            assert_eq!(wanted, text, "a rollback has brought back something else");
            self.rolled_back = Some(text);
        } else if is_from_disk || is_other {
            self.rolled_back = None;
        }
        self.served_text = Some(text);
    }

    fn rollback_is_answered(&self, answer: &Answer) {
        match answer {
            Answer::Serving { generation, rolled_back, .. } => {
                assert_eq!(self.committed, Some(*generation));
                assert_eq!(self.rolled_back, self.served_text, "it was answered that it serves");
                assert_eq!(rolled_back.map(|told| told.to), self.configuration.get(generation).copied());
            }
            Answer::Refused(failure) if failure.code == ExitCode::NothingBefore => {
                assert_eq!(self.text_before, None, "what served before was known");
            }
            Answer::Applied { .. } | Answer::Tried { .. } => panic!("it was no trial"),
            Answer::Refused(_) | Answer::Stopping => {}
        }
    }

    fn check_invariants(&mut self) {
        if self.supervisor.stop.is_some() {
            self.stopping_since.get_or_insert(self.now);
        }
        let status = self.supervisor.status(self.now);
        let serving = status.generations.iter().filter(|one| one.state == LifePhase::Serving).count();
        assert!(serving <= 1, "two serving generations: {status:?}");
        assert_eq!(
            status.rolled_back.is_some(),
            self.rolled_back.is_some(),
            "what the status says: {status:?}"
        );
        if self.exit.is_some() {
            return;
        }
        self.check_what_serves();
        // Every process that is not serving and not the attempt's has been told to finish, or will be told again.
        let is_told_again = |generation| {
            let life = self.supervisor.lives.get(generation);
            self.deaf.contains(generation) && life.is_some_and(|life| life.reminder.is_some())
        };
        let untold = self.processes.iter().filter(|(generation, process)| {
            matches!(process, Process::Running { told_to_finish: false }) && !is_told_again(*generation)
        });
        let proving = status.generations.iter().filter(|one| one.state == LifePhase::Starting).count();
        assert!(untold.count() <= serving + proving, "a process that is never ended: {:?}", self.processes);
        // Sockets in custody are always accepted on, or a start is under way or due.
        if self.custody && self.stopping_since.is_none() {
            let elsewhere = matches!(self.peer, Some((_, true)))
                || self.predecessor
                || self.supervisor.role.deadline().is_some();
            let due = elsewhere || self.supervisor.attempt.is_some() || self.supervisor.restart.is_some();
            assert!(serving == 1 || due, "sockets are held and nothing will accept: {status:?}");
        }
        if let Some(since) = self.stopping_since {
            let limit = LIMITS.drain.max(LIMITS.takeover_drain) + GRACE * 2 + self.late;
            assert!(self.now <= since + limit, "the stop takes too long");
            assert!(!self.custody, "custody during a stop");
        }
        // Whatever it was about.
        if let Some(told) = self.told_to_stop {
            let limit = LIMITS.stop_delay + LIMITS.drain + GRACE * 2 + self.late;
            assert!(self.now <= told + limit, "a SIGTERM was swallowed");
        }
    }
}

#[test]
fn whatever_happens_the_promises_hold() {
    let seeds = SEEDS_THAT_FAILED.iter().copied().chain(0..5_000);
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| Simulation::run(seed)) {
            eprintln!("the simulation failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
