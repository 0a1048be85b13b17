//! What generations can be asked beside the loop: how many sessions they have, how much memory, and whether the files on
//! disk are still those that serve.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, Survey};
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::drift::{Drift, Imprint};
use clearway_kernel::memory::resident;

use crate::custody::sockets::Sockets;
use crate::fleet::launch::{self, Running, Sessions};
use crate::fleet::named::NamedFiles;
use crate::fleet::reading;
use crate::fleet::{Fleet, News};
use crate::ground::aside::{self, Single};

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
    /// The question for its sessions, if it can be asked.
    pub sessions: Option<Sessions>,
}

impl Askable {
    fn of(generation: Generation, running: &Running) -> Self {
        Self {
            generation,
            worker: running.worker.as_ref().map(|worker| worker.pid),
            processes: running.processes().collect(),
            sessions: running.sessions(),
        }
    }
}

/// What the files on disk are compared with.
#[derive(Debug)]
pub struct DriftQuestion {
    imprint: Arc<Imprint>,
    named: Option<Arc<NamedFiles>>,
    invocation: Invocation,
    comparing: Single,
}

impl DriftQuestion {
    /// It may take a while: not to be called in the loop.
    pub fn ask(&self) -> Drift {
        reading::compare(&self.comparing, &self.imprint, self.named.as_ref(), &self.invocation)
    }
}

impl Fleet {
    /// The generation, if it has a process.
    pub fn askable(&self, generation: Generation) -> Option<Askable> {
        self.running.get(&generation).map(|running| Askable::of(generation, running))
    }

    /// All that have a process.
    pub fn all_askable(&self) -> Vec<Askable> {
        self.running.iter().map(|(generation, running)| Askable::of(*generation, running)).collect()
    }

    /// Unset as long as none has served.
    pub fn drift_question(&self) -> Option<DriftQuestion> {
        Some(DriftQuestion {
            imprint: self.imprint.clone()?,
            named: self.named.clone(),
            invocation: self.invocation.clone(),
            comparing: self.comparing.clone(),
        })
    }

    /// The processes of all generations.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.running.values().flat_map(Running::processes)
    }

    /// The sockets of those that have proved themselves and were not committed.
    pub fn proved(&self) -> impl Iterator<Item = &Sockets> {
        self.running.values().filter_map(|running| running.proved.as_deref())
    }

    /// Asks draining generations what they have, on a thread of its own: one that hangs must not stop the loop.
    pub fn survey(&self, generations: &[Generation]) {
        let asked: Vec<Askable> =
            generations.iter().filter_map(|generation| self.askable(*generation)).collect();
        let (news, failed) = (self.news.clone(), self.news.clone());
        let begun = aside::spawn("asking old generations for their sessions", move || {
            let deadline = Instant::now() + SURVEY;
            let surveys = asked.into_iter().map(|asked| Survey {
                generation: asked.generation,
                // One that hangs must not hide what the others have.
                sessions: asked
                    .sessions
                    .and_then(|sessions| sessions.ask(deadline.min(Instant::now() + launch::ONE_OF_SEVERAL))),
                memory: asked.processes.into_iter().map(resident).sum(),
            });
            let _ = news.send(News::Event(Event::Surveyed(surveys.collect())));
        });
        if !begun {
            let _ = failed.send(News::Event(Event::Surveyed(Vec::new())));
        }
    }
}
