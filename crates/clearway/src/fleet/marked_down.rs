//! Sessions of generations that drain, with servers that have gone down since: `on-marked-down shutdown-sessions`.
//!
//! ```text
//!   commit    the servers are kept whose sessions end, as the generation's own file says
//!   answer    of the serving generation: compared with these on the thread that asked (state); OldServers (core) says whether
//!             there is something to look at
//!   a look    on a thread, a generation after the other: how it sees these servers itself, which sessions it has, and
//!             `shutdown session` for each of theirs
//! ```
//!
//! A generation that drains makes no checks any more (haproxy #3330), so it is the serving one that knows; what the former knew
//! stays as it was, and tells whether a server was up when it began to drain. `shutdown sessions server` and `set server` are
//! refused by then (docs/facts H15).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_core::inquiry::{OldServer, OldServers, SeenAs};
use clearway_core::names::Generation;
use clearway_haproxy::configuration::{Configuration, StatedServers};
use clearway_haproxy::marked_down::{ServerNow, ServerPlace, compare, server_of, were_up};
use clearway_haproxy::runtime::state::Remembered;

use crate::fleet::notices::FleetNotice;
use crate::fleet::worker_cli::{ONE_OF_SEVERAL, WorkerCli};
use crate::ground::due;
use crate::ground::notice::tell;

/// How long a worker that has just answered may take to list its sessions, of which there may be many.
const LISTING: Duration = Duration::from_secs(5);

/// How long the sessions of one generation may take to be ended; what is left is for the next look.
const ENDING: Duration = Duration::from_secs(2);

/// What generations said of the end of sessions when they were started, and what is still to be done.
#[derive(Debug, Default)]
pub struct MarkedDown {
    servers: OldServers,
    /// The servers whose sessions end, of each generation that has such ones.
    stated: BTreeMap<Generation, Arc<StatedServers>>,
}

impl MarkedDown {
    /// A generation serves from now on, with these files.
    pub fn serves(&mut self, generation: Generation, files: &Configuration) {
        self.servers.begins();
        self.adopts(generation, files);
    }

    /// The generation that serves has what these files say from now on.
    pub fn adopts(&mut self, generation: Generation, files: &Configuration) {
        let stated = files.stated.that_end_sessions();
        self.stated.remove(&generation);
        if !stated.is_empty() {
            self.stated.insert(generation, Arc::new(stated));
        }
    }

    /// Of all that have a process, but the one that serves.
    pub fn old(&mut self, has_process: impl Fn(Generation) -> bool, serves: Generation) -> Vec<OldFile> {
        self.stated.retain(|generation, _| has_process(*generation));
        let old = self.stated.iter().filter(|(generation, _)| **generation != serves);
        old.map(|(generation, stated)| OldFile { generation: *generation, stated: Arc::clone(stated) })
            .collect()
    }

    /// The serving generation has said this. Gives what is to be looked at now, by generation: the answer goes to
    /// [`Self::looked`].
    pub fn hear(&mut self, ToldOfOld(told): ToldOfOld) -> BTreeMap<Generation, Places> {
        let places: BTreeMap<OldServer, ServerPlace> =
            told.iter().map(|(server, _, place)| (server.clone(), *place)).collect();
        let told = told.into_iter().map(|(server, seen, _)| (server, seen)).collect();
        let mut looks: BTreeMap<Generation, Places> = BTreeMap::new();
        for server in self.servers.hear(told, due::elapsed()) {
            if let Some(place) = places.get(&server) {
                looks.entry(server.generation).or_default().insert(server.name, *place);
            }
        }
        looks
    }

    /// A look is over. Gives why sessions are left.
    pub fn looked(&mut self, EndedSessions { generations, took }: EndedSessions) -> Vec<String> {
        let (mut failures, mut all_done) = (Vec::new(), Vec::new());
        for EndedOfOne { generation, done, ended, failure } in generations {
            for (server, sessions) in ended {
                tell(&FleetNotice::ServerDown { generation, server, sessions });
            }
            failures.extend(failure.map(|why| format!("generation {generation}: {why}")));
            all_done.extend(done.into_iter().map(|name| OldServer { generation, name }));
        }
        self.servers.looked(all_done, took, due::elapsed());
        failures
    }
}

