//! Custody: the listening sockets that Clearway holds, so that nothing that happens to HAProxy closes them.
//!
//! They come from HAProxy itself: after a generation has proved itself, its own `_getsocks` answer *is* the
//! custody. They go to the next generation over `-x sockpair@N`. What is held is a duplicate: the socket
//! lives as long as any of its holders, and connections wait in its queue meanwhile.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use clearway_haproxy::configuration::Lines;
use clearway_haproxy::getsocks::{OfferedSocket, ReceivedSocket};
use clearway_haproxy::inventory::{InventoryError, SocketIdentity, SocketKind};

use super::backlog::Change;

/// One socket in custody.
#[derive(Debug)]
pub struct Held {
    socket: ReceivedSocket,
    /// What the socket is, asked of the kernel once. The interface as the `bind` line names it, if HAProxy said so.
    pub identity: SocketIdentity,
    /// How many clients may wait at it once it is committed, as far as its line says; what the next one is compared with.
    pub limit: Option<u32>,
    /// What the commit changes about that.
    pub change: Option<Change>,
}

impl Held {
    /// Its descriptor.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }

    /// A socket that HAProxy answered with.
    pub fn received(socket: ReceivedSocket) -> Result<Self, InventoryError> {
        let mut identity = SocketIdentity::of(socket.fd.as_fd())?;
        if !socket.interface.is_empty() {
            identity.device = Some(socket.interface.clone());
        }
        Ok(Self { identity, limit: None, change: None, socket })
    }

    /// Adds what HAProxy leaves out for UDP sockets (QUIC, `dgram-bind`) and compares all the same when it is offered
    /// one (knowledge A.2): the interface and the namespace, as the line has them that made the socket. Where lines
    /// disagree nothing is added, and HAProxy will not recognise the socket.
    pub fn complete(&mut self, lines: &Lines<'_>) {
        if self.identity.kind != SocketKind::Datagram {
            return;
        }
        let mut said = lines.that_make(&self.identity).map(|bind| (&bind.interface, &bind.namespace));
        let Some(first) = said.next() else { return };
        if said.all(|other| other == first) {
            self.socket.interface = first.0.clone().unwrap_or_default();
            self.socket.namespace = first.1.clone().unwrap_or_default();
        }
    }

    /// A socket that Clearway made itself.
    pub fn made(fd: OwnedFd, interface: &str) -> Result<Self, InventoryError> {
        let (namespace, interface) = (String::new(), interface.to_owned());
        Self::received(ReceivedSocket { fd, namespace, interface })
    }
}

/// All sockets in custody.
#[derive(Debug, Default)]
pub struct Custody {
    sockets: Vec<Held>,
}

impl Custody {
    /// These sockets from now on: those that were held before in the order in which they were, then the others.
    ///
    /// So they stay in the order in which they began to listen, which is the kernel's within one address
    /// ([`clearway_kernel::steering`]): HAProxy answers in the order of its descriptors, and makes a socket and
    /// listens on it before it makes the next. And the name of an interface that has gone meanwhile, which the kernel
    /// does not tell any more, is known from before.
    pub fn of(mut sockets: Vec<Held>, before: &[SocketIdentity]) -> Self {
        let known: HashMap<_, _> =
            before.iter().enumerate().map(|(place, held)| (held.inode, (place, held))).collect();
        for Held { identity, .. } in &mut sockets {
            if let (None, Some((_, before))) = (&identity.device, known.get(&identity.inode)) {
                identity.device.clone_from(&before.device);
            }
        }
        sockets.sort_by_key(|held| known.get(&held.identity.inode).map_or(usize::MAX, |(place, _)| *place));
        Self { sockets }
    }

    /// What is held.
    pub fn sockets(&self) -> &[Held] {
        &self.sockets
    }

    /// The same, to add to what is known of them.
    pub fn sockets_mut(&mut self) -> &mut [Held] {
        &mut self.sockets
    }

    /// Their inodes.
    pub fn inodes(&self) -> HashSet<u64> {
        self.sockets.iter().map(|held| held.identity.inode.0).collect()
    }

    /// The addresses, for people.
    pub fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> = self.sockets.iter().map(|held| held.identity.to_string()).collect();
        addresses.sort();
        addresses
    }
}

/// The form in which sockets are offered to HAProxy, which takes them from the end (knowledge A.3): in reverse, so
/// that of several with one address the first ones stay if it needs fewer.
pub fn offered<'a>(sockets: impl DoubleEndedIterator<Item = &'a Held>) -> Vec<OfferedSocket<'a>> {
    sockets.rev().map(|held| OfferedSocket::from(&held.socket)).collect()
}

#[cfg(test)]
mod tests;
