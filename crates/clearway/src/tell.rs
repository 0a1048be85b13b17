//! Observers: the log, its events for followers, systemd, the pid file, the history, the metrics, the cost. They own nothing else.

pub mod cost;
pub mod events;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod history;
pub mod log;
pub mod metrics;
pub mod notices;
pub mod output;
pub mod pid_file;
pub mod rendered;
pub mod said;
pub mod systemd;
pub mod voice;

use clearway_core::failure::Failure;
use clearway_core::hints::Remark;
use clearway_core::names::Generation;
use clearway_core::supervisor::Action;
use clearway_haproxy::getsocks::ReceivedSocket;

use crate::custody::subscription::Subscription;
use crate::ground::notice::tell;

use cost::{CostNews, CostPromise, CostRecord, GateReports};
use history::History;
use metrics::{Counted, Metrics};
use notices::TellNotice;
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
    cost: CostRecord,
}

impl Tell {
    /// Nothing has been done yet.
    pub fn new(systemd: Systemd, custody: Subscription) -> Self {
        let (said, pid_file, history) = (Said::default(), PidFile::default(), History::default());
        let cost = CostRecord::new(custody);
        Self { said, systemd, pid_file, history, metrics: Metrics::new(), cost }
    }

    /// Passes on to systemd which sockets serve, whenever these are others, and tells what something cost when that is known.
    /// Never ends without; can be cancelled.
    pub async fn keep_up(&mut self) {
        tokio::select! {
            biased;
            () = self.systemd.keep_up() => {}
            news = self.cost.next() => self.note(news),
        }
    }

    fn note(&mut self, news: CostNews) {
        let CostNews { generation, entry, cost, is_over } = news;
        self.history.note(entry, &cost);
        if is_over {
            self.metrics.note(&cost);
            tell(&TellNotice::Cost { generation, cost });
        }
    }

    /// What the window has cost that has ended last, when that is known.
    pub fn cost(&self) -> CostPromise {
        self.cost.promise()
    }

    /// For what closes gates.
    pub fn gate_reports(&self) -> GateReports {
        self.cost.gate_reports()
    }

    /// Clearway is awake anyway: the counters are looked at, for what a reload that may come is compared with.
    pub fn glance(&self) {
        self.cost.glance();
    }

    /// What is about to be carried out.
    pub fn hear(&mut self, action: &Action) {
        self.systemd.hear(action);
        self.pid_file.hear(action);
        self.history.hear(action);
        self.metrics.hear(action);
        self.cost.hear(action, self.history.newest());
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
