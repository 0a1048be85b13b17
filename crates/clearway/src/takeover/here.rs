//! Which of the sockets that another Clearway gave can be used here.
//!
//! A socket belongs to the network namespace in which it was made, and a Unix socket to the file system in which its
//! file is: HAProxy would use one of another place without a word, and nobody who connects here would be served.

use std::os::unix::fs::FileTypeExt;

use clearway_haproxy::inventory::{LocalAddress, SocketKind};
use clearway_kernel::listeners;
use tracing::info;

use crate::shell::custody::Held;

/// Those that can be used; an error if they are of another network.
pub fn usable(sockets: Vec<Held>) -> Result<Vec<Held>, String> {
    if let Some(elsewhere) = sockets.iter().find_map(elsewhere) {
        return Err(elsewhere);
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

/// Says so, if the kernel does not know a TCP socket in our network namespace; without `inet_diag` nothing can be said.
fn elsewhere(held: &Held) -> Option<String> {
    let LocalAddress::Ip(address) = held.identity.address else { return None };
    if held.identity.kind == SocketKind::Datagram || !held.identity.listening || held.has_namespace() {
        return None;
    }
    let known = listeners::holders(address.port(), None).ok()?;
    let is_known = known.iter().any(|holder| u64::from(holder.inode) == held.identity.inode.0);
    (!is_known).then(|| format!("its socket for {} is of another network namespace", held.identity))
}
