//! The thread that looks at the sockets as long as a window is open, and for a second afterwards.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use clearway_core::cost::{ClientEnds, Cost, CostLook, CostWatch, QueueSeen};
use clearway_core::names::Generation;
use clearway_kernel::counters;
use clearway_kernel::listeners::SockDiagError;
use clearway_kernel::queues::{self, AcceptQueue, Listener};
use tokio::sync::mpsc::UnboundedSender;

use super::news::{CostMessage, CostNews, CostOrder, SharedBaseline};
use super::promise::CostTold;
use crate::custody::held::Held;
use crate::custody::subscription::Subscription;
use crate::debug;
use crate::ground::due;

/// A window that is looked at.
#[derive(Debug)]
pub struct CostLooks {
    custody: Subscription,
    baseline: SharedBaseline,
    news: UnboundedSender<CostMessage>,
    /// All that were ours since the window began: one that is not held any more may have clients until it is closed.
    listeners: HashSet<Listener>,
}

impl CostLooks {
    /// One of these sockets. `news` hears what it has come to: at its end, and a second later.
    pub fn new(custody: Subscription, baseline: SharedBaseline, news: UnboundedSender<CostMessage>) -> Self {
        Self { custody, baseline, news, listeners: HashSet::new() }
    }

    /// Looks until a second after the window, or until nothing more is to be told.
    pub fn run(mut self, orders: &Receiver<CostOrder>, told: &CostTold) {
        let (counters, before) = self.baseline.begin();
        let mut watch = CostWatch::begin(counters, before, due::elapsed());
        let mut of = None;
        loop {
            let took = self.look(&mut watch);
            let Some(pause) = watch.pause(took, due::elapsed()) else { break };
            match orders.recv_timeout(pause) {
                Ok(CostOrder::End { generation, entry }) => {
                    let before = counters::network();
                    self.look(&mut watch);
                    let cost = watch.end([before, counters::network()], due::elapsed());
                    told.send_replace(Some(cost.clone()));
                    of = Some((generation, entry));
                    self.tell(generation, entry, cost);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.look(&mut watch);
                    break;
                }
            }
        }
        let concluded = watch.conclude(self.baseline.glance(), due::elapsed());
        if let (Some((generation, entry)), Some(cost)) = (of, concluded) {
            self.tell(generation, entry, cost);
        }
    }

    fn tell(&self, generation: Generation, entry: u64, cost: Cost) {
        // At the end of Clearway it is not heard any more.
        let is_over = cost.after.is_some();
        let news = CostNews { generation, entry, cost, is_over };
        let _ = self.news.send(CostMessage::Watched(Box::new(news)));
    }

    /// Looks once; says how long that took.
    fn look(&mut self, watch: &mut CostWatch) -> Duration {
        let begun = Instant::now();
        let look = self.seen().inspect_err(|error| debug!("what this costs new clients: {error}"));
        watch.look(look.ok());
        begun.elapsed()
    }

    fn seen(&mut self) -> Result<CostLook, SockDiagError> {
        let at = due::elapsed();
        let held = self.custody.held();
        let here = held.all().iter().filter(|held| !held.has_namespace());
        self.listeners.extend(here.filter_map(Held::listener));
        drop(held);
        let ours: HashSet<u64> = self.listeners.iter().map(|listener| listener.inode).collect();
        let queues = queues::all()?;
        let does_any_wait = queues.iter().any(|queue| queue.waiting > 0 && ours.contains(&queue.inode));
        let clients = if does_any_wait { self.clients() } else { Some(HashSet::new()) };
        Ok(CostLook { at, sockets: queues.iter().map(socket).collect(), ours, clients })
    }

    fn clients(&self) -> Option<HashSet<ClientEnds>> {
        let listeners: Vec<Listener> = self.listeners.iter().copied().collect();
        queues::not_accepted(&listeners).inspect_err(|error| debug!("which clients wait: {error}")).ok()
    }
}

fn socket(queue: &AcceptQueue) -> QueueSeen {
    let AcceptQueue { inode, address, waiting, limit: _, drops } = *queue;
    QueueSeen { inode, address, waiting, drops }
}
