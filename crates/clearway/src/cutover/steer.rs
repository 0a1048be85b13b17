//! Steering by way of what is held: the kernel takes a program for a group of sockets from any one of them.

use std::os::fd::BorrowedFd;

use clearway_kernel::steering::{self, ReuseportGroup};
use tracing::warn;

use crate::custody::sockets::Sockets;

/// Does something to a group of the kernel's by way of one of its sockets that is held; says whether it is done. Why not
/// is logged.
pub fn through(
    group: &ReuseportGroup,
    sets: &[&Sockets],
    what: fn(&ReuseportGroup, BorrowedFd<'_>) -> Result<(), steering::SteeringError>,
) -> bool {
    let held = |inode: &u64| sets.iter().find_map(|set| set.socket(*inode));
    let via = group.members().iter().find_map(held);
    via.is_some_and(|held| what(group, held.descriptor()).inspect_err(|error| warn!("{error}")).is_ok())
}
