//! Custody: the listening sockets that Clearway holds, so that nothing that happens to HAProxy closes them.
//!
//! ```text
//!   inherit, begin_with    what another process has held: a predecessor, a holder, systemd
//!        |
//!   select                 what of it the next generation is offered, and what is made for it
//!        |
//!   commit                 what a generation has proved to use is held from now on; backlogs follow its lines
//!        |--- Subscription  the way to the holder, and that to systemd, learn each set that serves
//!        v
//!   release                nothing is held any more
//! ```
//!
//! A set of sockets ([`Sockets`]) never changes; other rooms may keep one for a moment. Each that keeps one keeps its sockets
//! open, so that threads look them up when they need one ([`std::sync::Weak`]): a stop is a stop.

pub mod backlog;
pub mod devices;
pub mod foreign;
pub mod held;
pub mod notices;
pub mod paths;
pub mod selection;
pub mod sockets;
pub mod subscription;
pub mod usable;

use std::fmt;
use std::sync::Arc;

use clearway_haproxy::configuration::{BindLines, Configuration};
use clearway_haproxy::getsocks::ReceivedSocket;
use clearway_kernel::paths::MovedPath;
use tokio::sync::watch;

use crate::ground::aside;
use crate::ground::notice::tell;
use notices::CustodyNotice;

use selection::Selection;
use sockets::Sockets;
use subscription::{Published, Subscription};
use usable::Unusable;

/// What else keeps listening sockets open while no Clearway serves.
#[derive(Clone, Copy, Debug)]
pub enum KeptBy {
    /// `clearway hold`.
    Holder,
    /// systemd, over a restart of the unit.
    Systemd,
}

impl fmt::Display for KeptBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holder => "a holder",
            Self::Systemd => "systemd",
        })
    }
}

/// The listening sockets that are held.
#[derive(Debug)]
pub struct Custody {
    holding: watch::Sender<Published>,
}

impl Custody {
    /// Nothing is held yet.
    pub fn new() -> Self {
        Self { holding: watch::Sender::new(Published::default()) }
    }

    /// What is held.
    pub fn sockets(&self) -> Arc<Sockets> {
        Arc::clone(&self.holding.borrow().sockets)
    }

    /// For a room that must know each set that serves.
    pub fn subscribe(&self) -> Subscription {
        Subscription::to(self.holding.subscribe())
    }

    /// Begins with the sockets of a predecessor; tells how many there are.
    pub fn inherit(&mut self, sockets: Vec<ReceivedSocket>) -> Result<usize, Unusable> {
        let held = usable::received(sockets)?;
        let count = held.len();
        self.begin(Sockets::inherited(held));
        Ok(count)
    }

    /// Begins with what was kept, unless something is held already: what serves is newer than what was kept.
    pub fn begin_with(&mut self, kept: Vec<ReceivedSocket>, by: KeptBy) {
        if kept.is_empty() || !self.sockets().is_empty() {
            return;
        }
        match usable::received(kept) {
            Ok(held) => {
                tell(&CustodyNotice::KeptUsed { sockets: held.len(), by: by.to_string() });
                self.begin(Sockets::inherited(held));
            }
            Err(error) => {
                tell(&CustodyNotice::KeptUnusable { by: by.to_string(), error: error.to_string() });
            }
        }
    }

    fn begin(&mut self, sockets: Sockets) {
        self.holding.send_replace(Published { sockets: Arc::new(sockets), is_committed: false });
    }

    /// What the next generation is offered. `moved`: the paths of Unix sockets that lead elsewhere now.
    pub fn select(&self, configuration: &Configuration, moved: &[MovedPath]) -> Selection {
        Selection::among(&self.sockets(), configuration, moved)
    }

    /// A generation serves, and uses these: they are what is held. Gives what was held before.
    pub fn commit(&mut self, sockets: Arc<Sockets>) -> Arc<Sockets> {
        backlog::apply(&sockets);
        self.holding.send_replace(Published { sockets, is_committed: true }).sockets
    }

    /// What serves has these files from now on, and the same sockets. What changes is how many clients may wait, beside the loop.
    pub fn adopt(&self, configuration: &Arc<Configuration>) {
        let (sockets, configuration) = (self.sockets(), Arc::clone(configuration));
        aside::spawn("changing how many clients may wait", move || {
            backlog::follow(&sockets, &BindLines::of(&configuration));
        });
    }

    /// Nothing is held any more: new connections are refused when HAProxy closes its own sockets.
    pub fn release(&mut self) {
        self.holding.send_replace(Published::default());
    }
}

#[cfg(test)]
mod tests;
