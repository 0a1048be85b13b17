//! Custody: the listening sockets that Clearway holds, so that nothing that happens to HAProxy closes them.
//!
//! They come from HAProxy itself: after a generation has proved itself, its own `_getsocks` answer *is* the
//! custody. They go to the next generation over `-x sockpair@N`. What is held is a duplicate: the socket
//! lives as long as any of its holders, and connections wait in its queue meanwhile.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use clearway_haproxy::getsocks::{OfferedSocket, ReceivedSocket};
use clearway_haproxy::inventory::{InventoryError, SocketIdentity};

use super::backlog::Change;

/// One socket in custody.
#[derive(Debug)]
pub struct Held {
    socket: ReceivedSocket,
    /// What the socket is, asked of the kernel once.
    pub identity: SocketIdentity,
    /// What the commit changes at its queue.
    pub limit: Option<Change>,
}

impl Held {
    /// Its descriptor.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }

    /// A socket that HAProxy answered with.
    pub fn received(socket: ReceivedSocket) -> Result<Self, InventoryError> {
        Ok(Self { identity: SocketIdentity::of(socket.fd.as_fd())?, limit: None, socket })
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
    /// listens on it before it makes the next.
    pub fn of(mut sockets: Vec<Held>, before: &[SocketIdentity]) -> Self {
        let places: HashMap<_, _> =
            before.iter().enumerate().map(|(place, held)| (held.inode, place)).collect();
        sockets.sort_by_key(|held| places.get(&held.identity.inode).copied().unwrap_or(usize::MAX));
        Self { sockets }
    }

    /// What is held.
    pub fn sockets(&self) -> &[Held] {
        &self.sockets
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
