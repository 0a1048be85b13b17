//! The generations that have a process: which there are, which was committed last, and which serves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clearway_core::names::Generation;
use clearway_haproxy::drift::Imprint;

use crate::custody::sockets::Sockets;
use crate::fleet::running::RunningGeneration;
use crate::fleet::worker_cli::WorkerCli;

/// The generations that have a process.
#[derive(Debug, Default)]
pub struct Roster {
    running: BTreeMap<Generation, RunningGeneration>,
    /// The one that was committed last, dead or alive.
    committed: Option<Generation>,
    serving: Option<Serving>,
}

/// The generation that was committed last, as long as it accepts connections.
#[derive(Debug)]
struct Serving {
    generation: Generation,
    alive: Arc<AtomicBool>,
}

/// Whether a generation still serves: for threads.
#[derive(Clone, Debug)]
pub struct Serves(Arc<AtomicBool>);

impl Serves {
    /// As it is now.
    pub fn still(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Roster {
    /// It was started.
    pub fn begins(&mut self, generation: Generation, running: RunningGeneration) {
        self.running.insert(generation, running);
    }

    /// Its master has ended, if it is one of these.
    pub fn ended(&mut self, master: u32) -> Option<(Generation, RunningGeneration)> {
        let generation =
            self.iter().find(|(_, one)| one.pid() == master).map(|(generation, _)| generation)?;
        self.serves_no_more(generation);
        self.running.remove(&generation).map(|running| (generation, running))
    }

    /// It serves from now on. Gives what it has proved to use.
    pub fn commit(&mut self, generation: Generation) -> Option<Arc<Sockets>> {
        self.committed = Some(generation);
        self.serving = Some(Serving { generation, alive: Arc::new(AtomicBool::new(true)) });
        self.running.get_mut(&generation).and_then(RunningGeneration::commit)
    }

    /// What starts from now on gets all sockets in custody: no other generation accepts on them.
    pub fn serves_no_more(&mut self, generation: Generation) {
        if let Some(serving) = self.serving.take_if(|one| one.generation == generation) {
            serving.alive.store(false, Ordering::Relaxed);
        }
    }

    /// One that has a process.
    pub fn get(&self, generation: Generation) -> Option<&RunningGeneration> {
        self.running.get(&generation)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, generation: Generation) -> Option<&mut RunningGeneration> {
        self.running.get_mut(&generation)
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Generation, &RunningGeneration)> {
        self.running.iter().map(|(generation, running)| (*generation, running))
    }

    /// How many have a process.
    pub fn count(&self) -> usize {
        self.running.len()
    }

    /// None of them will be committed.
    pub fn give_up(&mut self) {
        self.running.values_mut().for_each(RunningGeneration::give_up);
    }

    /// The one that was committed last, dead or alive.
    pub fn committed(&self) -> Option<Generation> {
        self.committed
    }

    /// Whether this one serves.
    pub fn is_serving(&self, generation: Generation) -> bool {
        self.serving.as_ref().is_some_and(|serving| serving.generation == generation)
    }

    /// The one that serves, if one does.
    pub fn serving(&self) -> Option<Generation> {
        self.serving.as_ref().map(|serving| serving.generation)
    }

    /// Whether the one that serves still does, if one serves.
    pub fn serves(&self) -> Option<Serves> {
        self.serving.as_ref().map(|serving| Serves(Arc::clone(&serving.alive)))
    }

    /// The worker of a generation, if that can be asked.
    pub fn worker_cli(&self, generation: Generation) -> Option<WorkerCli> {
        self.get(generation)?.worker_cli()
    }

    /// The most bytes that one had when it was new.
    pub fn needed(&self) -> Option<u64> {
        self.running.values().filter_map(RunningGeneration::needed).max()
    }

    /// Whether one was started from these files.
    pub fn has_one_from(&self, imprint: &Imprint) -> bool {
        self.running.values().any(|running| running.is_from(imprint))
    }

    /// Those that were not committed and have not proved themselves, the latest first.
    pub fn starting(&self) -> impl Iterator<Item = Generation> {
        let uncommitted = self.iter().rev().take_while(|(one, _)| Some(*one) > self.committed);
        uncommitted.filter(|(_, running)| running.proved().is_none()).map(|(generation, _)| generation)
    }
}
