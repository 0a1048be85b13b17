//! What gates have done to SYNs since this Clearway began, for the metrics. Counted when a gate is opened, on its thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many there were, one that was sent again counted again.
#[derive(Debug, Default)]
pub struct GateCounts {
    held: AtomicU64,
    dropped: AtomicU64,
}

impl GateCounts {
    /// A gate was opened. `dropped`: unset if the kernel has not counted them.
    pub fn add(&self, held: u64, dropped: Option<u64>) {
        self.held.fetch_add(held, Ordering::Relaxed);
        self.dropped.fetch_add(dropped.unwrap_or_default(), Ordering::Relaxed);
    }

    /// How many have waited.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How many were dropped, as far as the kernel has counted them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
