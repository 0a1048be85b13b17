//! What goes to and comes from the thread of a window.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clearway_core::cost::{Baseline, Cost, CostBefore, CostGate, NetworkCounters};
use clearway_core::names::Generation;
use clearway_kernel::counters;
use tokio::sync::mpsc::UnboundedSender;

use crate::ground::due;

/// What such a thread is told. When its end of the way is dropped, it concludes.
#[derive(Clone, Copy, Debug)]
pub enum CostOrder {
    /// The window is over.
    End {
        /// The attempt that ended it.
        generation: Generation,
        /// Its entry in the history.
        entry: u64,
    },
}

/// What a window has come to.
#[derive(Clone, Debug)]
pub struct CostNews {
    /// The attempt that ended it.
    pub generation: Generation,
    /// Its entry in the history.
    pub entry: u64,
    /// With the time after it, if that is over.
    pub cost: Cost,
    /// Whether that is just over: it is told once.
    pub is_over: bool,
}

/// What a thread has to say.
#[derive(Debug)]
pub enum CostMessage {
    /// A window is over, or the time after it.
    Watched(Box<CostNews>),
    /// A gate that was closed for the switch to this generation is open.
    Opened(Generation, CostGate),
}

/// For a gate: what hears that it is open.
#[derive(Clone, Debug)]
pub struct GateReports(pub(super) UnboundedSender<CostMessage>);

impl GateReports {
    /// It is open, and had been closed for the switch to this generation.
    pub fn tell(&self, generation: Generation, gate: CostGate) {
        // At the end of Clearway it is not heard any more.
        let _ = self.0.send(CostMessage::Opened(generation, gate));
    }
}

/// The last glances at the counters, for the time before a window.
#[derive(Clone, Debug, Default)]
pub struct SharedBaseline(Arc<Mutex<Baseline>>);

impl SharedBaseline {
    /// Reads the counters, and keeps them.
    pub fn glance(&self) -> NetworkCounters {
        let counters = counters::network();
        self.lock().note(counters, due::elapsed());
        counters
    }

    /// Reads the counters where a window begins, and says what was counted before.
    pub fn begin(&self) -> (NetworkCounters, Option<CostBefore>) {
        let counters = counters::network();
        (counters, self.lock().until(counters, due::elapsed()))
    }

    fn lock(&self) -> MutexGuard<'_, Baseline> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
