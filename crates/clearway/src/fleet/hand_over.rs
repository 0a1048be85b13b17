//! Handing listening sockets over to a HAProxy that starts: which, and what was seen at that moment.
//!
//! What a strategy other than `handoff` wants bound anew is withheld, as long as a generation serves. If that is gone by
//! then, everything is given: a client that waits in a socket waits for the generation that takes it over.

use std::collections::HashSet;
use std::error::Error;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clearway_core::count::Count;
use clearway_core::strategy::Strategy;
use clearway_haproxy::{getsocks, sockpair};
use clearway_kernel::listeners::is_local;
use clearway_kernel::steering;

use crate::custody::held::{Held, offered};
use crate::custody::selection::Selection;
use crate::custody::sockets::Sockets;
use crate::debug;
use crate::fleet::roster::Serves;
use crate::ground::aside;

/// How long one message of `_getsocks` may take. HAProxy itself waits one second and then goes on without.
pub const HANDOVER: Duration = Duration::from_secs(5);

/// Which sockets a new generation is to bind beside those of the one that serves, as the strategy says.
#[derive(Debug)]
pub struct BindBeside {
    strategy: Strategy,
    serving: Option<Serves>,
}

impl BindBeside {
    /// As the settings say. `serving`: the generation beside which it can bind, if there is one. A client that waits at the
    /// sockets of one that has died waits for the generation that takes those over.
    pub fn of(strategy: Strategy, serving: Option<Serves>) -> Self {
        Self { strategy, serving }
    }

    /// Asked when HAProxy asks for its sockets, just before it binds.
    fn binds(&self, held: &Held) -> bool {
        self.serving.as_ref().is_some_and(Serves::still)
            && !self.strategy.hands_over()
            && held.can_be_bound_beside(is_local)
    }
}

/// What was seen at the moment when HAProxy asked for its sockets.
#[derive(Debug)]
pub struct AtHandOver {
    /// Where others listened as well.
    pub crowded: HashSet<SocketAddr>,
    /// What it was not given on purpose, by inode.
    pub withheld: HashSet<u64>,
}

/// What is needed to hand sockets over.
#[derive(Debug)]
pub struct HandOver {
    /// Our end of the pair over which HAProxy asks.
    pub end: OwnedFd,
    /// What it is offered.
    pub selection: Selection,
    /// Of these.
    pub sockets: Arc<Sockets>,
    /// What it is to bind itself.
    pub beside: BindBeside,
    /// How long it may take to ask.
    pub limit: Duration,
    /// Where to say what was seen.
    pub asked: Arc<OnceLock<AtHandOver>>,
}

impl HandOver {
    /// Waits on a thread until HAProxy asks, and gives it what it is not to bind beside.
    pub fn begin(self) {
        aside::spawn("handing the listening sockets over", move || match self.serve() {
            Ok(number) => debug!("handed over {}", Count(number, "socket")),
            // A HAProxy that refuses its configuration never asks. Whether one that serves has got everything
            // is seen by the proof.
            Err(error) => debug!("no sockets were handed over: {error}"),
        });
    }

    fn serve(&self) -> Result<usize, Box<dyn Error>> {
        let connection = sockpair::accept(&self.end, self.limit)?;
        // The last moment before it binds: a former generation may take its time to let go.
        let crowded = crowd(&self.sockets);
        // Where others listen as well, no client could be steered from the former socket to one beside it.
        let (apart, given): (Vec<&Held>, Vec<&Held>) = self
            .selection
            .of(&self.sockets)
            .partition(|held| self.beside.binds(held) && !held.is_one_of(&crowded));
        let withheld = apart.into_iter().map(Held::inode).collect();
        let _ = self.asked.set(AtHandOver { crowded, withheld });
        let offer = offered(given.into_iter());
        getsocks::serve(connection, &offer, HANDOVER)?;
        Ok(offer.len())
    }
}

/// Where others listen beside what is in custody: strangers, or a former generation that has not let go yet.
fn crowd(sockets: &Sockets) -> HashSet<SocketAddr> {
    let held: Vec<BorrowedFd<'_>> = sockets.all().iter().map(Held::descriptor).collect();
    steering::crowded(&held).unwrap_or_else(|error| {
        debug!("looking which other processes listen: {error}");
        HashSet::new()
    })
}
