//! What is held, for which balancer, and until when.
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
//! one's, and so are the sockets: messages of two balancers may cross on a busy machine, and a predecessor does not use those
//! that a successor has made. So what each of them has sent is kept until it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::balancer_id::BalancerId;

/// The sockets, and whose they are.
#[derive(Debug)]
pub(super) struct Store<Socket, Servers> {
    after_stop: Duration,
    after_loss: Duration,
    sockets: Arc<Vec<Socket>>,
    /// What the owner knew of its servers, and when it was last there.
    servers: Option<Arc<Servers>>,
    servers_at: Duration,
    owner: Option<BalancerId>,
    /// What those have sent that have not ended, the owner among them.
    serving: BTreeMap<BalancerId, Arc<Vec<Socket>>>,
    until: Option<Duration>,
}

impl<Socket, Servers> Store<Socket, Servers> {
    /// Nothing yet.
    pub(super) fn new(after_stop: Duration, after_loss: Duration) -> Self {
        Self {
            after_stop,
            after_loss,
            sockets: Arc::new(Vec::new()),
            servers: None,
            servers_at: Duration::ZERO,
            owner: None,
            serving: BTreeMap::new(),
            until: None,
        }
    }

    /// What is held.
    pub(super) fn sockets(&self) -> &Arc<Vec<Socket>> {
        &self.sockets
    }

    /// The owner's servers, as it has told. What no balancer has told for a while is old.
    pub(super) fn know(&mut self, balancer: BalancerId, servers: Arc<Servers>, now: Duration) {
        if self.owner == Some(balancer) {
            self.servers = Some(servers);
            self.servers_at = now;
        }
    }

    /// What is known of the servers, and how old that is.
    pub(super) fn servers(&self, now: Duration) -> Option<(Arc<Servers>, Duration)> {
        let since = if self.owner.is_some() { now } else { self.servers_at };
        Some((Arc::clone(self.servers.as_ref()?), now.saturating_sub(since)))
    }

    /// The balancer that serves from these.
    pub(super) fn owner(&self) -> Option<BalancerId> {
        self.owner
    }

    /// When the hold ends by itself.
    pub(super) fn until(&self) -> Option<Duration> {
        self.until
    }

    /// A balancer serves from these.
    pub(super) fn keep(&mut self, balancer: BalancerId, sockets: Vec<Socket>) {
        self.sockets = Arc::new(sockets);
        self.owner = Some(balancer);
        self.serving.insert(balancer, Arc::clone(&self.sockets));
        self.until = None;
    }

    /// A balancer stops as planned. Says whether the hold has no owner from now on.
    pub(super) fn release(&mut self, balancer: BalancerId, at_once: bool, now: Duration) -> bool {
        self.ends(balancer, if at_once { Duration::ZERO } else { self.after_stop }, now)
    }

    /// A balancer is gone. Says whether it was the owner, had not said that it would go, and no other one serves.
    pub(super) fn gone(&mut self, balancer: BalancerId, now: Duration) -> bool {
        self.ends(balancer, self.after_loss, now)
    }

    /// Says whether the hold has no owner from now on.
    fn ends(&mut self, balancer: BalancerId, held_for: Duration, now: Duration) -> bool {
        self.serving.remove(&balancer);
        if self.owner != Some(balancer) {
            return false;
        }
        self.servers_at = now;
        self.owner = self.serving.last_key_value().map(|(next, _)| *next);
        match self.owner.and_then(|next| self.serving.get(&next)) {
            Some(sockets) => self.sockets = Arc::clone(sockets),
            None => self.until = Some(now.saturating_add(held_for)),
        }
        self.owner.is_none()
    }

    /// Lets go if it is time to. Says of how many.
    pub(super) fn time_passed(&mut self, now: Duration) -> Option<usize> {
        self.until.filter(|until| *until <= now)?;
        self.until = None;
        self.servers = None;
        let sockets = std::mem::replace(&mut self.sockets, Arc::new(Vec::new()));
        Some(sockets.len())
    }
}

#[cfg(test)]
mod tests;
