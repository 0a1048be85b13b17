//! What the serving generation knows of its servers: the only place where it is asked, and the only copy that is kept.
//!
//! ```text
//!   Inquiry (core) says when --> a thread: show servers state --> Snapshot, kept here --> carry: for a successor, after a
//!        ^                                    |                                           crash; for a holder
//!        | HAProxy has said something         '-- where the transparent ones are -------> servers: the plumbing, the canary
//! ```
//!
//! What is needed at a certain moment (for a new generation, for a takeover) is asked for then, and what is kept counts
//! only if HAProxy does not answer any more ([`StateQuestion`]).

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_core::count::Count;
use clearway_core::hints::Remark;
use clearway_core::inquiry::{Attention, Inquiry};
use clearway_core::names::Generation;
use clearway_core::settings::CarrySetting;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::runtime::state::Remembered;
use tokio::sync::watch;

use crate::debug;
use crate::fleet::marked_down::{OldFile, ToldOfOld};
use crate::fleet::notices::FleetNotice;
use crate::fleet::statistics::Counters;
use crate::fleet::worker_cli::WorkerCli;
use crate::ground::due;
use crate::ground::notice::tell;
use crate::path::servers::ToldServers;
use crate::tell::notices::FoundNotice;

/// How long an answer may take that something waits for: the new generation loads meanwhile.
const PROMPT: Duration = Duration::from_secs(2);

/// The same where nothing does.
const PATIENT: Duration = Duration::from_secs(5);

/// What was known of the servers at some moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The servers.
    pub servers: Arc<Remembered>,
    /// When.
    pub taken: Instant,
}

/// What is known, and when it is asked for.
#[derive(Debug, Default)]
pub struct StateOfServers {
    known: Option<Snapshot>,
    /// The generation that was committed last, and its files.
    of: Option<(Generation, Arc<Configuration>)>,
    /// The servers that are being changed at run time, or were and it broke off: their state may be half of a change.
    half: Arc<HashSet<String>>,
    /// Whether that has not answered yet.
    fresh: bool,
    inquiry: Inquiry,
    /// Changes when it says something.
    heard: Option<watch::Receiver<()>>,
}

impl StateOfServers {
    /// A generation serves from now on. `heard` changes when it says something.
    pub fn serves(&mut self, generation: Generation, files: &Arc<Configuration>, heard: watch::Receiver<()>) {
        self.heard = Some(heard);
        self.adopts(generation, files);
    }

    /// These servers of the generation that serves are changed from now on, until [`Self::adopts`] or [`Self::serves`].
    pub fn changes(&mut self, servers: HashSet<String>) {
        self.half = Arc::new(servers);
    }

    /// The generation that serves has what these files say from now on, and is asked soon.
    pub fn adopts(&mut self, generation: Generation, files: &Arc<Configuration>) {
        self.of = Some((generation, Arc::clone(files)));
        self.half = Arc::default();
        self.fresh = true;
        self.inquiry.begins(due::elapsed());
    }

    /// What is known.
    pub fn known(&self) -> Option<&Snapshot> {
        self.known.as_ref()
    }

    /// What was handed over is known, unless something is known already.
    pub fn inherit(&mut self, snapshot: Snapshot) {
        let (servers, age) = (snapshot.servers.count(), snapshot.taken.elapsed().as_secs());
        tell(&FleetNotice::Inherited { servers, age });
        self.known.get_or_insert(snapshot);
    }

    /// Where the state is to be had at this moment. `worker`: of the generation that serves, if it can be asked.
    pub fn question(&self, worker: impl Fn(Generation) -> Option<WorkerCli>) -> StateQuestion {
        let serving = self.of.as_ref();
        let serving = serving.and_then(|(of, configuration)| Some((worker(*of)?, Arc::clone(configuration))));
        StateQuestion { serving, known: self.known.clone(), half: Arc::clone(&self.half), counters: None }
    }

    /// Waits until the serving generation is to be asked.
    pub async fn due(&mut self) {
        loop {
            tokio::select! {
                () = due::after(self.inquiry.due()) => return,
                () = said(&mut self.heard), if self.inquiry.listens() => {
                    self.inquiry.said(due::elapsed());
                }
            }
        }
    }

    /// It is asked now, and so often afterwards.
    pub fn asked(&mut self, attention: Attention) {
        self.inquiry.asked(attention);
        if let Some(heard) = &mut self.heard {
            heard.mark_unchanged();
        }
    }

    /// The generation that was committed last, and its files, if a state is of use. `needed`: it is for something else
    /// than to be carried.
    pub fn subject(&self, needed: bool, carry: CarrySetting) -> Option<(Generation, Arc<Configuration>)> {
        let (generation, configuration) = self.of.as_ref()?;
        let carries = carry.servers && !configuration.stated.is_empty();
        (needed || carries).then(|| (*generation, Arc::clone(configuration)))
    }

