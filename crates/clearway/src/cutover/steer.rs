//! Steering by way of what is held: the kernel takes a program for a group of sockets from any one of them. And waiting for
//! clients, and for sockets to be closed. Waiting blocks: on threads only.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clearway_kernel::queues::{self, Listener, Waiting};
use clearway_kernel::steering::{ReuseportGroup, SteeringError};

use crate::custody::sockets::Sockets;
use crate::cutover::notices::CutoverNotice;
use crate::debug;
use crate::ground::notice::tell;

/// How often it is looked whether clients wait.
pub const PACE: Duration = Duration::from_millis(5);

/// What may be done to a group of sockets.
pub type Steering = fn(&ReuseportGroup, BorrowedFd<'_>) -> Result<(), SteeringError>;

/// Does something to a group of the kernel's by way of one of its sockets that is held; says whether it is done. Why not
/// is logged.
pub fn through(group: &ReuseportGroup, sets: &[&Sockets], what: Steering) -> bool {
    let held = |inode: &u64| sets.iter().find_map(|set| set.socket(*inode));
    let Some(held) = group.members().iter().find_map(held) else { return false };
    let outcome = what(group, held.descriptor());
    if let Err(error) = &outcome {
        tell(&CutoverNotice::SteeringFailed { error: error.to_string() });
    }
    outcome.is_ok()
}

/// Waits until the clients are served that have come to these sockets, not longer than that, and only as long as it is
/// wanted.
pub fn wait_for(listeners: Vec<Listener>, until: Instant, wanted: &dyn Fn() -> bool) {
    let mut waiting = Waiting::begin(listeners).inspect_err(|error| debug!("{error}")).ok();
    while let Some(one) = &mut waiting
        && Instant::now() < until
        && wanted()
        && one.poll().is_ok_and(|remaining| !remaining.is_nothing())
    {
        sleep(PACE);
    }
}

/// Waits until none of these sockets listens any more. Says no if that takes too long, is not wanted any more, or cannot be
/// known.
pub fn all_closed(sockets: &HashSet<u64>, limit: Duration, wanted: &dyn Fn() -> bool) -> bool {
    let until = Instant::now() + limit;
    while Instant::now() < until && wanted() {
        match queues::queues(sockets) {
            Ok(open) if open.is_empty() => return true,
            Ok(_) => sleep(PACE),
            Err(error) => {
                debug!("{error}");
                return false;
            }
        }
    }
    false
}
