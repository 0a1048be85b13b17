//! What generations can be asked beside the loop: how many sessions they have, and how much memory.

use std::time::{Duration, Instant};

use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, Survey};
use clearway_kernel::memory::resident;

use crate::fleet::running::RunningGeneration;
use crate::fleet::worker_cli::{ONE_OF_SEVERAL, WorkerCli};
use crate::fleet::{Fleet, News};
use crate::ground::aside;

/// How long a survey may take, which nothing waits for.
const SURVEY: Duration = Duration::from_secs(5);

/// A generation that has a process.
#[derive(Debug)]
pub struct Askable {
    /// Which.
    pub generation: Generation,
    /// The process that accepts connections, as far as it is known.
    pub worker: Option<u32>,
    /// All of its processes.
    pub processes: Vec<u32>,
    /// Its worker, if that can be asked.
    pub cli: Option<WorkerCli>,
}

impl Askable {
    fn of(generation: Generation, running: &RunningGeneration) -> Self {
        Self {
            generation,
            worker: running.worker(),
            processes: running.processes().collect(),
            cli: running.worker_cli(),
        }
    }
}

impl Fleet {
    /// The generation, if it has a process.
    pub fn askable(&self, generation: Generation) -> Option<Askable> {
        self.roster.get(generation).map(|running| Askable::of(generation, running))
    }

    /// All that have a process.
    pub fn all_askable(&self) -> Vec<Askable> {
        self.roster.iter().map(|(generation, running)| Askable::of(generation, running)).collect()
    }

    /// Asks how many sessions and how much memory these generations have: [`Event::Surveyed`] follows.
    pub fn survey(&self, generations: &[Generation]) {
        let asked: Vec<Askable> =
            generations.iter().filter_map(|generation| self.askable(*generation)).collect();
        let news = self.news.clone();
        let begun = aside::spawn("asking old generations for their sessions", move || {
            let deadline = Instant::now() + SURVEY;
            let surveys = asked.into_iter().map(|asked| Survey {
                generation: asked.generation,
                // One that hangs must not hide what the others have.
                sessions: asked
                    .cli
                    .and_then(|cli| cli.count_sessions(deadline.min(Instant::now() + ONE_OF_SEVERAL))),
                memory: asked.processes.into_iter().map(resident).sum(),
            });
            let _ = news.send(News::Event(Event::Surveyed(surveys.collect())));
        });
        if !begun {
            let _ = self.news.send(News::Event(Event::Surveyed(Vec::new())));
        }
    }
}