    /// The answer of a generation, or none. Unset if that was replaced meanwhile. `serves`: whether one serves.
    pub fn hear(&mut self, answer: StateAnswer, serves: bool) -> Option<ServersHeard> {
        let StateAnswer { generation, snapshot, seen, took, of_old: _ } = answer;
        self.of.as_ref().filter(|(of, _)| *of == generation)?;
        match &snapshot {
            Some(_) => self.inquiry.heard(took, due::elapsed()),
            None => self.inquiry.unanswered(took, due::elapsed()),
        }
        let fresh = self.fresh;
        let mut is_new = false;
        if let Some(snapshot) = snapshot {
            self.fresh = false;
            if serves {
                debug!("the state of {} is known", Count(snapshot.servers.count(), "server"));
                let same = self.known.as_ref().is_some_and(|former| former.servers == snapshot.servers);
                self.known = Some(snapshot);
                is_new = fresh || !same;
            }
        }
        Some(ServersHeard { fresh, is_new, seen })
    }
}

/// Waits until HAProxy says something; for ever if it cannot any more.
async fn said(heard: &mut Option<watch::Receiver<()>>) {
    if let Some(heard) = heard
        && heard.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Where the state is to be had at some moment: sent to a thread.
#[derive(Debug)]
pub struct StateQuestion {
    /// The generation that serves, and what its file says.
    serving: Option<(WorkerCli, Arc<Configuration>)>,
    /// What was known at last.
    pub known: Option<Snapshot>,
    /// The servers of which a next generation is not to have it.
    half: Arc<HashSet<String>>,
    /// Its counters, where they are to be saved first, and the file.
    pub counters: Option<(Counters, PathBuf)>,
}

impl StateQuestion {
    /// The generation that serves, and its files.
    pub fn serving(&self) -> Option<(&WorkerCli, &Configuration)> {
        self.serving.as_ref().map(|(worker, configuration)| (worker, &**configuration))
    }

    /// Saves its counters, if that is wanted, and asks, or takes what is known. Blocks, for [`PROMPT`] and
    /// [`SAVING`](crate::fleet::statistics::SAVING) at most.
    pub fn now(mut self) -> Option<Snapshot> {
        let unsaved = self.counters.take().and_then(|(counters, file)| counters.save(&file));
        if let Some(Remark { text: detail, hints }) = unsaved {
            tell(&FoundNotice::NotSaved { detail, hints });
        }
        let snapshot = self.asked().or_else(|| self.known.take());
        snapshot.map(|snapshot| self.to_carry(snapshot))
    }

    /// What of that a next generation is to have.
    pub fn to_carry(&self, mut snapshot: Snapshot) -> Snapshot {
        if !self.half.is_empty() {
            snapshot.servers = Arc::new(snapshot.servers.without(&self.half));
        }
        snapshot
    }

    /// The answer of the generation that serves, if there is one and it answers. Blocks likewise.
    pub fn asked(&self) -> Option<Snapshot> {
        let (worker, configuration) = self.serving.as_ref()?;
        ask(worker, configuration, PROMPT)
    }
}

fn ask(worker: &WorkerCli, configuration: &Configuration, limit: Duration) -> Option<Snapshot> {
    let answer = worker.servers_state(limit)?;
    let told = answer.servers_state().inspect_err(|error| debug!("{error}")).ok()?;
    let servers = Arc::new(Remembered::of(told, &configuration.stated));
    Some(Snapshot { servers, taken: Instant::now() })
}

/// What a generation has said, if it has.
#[derive(Debug)]
pub struct StateAnswer {
    generation: Generation,
    snapshot: Option<Snapshot>,
    /// Where those servers are that see the addresses of clients, if some do.
    seen: Option<ToldServers>,
    /// What it says of the servers of old generations, if it says something.
    of_old: Option<ToldOfOld>,
    /// How long it took.
    took: Duration,
}

impl StateAnswer {
    /// It cannot be asked.
    pub fn none(generation: Generation) -> Self {
        Self { generation, snapshot: None, seen: None, of_old: None, took: Duration::ZERO }
    }

    /// Asks for it, compares it with old files, and looks where the transparent servers are if that is wanted. Blocks, for
    /// [`PATIENT`] at most.
    pub fn of(
        generation: Generation,
        worker: &WorkerCli,
        configuration: &Configuration,
        transparent: bool,
        old: &[OldFile],
    ) -> Self {
        let begun = Instant::now();
        let snapshot = ask(worker, configuration, PATIENT);
        let transparent = snapshot.as_ref().filter(|_| transparent);
        let seen = transparent.map(|snapshot| ToldServers::of(&snapshot.servers, configuration));
        let of_old =
            snapshot.as_ref().map(|snapshot| ToldOfOld::of(old, &snapshot.servers, &configuration.stated));
        Self { generation, snapshot, seen, of_old, took: begun.elapsed() }
    }

    /// Which generation has answered, and what it says of the servers of old ones; that once.
    pub fn take_of_old(&mut self) -> (Generation, Option<ToldOfOld>) {
        (self.generation, self.of_old.take())
    }
}

/// What other rooms are to know of an answer, or of its lack.
#[derive(Debug)]
pub struct ServersHeard {
    /// Whether it is the first one of this generation.
    pub fresh: bool,
    /// Whether the state is another one than before.
    pub is_new: bool,
    /// Where those servers are that see the addresses of clients, if some do.
    pub seen: Option<ToldServers>,
}
