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
//! Whoever has sent sockets last owns the hold; what another balancer says about an end counts for nothing: one that
//! was superseded may leave. Time is a duration since the holder began.

use std::sync::Arc;
use std::time::Duration;

use clearway_haproxy::runtime::state::Remembered;

use crate::shell::custody::Held;

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

    /// When the hold ends by itself.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }

    /// A balancer serves from these.
    pub fn keep(&mut self, balancer: Balancer, sockets: Vec<Held>) {
        self.sockets = Arc::new(sockets);
        self.owner = Some(balancer);
        self.until = None;
    }

    /// The owner stops as planned. Says whether it was the owner.
    pub fn release(&mut self, balancer: Balancer, at_once: bool, now: Duration) -> bool {
        if self.owner != Some(balancer) {
            return false;
        }
        self.owner = None;
        self.state_at = now;
        self.until = Some(if at_once { now } else { now.saturating_add(self.after_stop) });
        true
    }

    /// A balancer is gone. Says whether it was the owner, and had not said that it would go.
    pub fn gone(&mut self, balancer: Balancer, now: Duration) -> bool {
        if self.owner != Some(balancer) {
            return false;
        }
        self.owner = None;
        self.state_at = now;
        self.until = Some(now.saturating_add(self.after_loss));
        true
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
