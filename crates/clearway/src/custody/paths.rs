//! Unix sockets whose path does not lead to them any more: their file was removed or replaced, or, in a takeover, is that
//! of another container.
//!
//! HAProxy would take such a socket when it is offered one, serve what waits there, and be out of reach for every new
//! client. So the next generation is not offered it and binds a new one, as at a first start; the commit closes the old. It is looked
//! before each start of a generation, on a thread, since a file system may hang. Where no other socket can be bound
//! there (the directory has gone), the old one is handed over all the same: everything else is to be served.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use clearway_haproxy::configuration::{BindLines, Configuration};
use clearway_haproxy::inventory::{LocalAddress, SocketIdentity};
use clearway_kernel::paths::{self, MovedPath};
use tokio::sync::oneshot;

use crate::custody::held::Held;
use crate::custody::notices::CustodyNotice;
use crate::custody::sockets::Sockets;
use crate::ground::aside::Single;
use crate::ground::notice::tell;

/// Begins to look at the paths of what is in custody; nothing is told if there are none, or an earlier look still hangs.
pub fn look(looking: &Single, sockets: &Sockets) -> Option<oneshot::Receiver<Vec<MovedPath>>> {
    let sockets: Vec<(u64, PathBuf)> = sockets.all().iter().filter_map(bound).collect();
    if sockets.is_empty() {
        return None;
    }
    let (sender, receiver) = oneshot::channel();
    let begun = looking.spawn(
        "looking at the paths of Unix sockets",
        move || paths::moved(&sockets),
        |moved| {
            // It may not be waited for any more.
            let _ = sender.send(moved);
        },
    );
    begun.then_some(receiver)
}

fn bound(held: &Held) -> Option<(u64, PathBuf)> {
    match &held.identity.address {
        LocalAddress::Path(path) => Some((held.inode(), path.clone())),
        _ => None,
    }
}

/// The sockets in custody that are not to be offered, by inode; says so.
pub fn left_out(sockets: &Sockets, moved: &[MovedPath], configuration: &Configuration) -> HashSet<u64> {
    if moved.is_empty() {
        return HashSet::new();
    }
    let lines = BindLines::of(configuration);
    let moved: HashMap<u64, &MovedPath> = moved.iter().map(|one| (one.socket, one)).collect();
    let mut left_out = HashSet::new();
    for Held { identity, .. } in sockets.all() {
        let Some(one) = moved.get(&identity.inode.0) else { continue };
        tell(&notice(identity, one, &lines));
        if one.obstacle.is_none() {
            left_out.insert(one.socket);
        }
    }
    left_out
}

fn notice(socket: &SocketIdentity, moved: &MovedPath, lines: &BindLines<'_>) -> CustodyNotice {
    let line = lines.that_make(socket).next().map(|bind| bind.span.to_string());
    let (found, obstacle) = (moved.found.to_string(), moved.obstacle.clone());
    CustodyNotice::PathGone { socket: socket.to_string(), line, found, obstacle }
}
