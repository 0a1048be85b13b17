//! The table that all generations share.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clearway_core::failure::Failure;
use clearway_core::strategy::Strategy;
use clearway_kernel::flip::{Flip, FlipError, Way};

use crate::cutover::notices::CutoverNotice;
use crate::ground::failure::Unavailable;

/// The table, as the loop and the thread of a switch have it.
pub type SharedFlip = Arc<Mutex<Flip>>;

/// The table, for a moment.
pub fn lock(flip: &SharedFlip) -> MutexGuard<'_, Flip> {
    flip.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Flips, unless new clients go these ways already.
pub fn ensure(flip: &mut Flip, ways: &[Way]) -> Result<(), FlipError> {
    if flip.ways().iter().eq(ways.iter().collect::<BTreeSet<_>>()) { Ok(()) } else { flip.flip(ways) }
}

/// Where HAProxy listens.
pub fn private_address(way: &Way) -> SocketAddr {
    SocketAddr::new(way.public.ip(), way.private)
}

/// The strategy cannot be had.
pub fn failed(error: &FlipError) -> Failure {
    Unavailable::of(Strategy::TableFlip, error).into()
}

/// Clients are still sent to a generation that failed.
pub fn not_redirected_back(error: &FlipError) -> CutoverNotice {
    let hints = vec!["`clearway reload` sends them elsewhere".to_owned()];
    CutoverNotice::NotRedirectedBack { error: error.to_string(), hints }
}
