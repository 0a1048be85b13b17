//! What the loop tells the thread of a switch while that is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What became of the generation for which clients are moved.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    abandoned: Arc<AtomicBool>,
    committed: Arc<AtomicBool>,
}

impl Cancel {
    /// It will not serve, or others have the sockets: nothing is waited for, and new clients are not led to it.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::SeqCst);
    }

    /// It serves already: where new clients are redirected is not the thread's any more.
    pub fn overtake(&self) {
        self.committed.store(true, Ordering::SeqCst);
    }

    /// Whether it will not serve.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::SeqCst)
    }

    /// Whether it serves already.
    pub fn is_overtaken(&self) -> bool {
        self.committed.load(Ordering::SeqCst)
    }

    /// Whether either is so.
    pub fn is_decided(&self) -> bool {
        self.is_abandoned() || self.is_overtaken()
    }
}
