//! What all generations have counted (`show stat`), as if they were one HAProxy: a reload makes no gap in it, and no jump.
//!
//! ```text
//!   asked for            each that lives, on a thread --> Heard: its last sample --\
//!   told to drain, cut   the same (last_samples)      -->                           +--> the sum
//!   ended                                                 its last counters -------/
//! ```
//!
//! Decision 0044 says what is lost. The loop never waits for the lock: threads have it while they add up ten thousand servers. So
//! nothing is done at the end of a generation; the next question says which of them live.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clearway_core::names::Generation;
use clearway_haproxy::statistics::{StatOf, StatSample};
use tokio::sync::OwnedMutexGuard;

use crate::fleet::worker_cli::WorkerCli;
use crate::tell::metrics::joined::JoinedStatistics;

/// How long all generations together may take to say what they have counted: less than a collector waits.
const JOINING: Duration = Duration::from_millis(1500);

/// The same for one of them. One that hangs must not hide what the others have counted.
const ONE: Duration = Duration::from_millis(800);

/// With what a generation begins to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountsFrom {
    /// With nothing.
    Nothing,
    /// With what another generation had counted, by its `stats-file`.
    Others,
    /// With nothing of its own: all of them count in shared memory (`shm-stats-file`).
    Shared,
}

/// What was heard of a generation.
#[derive(Debug)]
struct Heard {
    counts: CountsFrom,
    /// What it had counted when it began, if that was another one's.
    before: Option<StatSample>,
    /// What it has counted itself.
    last: Option<StatSample>,
}

impl Heard {
    fn hear(&mut self, sample: StatSample) {
        if self.counts == CountsFrom::Others && self.before.is_none() {
            self.before = Some(sample.clone());
        }
        self.last = Some(match &self.before {
            Some(before) => sample.since(before),
            None => sample,
        });
    }
}

/// What is known of all of them.
#[derive(Debug, Default)]
struct Sum {
    heard: BTreeMap<Generation, Heard>,
    /// The counters of those that have ended.
    ended: StatSample,
    /// Which these are, the latest of them: a thread may still come with what one of them has said.
    over: BTreeSet<Generation>,
    /// Which have not answered when they were asked last.
    silent: BTreeSet<Generation>,
    /// When that began.
    asked: Option<Instant>,
}

/// How many that have ended are known as such.
const MOST_OVER: usize = 64;

impl Sum {
    fn hear(&mut self, generation: Generation, counts: CountsFrom, sample: StatSample) {
        if !self.over.contains(&generation) {
            let nothing = || Heard { counts, before: None, last: None };
            self.heard.entry(generation).or_insert_with(nothing).hear(sample);
        }
    }

    /// Those up to the latest that do not live any more have counted what they had said last.
    fn end(&mut self, latest: Option<Generation>, lives: impl Fn(&Generation) -> bool) {
        let is_over = |generation: &Generation| Some(*generation) <= latest && !lives(generation);
        for (generation, over) in self.heard.extract_if(.., |generation, _| is_over(generation)) {
            self.over.insert(generation);
            if let Some(last) = over.last.filter(|_| over.counts != CountsFrom::Shared) {
                self.ended.add(&last, StatOf::Ended);
            }
        }
        while self.over.len() > MOST_OVER {
            self.over.pop_first();
        }
    }
}

/// What was heard, for threads.
#[derive(Clone, Debug, Default)]
pub struct Samples(Arc<Mutex<Sum>>);

impl Samples {
    fn sum(&self) -> MutexGuard<'_, Sum> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a generation, and keeps what it says. False if it does not answer. Blocks, for so long at most.
    pub fn take(
        &self,
        generation: Generation,
        counts: CountsFrom,
        worker: &WorkerCli,
        limit: Duration,
    ) -> bool {
        let Some(sample) = worker.counters(limit) else { return false };
        self.sum().hear(generation, counts, sample);
        true
    }
}

/// What all generations have counted.
#[derive(Debug, Default)]
pub struct Joined {
    samples: Samples,
    /// Whether it was ever asked for: if not, no HAProxy is asked for anything at its end.
    wanted: AtomicBool,
    /// One question at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Those that do not begin with nothing.
    counts: BTreeMap<Generation, CountsFrom>,
    /// Those that were told to drain.
    last: BTreeMap<Generation, LastSample>,
}

impl Joined {
    /// A generation begins, which has a `stats-file` or shares its counters. What it has of others is taken off only if it is known
    /// what these have counted.
    pub fn begins(&mut self, generation: Generation, counts: CountsFrom) {
        if counts == CountsFrom::Shared || (counts == CountsFrom::Others && self.is_wanted()) {
            self.counts.insert(generation, counts);
        }
    }

