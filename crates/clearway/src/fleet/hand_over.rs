//! Handing listening sockets over to a HAProxy that starts: which, and what was seen at that moment.
//!
//! What a strategy other than `handoff` wants bound anew is withheld, as long as somebody serves. If the serving
//! generation is gone by then, everything is given: whoever waits in a socket waits for who takes it over.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clearway_core::count::Count;
use clearway_core::strategy::Strategy;
use clearway_haproxy::{getsocks, sockpair};
use clearway_kernel::steering;
use tracing::debug;

use crate::custody::held::{Held, offered};
use crate::custody::sockets::Sockets;
use crate::fleet::launch::Serving;

/// How long one message of `_getsocks` may take. HAProxy itself waits one second and then goes on without.
pub const HANDOVER: Duration = Duration::from_secs(5);

/// Which sockets a new generation is to bind beside those of the one that serves, as the strategy says.
#[derive(Debug)]
pub struct Beside {
    strategy: Strategy,
    /// Whether somebody serves beside whom it can bind. Whoever waits at the sockets of one that has died waits for who
    /// takes those over.
    serves: Option<Arc<AtomicBool>>,
}

impl Beside {
    /// As the settings and the state of things say at the start of a generation. `shares`: whether its sockets have
    /// `SO_REUSEPORT`.
    pub fn of(strategy: Strategy, serving: Option<&Serving>, shares: bool) -> Self {
        let serving = serving.filter(|_| shares);
        Self { strategy, serves: serving.map(|serving| Arc::clone(&serving.alive)) }
    }

    /// Asked when HAProxy asks for its sockets, just before it binds.
    fn binds(&self, held: &Held) -> bool {
        let serves = self.serves.as_ref().is_some_and(|alive| alive.load(Ordering::Relaxed));
        serves && !self.strategy.hands_over() && held.can_be_bound_beside()
    }
}

/// What was seen at the moment when HAProxy asked for its sockets.
#[derive(Debug)]
pub struct Asked {
    /// Where others listened as well.
    pub crowded: HashSet<SocketAddr>,
    /// What it was not given on purpose, by inode.
    pub withheld: HashSet<u64>,
}

/// Waits until HAProxy asks, and gives it what it is not to bind beside. Blocks, until `limit` at most.
pub fn hand_over(
    end: &OwnedFd,
    offer: &[&Held],
    sockets: &Sockets,
    beside: &Beside,
    limit: Duration,
    asked: &OnceLock<Asked>,
) {
    let done = sockpair::accept(end, limit).map_err(|error| error.to_string()).and_then(|connection| {
        // The last moment before it binds: a former generation may take its time to let go.
        let crowded = crowd(sockets);
        // Where others listen as well, nobody could be steered from the former socket to one beside it.
        let (apart, given): (Vec<&Held>, Vec<&Held>) =
            offer.iter().partition(|held| beside.binds(held) && !held.is_one_of(&crowded));
        let withheld = apart.into_iter().map(Held::inode).collect();
        let _ = asked.set(Asked { crowded, withheld });
        let offer = offered(given.into_iter());
        let served = getsocks::serve(connection, &offer, HANDOVER);
        served.map(|()| offer.len()).map_err(|error| error.to_string())
    });
    match done {
        Ok(number) => debug!("handed over {}", Count(number, "socket")),
        // A HAProxy that refuses its configuration never asks. Whether one that serves has got everything
        // is seen by the proof.
        Err(error) => debug!("no sockets were handed over: {error}"),
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
