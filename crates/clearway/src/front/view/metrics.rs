//! `GET /metrics`: what was counted, and what the core and the rooms know now.

use clearway_core::supervisor::{LifePhase, SupervisorStatus};
use tokio::sync::oneshot;

use crate::front::view::View;
use crate::ground::aside;
use crate::tell::metrics::{Gauges, MetricsSnapshot};

impl View<'_> {
    /// Tells the metrics. The network and, after a reload that failed, the files are looked at on a thread of its own.
    pub fn answer_metrics(&self, sender: oneshot::Sender<Box<MetricsSnapshot>>) {
        let counted = self.tell.counted().clone();
        let mut gauges = self.gauges();
        let files = if counted.is_loaded() { None } else { self.fleet.drift_question() };
        let (interfaces, remembered) = (self.path.interfaces(), self.path.interfaces());
        tokio::spawn(async move {
            let looked = aside::outcome_of("answering for the metrics", move || {
                (interfaces.are_gone(), files.is_some_and(|files| files.ask().is_none()))
            });
            let (is_gone, is_on_disk) = looked.await.unwrap_or_else(|| (remembered.were_gone(), false));
            gauges.is_ready &= !is_gone;
            gauges.is_on_disk = is_on_disk;
            sender.send(Box::new(MetricsSnapshot { counted, gauges }))
        });
    }

    fn gauges(&self) -> Gauges {
        let SupervisorStatus { generations, crashes, .. } = self.core.status(self.now);
        let draining = generations.iter().filter(|one| one.state == LifePhase::Draining);
        Gauges {
            is_ready: self.core.is_ready() && self.path.is_ready(),
            is_on_disk: false,
            oldest: draining.filter_map(|one| one.seconds).max().unwrap_or_default(),
            generations: generations.iter().map(|one| one.state).collect(),
            crashes: crashes.total,
            sockets: self.custody.sockets().all().len(),
            verdicts: self.path.verdicts().collect(),
            repairs: self.path.repairs(),
        }
    }
}
