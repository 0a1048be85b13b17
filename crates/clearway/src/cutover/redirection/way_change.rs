//! From the ways to one generation to those to another, for the thread that switches.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use clearway_core::failure::Failure;
use clearway_kernel::flip::Way;

use super::table::{SharedFlip, ensure, failed, lock, not_redirected_back, private_address};
use crate::cutover::switch::cancel::Cancel;
use crate::ground::notice::tell;

/// From some ways to others.
#[derive(Clone, Debug)]
pub struct WayChange {
    flip: SharedFlip,
    to: Vec<Way>,
    from: Vec<Way>,
    /// The public addresses of `to`.
    publics: HashSet<SocketAddr>,
    /// Which private address stood for which public one.
    formers: HashMap<SocketAddr, SocketAddr>,
}

impl WayChange {
    pub(super) fn between(flip: SharedFlip, from: &[Way], to: &[Way]) -> Self {
        let publics = to.iter().map(|way| way.public).collect();
        let formers = from.iter().map(|way| (private_address(way), way.public)).collect();
        Self { flip, to: to.to_vec(), from: from.to_vec(), publics, formers }
    }

    /// Sends new clients the new ways, unless that is decided in the loop by now; says whether it did.
    pub fn make(&self, cancel: &Cancel) -> Result<bool, Failure> {
        let mut flip = lock(&self.flip);
        // With the lock: what the loop does after its decision comes later.
        if cancel.is_decided() {
            return Ok(false);
        }
        ensure(&mut flip, &self.to).map(|()| true).map_err(|error| failed(&error))
    }

    /// As before, unless the generation serves by now.
    pub fn undo(&self, cancel: &Cancel) {
        let mut flip = lock(&self.flip);
        if cancel.is_overtaken() {
            return;
        }
        if let Err(error) = ensure(&mut flip, &self.from) {
            tell(&not_redirected_back(&error));
        }
    }

    /// Whether the clients of a socket are sent elsewhere from now on. In a takeover it is not known which of the former
    /// sockets are at private ports, to which the predecessor's table leads again if this generation fails.
    pub fn leads_away_from(&self, leaving: SocketAddr) -> bool {
        self.from.is_empty() || self.public_of(leaving).is_some()
    }

    /// The public address of a socket whose clients are sent elsewhere from now on, if it is one.
    pub fn public_of(&self, leaving: SocketAddr) -> Option<SocketAddr> {
        let public = self.formers.get(&leaving).copied().unwrap_or(leaving);
        self.publics.contains(&public).then_some(public)
    }
}