    /// Its processes are gone.
    pub fn ended(&mut self, generation: Generation) {
        self.counts.remove(&generation);
        self.last.remove(&generation);
    }

    /// How far one is that is to drain; none: it was not told to.
    pub fn last(&self, generation: Generation) -> Option<LastSample> {
        self.last.get(&generation).copied()
    }

    /// One that is to drain is so far now.
    pub fn drains(&mut self, generation: Generation, how_far: LastSample) {
        self.last.insert(generation, how_far);
    }

    /// Whether it was ever asked for.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// With what a generation has begun.
    pub fn counts(&self, generation: Generation) -> CountsFrom {
        self.counts.get(&generation).copied().unwrap_or(CountsFrom::Nothing)
    }

    /// What was heard.
    pub fn samples(&self) -> Samples {
        self.samples.clone()
    }

    /// The question what these have counted: all that have served, up to the latest. From now on it is kept what they count.
    pub fn question(
        &self,
        asked: Vec<AskedGeneration>,
        serving: Option<Generation>,
        latest: Option<Generation>,
    ) -> JoinedQuestion {
        self.wanted.store(true, Ordering::Relaxed);
        let (samples, turn) = (self.samples(), Arc::clone(&self.turn));
        JoinedQuestion { samples, turn, since: Instant::now(), asked, serving, latest }
    }
}

/// How far a generation is that is to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastSample {
    /// It is asked.
    UnderWay,
    /// It has said what it has counted, or not.
    Taken,
}

/// A generation that is asked.
#[derive(Debug)]
pub struct AskedGeneration {
    /// Which one.
    pub generation: Generation,
    /// With what it has begun.
    pub counts: CountsFrom,
    /// How it is asked, if it can be.
    pub worker: Option<WorkerCli>,
}

/// What is needed to ask them all.
#[derive(Debug)]
pub struct JoinedQuestion {
    samples: Samples,
    turn: Arc<tokio::sync::Mutex<()>>,
    since: Instant,
    asked: Vec<AskedGeneration>,
    serving: Option<Generation>,
    /// The latest that has served: a later one is not there yet.
    latest: Option<Generation>,
}

impl JoinedQuestion {
    /// Waits until no other question is being asked.
    pub async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Asks, and adds up. Blocks, for [`JOINING`] at most beside the adding.
    pub fn ask(mut self) -> JoinedStatistics {
        let silent = {
            let sum = self.samples.sum();
            let is_fresh = sum.asked.is_some_and(|asked| asked >= self.since);
            (!is_fresh).then(|| sum.silent.clone())
        };
        if let Some(silent) = silent {
            let first = |one: &AskedGeneration| {
                (silent.contains(&one.generation), Some(one.generation) != self.serving)
            };
            self.asked.sort_by_key(first);
            self.ask_each();
        }
        self.add_up()
    }

    fn ask_each(&self) {
        let begun = Instant::now();
        let mut silent = BTreeSet::new();
        for AskedGeneration { generation, counts, worker } in &self.asked {
            let limit = ONE.min(JOINING.saturating_sub(begun.elapsed()));
            let answers =
                worker.as_ref().is_some_and(|worker| self.samples.take(*generation, *counts, worker, limit));
            if !answers {
                silent.insert(*generation);
            }
        }
        let mut sum = self.samples.sum();
        (sum.silent, sum.asked) = (silent, Some(begun));
    }

    fn add_up(&self) -> JoinedStatistics {
        let mut sum = self.samples.sum();
        sum.end(self.latest, |generation| self.asked.iter().any(|one| one.generation == *generation));
        let Sum { heard, ended, silent, .. } = &mut *sum;
        let known = |one: &AskedGeneration| heard.get(&one.generation).and_then(|heard| heard.last.as_ref());
        let living: Vec<_> = self.asked.iter().filter_map(|one| Some((one, known(one)?))).collect();
        if !living.is_empty() && living.len() == self.asked.len() {
            ended.keep_those_of(&living.iter().map(|(_, sample)| *sample).collect::<Vec<_>>());
        }
        let mut sample = ended.clone();
        for (one, its) in &living {
            sample.add(
                its,
                if Some(one.generation) == self.serving {
                    StatOf::Serving
                } else if one.counts == CountsFrom::Shared {
                    StatOf::Sharing
                } else {
                    StatOf::Draining
                },
            );
        }
        let remembered = living.iter().filter(|(one, _)| silent.contains(&one.generation)).count();
        JoinedStatistics {
            answered: living.len() - remembered,
            remembered,
            unknown: self.asked.len() - living.len(),
            sample,
        }
    }
}

#[cfg(test)]
mod tests;
