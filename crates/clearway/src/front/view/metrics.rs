//! `GET /metrics`: what was counted, and what the core and the rooms know now.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_core::supervisor::{LifePhase, SupervisorStatus};
use clearway_kernel::memory::resident;
use clearway_kernel::queues::queues;
use tokio::sync::oneshot;

use crate::fleet::configurations::DriftQuestion;
use crate::fleet::questions::Askable;
use crate::fleet::worker_cli::QUESTIONS;
use crate::front::view::View;
use crate::ground::aside;
use crate::path::network::Interfaces;
use crate::tell::metrics::text::MetricsFormat;
use crate::tell::metrics::{Gauges, GenerationGauge, MetricsSnapshot};

/// How long all generations together may take to say how many sessions they have: less than a collector waits.
const ASKING: Duration = Duration::from_secs(1);

/// What is looked at on a thread of its own: a HAProxy or a file that hangs must not stop the loop.
struct MetricsLook {
    interfaces: Arc<Interfaces>,
    /// Set after a reload that failed.
    files: Option<DriftQuestion>,
    /// In the order of the gauges.
    generations: Vec<Option<Askable>>,
    /// The inodes of the sockets in custody.
    held: HashSet<u64>,
}

impl MetricsLook {
    fn add_to(self, gauges: &mut Gauges) {
        gauges.is_ready &= !self.interfaces.are_gone();
        gauges.is_on_disk = self.files.is_some_and(|files| files.ask().is_none());
        let waiting = queues(&self.held).ok();
        gauges.waiting = waiting.map(|queues| queues.iter().map(|queue| u64::from(queue.waiting)).sum());
        let deadline = Instant::now() + ASKING;
        for (gauge, asked) in gauges.generations.iter_mut().zip(self.generations) {
            let Some(asked) = asked else { continue };
            gauge.memory = asked.processes.into_iter().map(resident).sum();
            // One that hangs must not hide what the others have.
            let limit = deadline.min(Instant::now() + QUESTIONS);
            gauge.sessions = asked.cli.and_then(|cli| cli.count_sessions(limit));
        }
    }
}

impl View<'_> {
    /// Tells the metrics. HAProxy, the kernel, and after a reload that failed the files are asked on a thread of its own. `haproxy`:
    /// what HAProxy counts is told, too, and is to be written so; on that thread, as it may be long.
    pub fn answer_metrics(
        &self,
        haproxy: Option<MetricsFormat>,
        sender: oneshot::Sender<Box<MetricsSnapshot>>,
    ) {
        let counted = self.tell.counted().clone();
        let (mut gauges, generations) = self.gauges();
        let files = if counted.is_loaded() { None } else { self.fleet.drift_question() };
        let (interfaces, held) = (self.path.interfaces(), self.custody.sockets().inodes());
        let looked = MetricsLook { interfaces: Arc::clone(&interfaces), files, generations, held };
        let joined = haproxy.map(|format| (self.fleet.joined_question(), format));
        tokio::spawn(async move {
            let _turn = match &joined {
                Some((question, _)) => Some(question.turn().await),
                None => None,
            };
            let mut whole = gauges.clone();
            let answered = aside::outcome_of("answering for the metrics", move || {
                looked.add_to(&mut whole);
                (whole, joined.map(|(question, format)| question.ask().text(format)))
            });
            let (gauges, haproxy) = answered.await.unwrap_or_else(|| {
                gauges.is_ready &= !interfaces.were_gone();
                (gauges, None)
            });
            sender.send(Box::new(MetricsSnapshot { counted, gauges, haproxy }))
        });
    }

    /// What is known without asking, and what is to be asked of each generation.
    fn gauges(&self) -> (Gauges, Vec<Option<Askable>>) {
        let SupervisorStatus { generations, crashes, .. } = self.core.status(self.now);
        let draining = generations.iter().filter(|one| one.state == LifePhase::Draining);
        let asked = generations.iter().map(|one| self.fleet.askable(one.generation)).collect();
        let gauge = |state| GenerationGauge { state, sessions: None, memory: None };
        let gauges = Gauges {
            is_ready: self.core.is_ready() && self.path.is_ready(),
            is_on_disk: false,
            oldest: draining.filter_map(|one| one.seconds).max().unwrap_or_default(),
            generations: generations.iter().map(|one| gauge(one.state)).collect(),
            crashes: crashes.total,
            sockets: self.custody.sockets().all().len(),
            waiting: None,
            held: self.cutover.gate_counts().held(),
            dropped: self.cutover.gate_counts().dropped(),
            verdicts: self.path.verdicts().collect(),
            repairs: self.path.repairs(),
        };
        (gauges, asked)
    }
}