/// Servers by name, with where the serving generation has them.
pub type Places = BTreeMap<String, ServerPlace>;

/// The servers of an old generation whose sessions end.
#[derive(Debug)]
pub struct OldFile {
    generation: Generation,
    stated: Arc<StatedServers>,
}

/// What the generation that serves says of servers of old ones.
#[derive(Debug, Default)]
pub struct ToldOfOld(Vec<(OldServer, SeenAs, ServerPlace)>);

impl ToldOfOld {
    /// With files that say `stated` it has `told` this.
    pub fn of(old: &[OldFile], told: &Remembered, stated: &StatedServers) -> Self {
        if old.is_empty() {
            return Self::default();
        }
        let now = compare(old.iter().map(|file| &*file.stated), told, stated);
        let of_one = |(file, now): (&OldFile, Vec<ServerNow>)| {
            let generation = file.generation;
            now.into_iter().map(move |one| {
                let seen = match (one.is_down, one.may_begin_down) {
                    (false, _) => SeenAs::Up,
                    (true, false) => SeenAs::Down,
                    (true, true) => SeenAs::DownPerhapsFromTheBeginning,
                };
                (OldServer { generation, name: one.name }, seen, one.place)
            })
        };
        Self(old.iter().zip(now).flat_map(of_one).collect())
    }
}

/// What a look has come to.
#[derive(Debug, Default)]
pub struct EndedSessions {
    generations: Vec<EndedOfOne>,
    took: Duration,
}

impl EndedSessions {
    /// Looks at a generation after the other, and ends what is found. Blocks, for [`LISTING`], [`ENDING`] and twice
    /// [`ONE_OF_SEVERAL`] at most, for each.
    pub fn of(looks: Vec<(Generation, WorkerCli, Places)>) -> Self {
        let begun = Instant::now();
        let look = |(generation, worker, servers)| EndedOfOne::of(generation, &worker, &servers);
        let generations = looks.into_iter().map(look).collect();
        Self { generations, took: begun.elapsed() }
    }
}

/// The same of one generation.
#[derive(Debug)]
struct EndedOfOne {
    generation: Generation,
    /// The servers that have no session any more.
    done: BTreeSet<String>,
    /// How many sessions were ended, by server.
    ended: BTreeMap<String, usize>,
    /// Why there may be more.
    failure: Option<String>,
}

impl EndedOfOne {
    fn of(generation: Generation, worker: &WorkerCli, servers: &Places) -> Self {
        let (done, ended) = (BTreeSet::new(), BTreeMap::new());
        let mut looked = Self { generation, done, ended, failure: None };
        looked.failure = looked.look(worker, servers).err();
        looked
    }

    fn look(&mut self, worker: &WorkerCli, servers: &Places) -> Result<(), String> {
        let answer = worker.ask_servers_state(ONE_OF_SEVERAL)?;
        let state = answer.servers_state().map_err(|error| error.to_string())?;
        let mut open = were_up(state, servers);
        let sessions = if open.is_empty() { Vec::new() } else { worker.ask_sessions(LISTING)? };
        let sessions: Vec<_> = sessions.into_iter().map(|one| (server_of(&one), one.id)).collect();
        let theirs: Vec<_> = sessions.into_iter().filter(|(server, _)| open.contains(server)).collect();
        open.retain(|server| theirs.iter().any(|(of, _)| of == server));
        self.done = servers.keys().filter(|server| !open.contains(*server)).cloned().collect();
        let deadline = Instant::now() + ENDING;
        for (server, id) in theirs {
            if Instant::now() > deadline {
                return Err(format!(
                    "there are more than can be ended in {} s; the rest follows",
                    ENDING.as_secs()
                ));
            }
            // One that has ended meanwhile is not counted.
            if worker.end_session(&id, ONE_OF_SEVERAL)? {
                *self.ended.entry(server).or_default() += 1;
            }
        }
        Ok(())
    }
}
