//! What is held, for a room that has to pass it on: each set that serves, in the order of commits. Of several that were
//! committed meanwhile it sees the last one.
//!
//! What such a room says next may depend on that: a stop must not reach the holder before the last set does. So it looks
//! here ([`Subscription::news`]) before it says anything else. A release is no news: it closes what was held.

use std::sync::Arc;

use tokio::sync::watch;

use crate::custody::sockets::Sockets;

/// What is held, as it is published.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    pub(super) sockets: Arc<Sockets>,
    /// Whether a generation of this Clearway has been committed with them.
    pub(super) is_committed: bool,
}

/// What is held, for one room, or a thread of it. A clone sees what is news by itself.
#[derive(Clone, Debug)]
pub struct Subscription(watch::Receiver<Published>);

impl Subscription {
    pub(super) fn to(holding: watch::Receiver<Published>) -> Self {
        Self(holding)
    }

    /// Waits until there may be [`Self::news`]; for ever if there never are. Can be cancelled.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            return std::future::pending().await;
        }
        self.0.mark_changed();
    }

    /// A set that has been committed since the last time, if there is one.
    pub fn news(&mut self) -> Option<Arc<Sockets>> {
        let has_changed = self.0.has_changed().unwrap_or(false);
        let holding = self.0.borrow_and_update();
        (has_changed && holding.is_committed).then(|| Arc::clone(&holding.sockets))
    }

    /// What is held, whether it serves or not.
    pub fn held(&self) -> Arc<Sockets> {
        Arc::clone(&self.0.borrow().sockets)
    }

    /// The set that serves, whether it is news or not; it is none from now on.
    pub fn serving(&mut self) -> Option<Arc<Sockets>> {
        let holding = self.0.borrow_and_update();
        holding.is_committed.then(|| Arc::clone(&holding.sockets))
    }
}
