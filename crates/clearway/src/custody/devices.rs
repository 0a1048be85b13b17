//! Sockets of an interface that was deleted and made anew (`bind ... interface eth1`).
//!
//! A socket is bound to the number of its interface, and the new one has another: it hears nothing, at whatever reload
//! it is handed over (haproxy issue #2413). So the next generation is not offered it and binds a new one; the commit
//! closes the old. While there is no interface of the name, the socket is handed over like any other: HAProxy could
//! bind none in its place (it would listen on all interfaces then, or not start), and everything else is to be served.

use std::collections::HashSet;

use clearway_haproxy::configuration::{BindLines, Configuration};
use clearway_haproxy::inventory::{LocalAddress, SocketIdentity, SocketKind};
use clearway_kernel::interfaces::was_made_anew;
use clearway_kernel::listeners::is_local;

use crate::custody::held::Held;
use crate::custody::notices::CustodyNotice;
use crate::custody::sockets::Sockets;
use crate::ground::notice::tell;

/// The sockets in custody that are not to be offered, by inode; says so.
pub fn left_out(sockets: &Sockets, configuration: &Configuration) -> HashSet<u64> {
    let deaf: Vec<&Held> = sockets.all().iter().filter(|held| is_deaf(held)).collect();
    if deaf.is_empty() {
        return HashSet::new();
    }
    let lines = BindLines::of(configuration);
    for held in &deaf {
        tell(&notice(&held.identity, &lines));
    }
    deaf.iter().map(|held| held.inode()).collect()
}

fn is_deaf(held: &Held) -> bool {
    let Some(device) = &held.identity.device else { return false };
    was_made_anew(held.descriptor(), device) && can_be_bound(&held.identity)
}

/// Whether HAProxy can make another one: where this host does not have the address (yet), it cannot, and we do it for
/// TCP only.
fn can_be_bound(socket: &SocketIdentity) -> bool {
    match &socket.address {
        LocalAddress::Ip(address) => socket.kind != SocketKind::Datagram || is_local(address.ip()),
        _ => false,
    }
}

fn notice(socket: &SocketIdentity, lines: &BindLines<'_>) -> CustodyNotice {
    let line = lines.that_make(socket).next().map(|bind| bind.span.to_string());
    let interface = socket.device.clone().unwrap_or_default();
    CustodyNotice::InterfaceGone { socket: socket.to_string(), line, interface }
}

#[cfg(test)]
mod tests;
