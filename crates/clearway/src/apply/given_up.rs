//! That an attempt is given up, for its thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the attempt of a thread is given up: shared with it.
#[derive(Clone, Debug, Default)]
pub struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    /// It is.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
