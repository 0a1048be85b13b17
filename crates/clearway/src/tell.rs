//! Observers: the log, systemd, the pid file, the history, the metrics. They own nothing else.

pub mod history;
pub mod log;
pub mod metrics;
pub mod notices;
pub mod output;
pub mod pid_file;
mod rendered;
pub mod said;
pub mod systemd;
pub mod voice;

use clearway_core::failure::Failure;
use clearway_core::hints::Remark;
use clearway_core::names::Generation;
use clearway_core::supervisor::Action;
use clearway_haproxy::getsocks::ReceivedSocket;

use history::History;
use metrics::{Counted, Metrics};
use pid_file::{PidFile, PidFilePlace};
use said::{Said, Subject};
use systemd::Systemd;

/// The observers.
#[derive(Debug)]
pub struct Tell {
    said: Said,
    systemd: Systemd,
    pid_file: PidFile,
    history: History,
    metrics: Metrics,
}

impl Tell {
    /// Nothing has been done yet.
    pub fn new(systemd: Systemd) -> Self {
        let (said, pid_file, history) = (Said::default(), PidFile::default(), History::default());
        Self { said, systemd, pid_file, history, metrics: Metrics::new() }
    }

    /// Passes on to systemd which sockets serve, whenever these are others. Never ends without; can be cancelled.
    pub async fn keep_up(&mut self) {
        self.systemd.keep_up().await;
    }

    /// What is about to be carried out.
    pub fn hear(&mut self, action: &Action) {
        self.systemd.hear(action);
        self.pid_file.hear(action);
        self.history.hear(action);
        self.metrics.hear(action);
    }

    /// What has happened so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// A generation was ended that had so many sessions; unset: it did not say.
    pub fn cut(&mut self, sessions: Option<u64>) {
        self.metrics.cut(sessions);
    }

    /// What was counted so far.
    pub fn counted(&self) -> &Counted {
        self.metrics.counted()
    }

    /// Where the pid is to be written when a generation serves. Fails if it cannot be.
    pub fn prepare(&mut self, generation: Generation, place: Option<&PidFilePlace>) -> Result<(), Failure> {
        self.pid_file.prepare(generation, place)
    }

    /// A predecessor serves, which may have the same pid file.
    pub fn succeed(&mut self) {
        self.pid_file.succeed();
    }

    /// A stop begins; nothing is to be kept if it is `at_once`.
    pub fn stop(&mut self, at_once: bool) {
        self.systemd.stop(at_once);
    }

    /// The sockets that systemd has kept over a restart of the unit, once.
    pub fn kept(&mut self) -> Vec<ReceivedSocket> {
        self.systemd.kept()
    }

    /// All that a look at a subject has found: what is new of it is said.
    pub fn found(&mut self, subject: Subject, lines: impl IntoIterator<Item = impl Into<Remark>>) {
        self.said.found(subject, lines);
    }
}
