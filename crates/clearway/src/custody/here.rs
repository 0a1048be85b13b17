//! Which of the sockets that another Clearway gave can be used here.
//!
//! A socket belongs to the network namespace in which it was made, and a Unix socket to the file system in which its
//! file is: HAProxy would use one of another place without a word, and nobody who connects here would be served.

use std::collections::HashSet;
use std::os::unix::fs::FileTypeExt;

use clearway_haproxy::inventory::{LocalAddress, SocketKind};
use clearway_kernel::listeners;
use tracing::info;

use crate::custody::held::Held;

/// Those that can be used; an error if they are of another network. The kernel is asked once, however many there are.
pub fn usable(sockets: Vec<Held>) -> Result<Vec<Held>, String> {
    // Without `inet_diag` nothing can be said.
    if let Ok(listening) = listeners::listening(None)
        && let Some(elsewhere) = sockets.iter().find(|held| is_elsewhere(held, &listening))
    {
        return Err(format!("its socket for {} is of another network namespace", elsewhere.identity));
    }
    let is_here = |held: &Held| match &held.identity.address {
        LocalAddress::Path(path) => {
            let is_here = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
            if !is_here {
                info!("{} is bound anew: it is not in this file system", held.identity);
            }
            is_here
        }
        _ => true,
    };
    Ok(sockets.into_iter().filter(is_here).collect())
}

/// Whether a TCP socket is not of our network namespace: not among those (by inode) that listen here. Only one that is
/// missing there is asked for alone.
fn is_elsewhere(held: &Held, listening: &HashSet<u64>) -> bool {
    let LocalAddress::Ip(address) = held.identity.address else { return false };
    let says_nothing = held.identity.kind == SocketKind::Datagram || !held.identity.listening;
    let is_among = |inodes: &HashSet<u64>| inodes.contains(&held.identity.inode.0);
    if says_nothing || held.has_namespace() || is_among(listening) {
        return false;
    }
    listeners::listening(Some(address.port())).is_ok_and(|there| !is_among(&there))
}
