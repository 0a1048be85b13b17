//! What is held, for whom, and until when.
//!
//! ```text
//!            Keep                    Gone (a crash, `docker rm -f`)
//!   empty ---------> a balancer's ----------------------------------> until AFTER LOSS ---+
//!     ^                |    ^                                                             |
//!     |                |    +--- Keep, by the next balancer ----------------------------- +
//!     |                +-- Release (a planned stop) --> until AFTER STOP, or at once      |
//!     +------------------------------------------------------------------------------------
//! ```
//!
//! The balancer that has sent sockets last owns the hold; what another one says about an end counts for nothing: one that
//! was superseded may leave. Where the owner ends and another balancer has sent sockets and not ended, the hold is that
//! one's: messages of two balancers may cross on a busy machine. Time is a duration since the holder began.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clearway_haproxy::runtime::state::Remembered;

use crate::custody::held::Held;

/// A conversation with a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Balancer(pub u64);

/// The sockets, and whose they are.
#[derive(Debug)]
pub struct Store {
    after_stop: Duration,
    after_loss: Duration,
    sockets: Arc<Vec<Held>>,
    /// What the owner knew of its servers, and when it was last there.
    state: Option<Arc<Remembered>>,
    state_at: Duration,
    owner: Option<Balancer>,
    /// Those that have sent sockets and have not ended, the owner among them.
    serving: BTreeSet<Balancer>,
    until: Option<Duration>,
}

impl Store {
    /// Nothing yet.
    pub fn new(after_stop: Duration, after_loss: Duration) -> Self {
        Self {
            after_stop,
            after_loss,
            sockets: Arc::default(),
            state: None,
            state_at: Duration::ZERO,
            owner: None,
            serving: BTreeSet::new(),
            until: None,
        }
    }

    /// What is held.
    pub fn sockets(&self) -> &Arc<Vec<Held>> {
        &self.sockets
    }

    /// The owner's servers, as it has told. Old is what nobody looks after any more.
    pub fn know(&mut self, balancer: Balancer, servers: Arc<Remembered>, now: Duration) {
        if self.owner == Some(balancer) {
            self.state = Some(servers);
            self.state_at = now;
        }
    }

    /// What is known of the servers, and how old that is.
    pub fn state(&self, now: Duration) -> Option<(Arc<Remembered>, Duration)> {
        let since = if self.owner.is_some() { now } else { self.state_at };
        Some((Arc::clone(self.state.as_ref()?), now.saturating_sub(since)))
    }

    /// Whether a balancer serves from these.
    pub fn has_owner(&self) -> bool {
        self.owner.is_some()
    }

    /// When the hold ends by itself.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }

    /// A balancer serves from these.
    pub fn keep(&mut self, balancer: Balancer, sockets: Vec<Held>) {
        self.sockets = Arc::new(sockets);
        self.owner = Some(balancer);
        self.serving.insert(balancer);
        self.until = None;
    }

    /// A balancer stops as planned. Says whether the hold has no owner from now on.
    pub fn release(&mut self, balancer: Balancer, at_once: bool, now: Duration) -> bool {
        self.ends(balancer, if at_once { Duration::ZERO } else { self.after_stop }, now)
    }

    /// A balancer is gone. Says whether it was the owner, had not said that it would go, and no other one serves.
    pub fn gone(&mut self, balancer: Balancer, now: Duration) -> bool {
        self.ends(balancer, self.after_loss, now)
    }

    /// Says whether the hold has no owner from now on.
    fn ends(&mut self, balancer: Balancer, held_for: Duration, now: Duration) -> bool {
        self.serving.remove(&balancer);
        if self.owner != Some(balancer) {
            return false;
        }
        self.owner = self.serving.last().copied();
        self.state_at = now;
        if self.owner.is_none() {
            self.until = Some(now.saturating_add(held_for));
        }
        self.owner.is_none()
    }

    /// Lets go if it is time to. Says of how many.
    pub fn look_at_the_clock(&mut self, now: Duration) -> Option<usize> {
        self.until.filter(|until| *until <= now)?;
        self.until = None;
        self.state = None;
        let sockets = std::mem::take(&mut self.sockets);
        Some(sockets.len())
    }
}

#[cfg(test)]
mod tests;
