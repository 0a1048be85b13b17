//! Which of the sockets that another process has held can be used here.
//!
//! A socket belongs to the network namespace in which it was made, and a Unix socket to the file system in which its
//! file is: HAProxy would use one of another place without a word, and no client that connects here would be served.

use std::collections::HashSet;
use std::os::unix::fs::FileTypeExt;

use clearway_haproxy::getsocks::ReceivedSocket;
use clearway_haproxy::inventory::{InventoryError, LocalAddress, SocketIdentity, SocketKind};
use clearway_kernel::listeners;

use crate::custody::held::Held;
use crate::custody::notices::CustodyNotice;
use crate::ground::notice::tell;

/// Why none of them can be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// One is no socket that HAProxy could use.
    #[error(transparent)]
    Unknown(#[from] InventoryError),
    /// They are of another network.
    #[error("its socket for {0} is of another network namespace")]
    Elsewhere(SocketIdentity),
}

/// Those that can be used; an error if they are of another network. The kernel is asked once, however many there are.
pub fn received(sockets: Vec<ReceivedSocket>) -> Result<Vec<Held>, Unusable> {
    let sockets = sockets.into_iter().map(Held::received).collect::<Result<Vec<_>, _>>()?;
    // Without `inet_diag` nothing can be said.
    if let Ok(listening) = listeners::listening(None)
        && let Some(elsewhere) = sockets.iter().find(|held| is_elsewhere(held, &listening))
    {
        return Err(Unusable::Elsewhere(elsewhere.identity.clone()));
    }
    Ok(sockets.into_iter().filter(is_reached).collect())
}

/// Whether its path is here, if it has one.
fn is_reached(held: &Held) -> bool {
    let LocalAddress::Path(path) = &held.identity.address else { return true };
    let is_here = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_here {
        tell(&CustodyNotice::BoundAnew { socket: held.identity.to_string() });
    }
    is_here
}

/// Whether a TCP socket is not of our network namespace: not among those (by inode) that listen here. Only one that is
/// missing there is asked for alone.
fn is_elsewhere(held: &Held, listening: &HashSet<u64>) -> bool {
    let Some(address) = held.address() else { return false };
    let says_nothing = held.identity.kind == SocketKind::Datagram || !held.identity.listening;
    if says_nothing || held.has_namespace() || listening.contains(&held.inode()) {
        return false;
    }
    listeners::listening(Some(address.port())).is_ok_and(|there| !there.contains(&held.inode()))
}
