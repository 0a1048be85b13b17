//! What a reload, a crash or a takeover cost new clients: for the log, the history, the metrics and the answer to a reload.
//!
//! ```text
//!   actions --> CostWindows (core) --> Begin: a thread looks at the sockets, every 10 ms (`looks`)
//!                                      End: it looks once more, and tells the window ----> history, answer
//!                                      a second later, or at the next Begin -------------> history, log, metrics
//!   glance, whenever Clearway is awake for HAProxy's servers ------------> Baseline: the time before
//! ```
//!
//! The loop waits for none of it: an answer to `clearway reload` waits by itself, for a moment ([`CostPromise`]).

mod looks;
mod news;
mod promise;

use std::sync::mpsc::{Sender, channel};

use clearway_core::cost::{CostGate, CostStep, CostWindows};
use clearway_core::names::Generation;
use clearway_core::supervisor::Action;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::custody::subscription::Subscription;
use crate::ground::aside;
use looks::CostLooks;
use news::{CostMessage, CostOrder, SharedBaseline};

pub use news::{CostNews, GateReports};
pub use promise::CostPromise;

/// The windows, and what looks at the one that is open.
#[derive(Debug)]
pub struct CostRecord {
    windows: CostWindows,
    custody: Subscription,
    baseline: SharedBaseline,
    /// The thread of the last window.
    orders: Option<Sender<CostOrder>>,
    /// What it has told of the window, for answers.
    promise: CostPromise,
    /// What was told last.
    last: Option<CostNews>,
    /// The last gate that was opened, and for which generation.
    gate: Option<(Generation, CostGate)>,
    sender: UnboundedSender<CostMessage>,
    news: UnboundedReceiver<CostMessage>,
}

impl CostRecord {
    /// Nothing has happened yet.
    pub fn new(custody: Subscription) -> Self {
        let (sender, news) = unbounded_channel();
        Self {
            windows: CostWindows::default(),
            custody,
            baseline: SharedBaseline::default(),
            orders: None,
            promise: CostPromise::of_nothing(),
            last: None,
            gate: None,
            sender,
            news,
        }
    }

    /// What is about to be carried out. `entry`: the number of the newest entry of the history.
    pub fn hear(&mut self, action: &Action, entry: u64) {
        let holds = !self.custody.held().is_empty();
        match self.windows.hear(action, holds) {
            Some(CostStep::Begin) => self.begin(),
            Some(CostStep::End(generation)) => self.order(CostOrder::End { generation, entry }),
            // Its thread ends what it is about when this end is dropped.
            Some(CostStep::Leave) => self.orders = None,
            // What was told of the window before is not about this one.
            None if matches!(action, Action::Attempted(_)) => self.promise = CostPromise::of_nothing(),
            None => {}
        }
    }

    fn begin(&mut self) {
        // What looked at the last window concludes.
        let (orders, receiver) = channel();
        self.orders = None;
        let (told, promise) = CostPromise::pair();
        self.promise = promise;
        let looks = CostLooks::new(self.custody.clone(), self.baseline.clone(), self.sender.clone());
        let begun =
            aside::spawn("looking at what this costs new clients", move || looks.run(&receiver, &told));
        self.orders = begun.then_some(orders);
    }

    fn order(&mut self, order: CostOrder) {
        if let Some(orders) = &self.orders {
            // Its thread lives until it has been told, or has failed.
            let _ = orders.send(order);
        }
    }

    /// What the window has come to whose attempt was decided last, when that is known.
    pub fn promise(&self) -> CostPromise {
        self.promise.clone()
    }

    /// Reads the counters, beside the loop: for the time before a window that may come.
    pub fn glance(&self) {
        let baseline = self.baseline.clone();
        aside::spawn("reading the counters of the network", move || {
            baseline.glance();
        });
    }

    /// For what closes gates.
    pub fn gate_reports(&self) -> GateReports {
        GateReports(self.sender.clone())
    }

    /// What is told next. Never ends; can be cancelled.
    pub async fn next(&mut self) -> CostNews {
        loop {
            match self.news.recv().await {
                Some(CostMessage::Watched(news)) => return self.watched(*news),
                Some(CostMessage::Opened(generation, gate)) => {
                    if let Some(news) = self.opened(generation, gate) {
                        return news;
                    }
                }
                None => std::future::pending().await, // there is a sender here
            }
        }
    }

    /// A window is over, or the time after it: with the gate of its generation, if that is open.
    fn watched(&mut self, mut news: CostNews) -> CostNews {
        let gate = self.gate.filter(|(generation, _)| *generation == news.generation);
        news.cost.gate = gate.map(|(_, gate)| gate);
        self.last = Some(news.clone());
        news
    }

    /// One that is opened later than that belongs to what was told.
    fn opened(&mut self, generation: Generation, gate: CostGate) -> Option<CostNews> {
        self.gate = Some((generation, gate));
        let last = self.last.as_mut().filter(|last| last.generation == generation)?;
        last.cost.gate = Some(gate);
        last.is_over = false;
        Some(last.clone())
    }
}

#[cfg(test)]
mod tests;
