//! Custody: the listening sockets that Clearway holds, so that nothing that happens to HAProxy closes them.
//!
//! They come from HAProxy itself: after a generation has proved itself, its own `_getsocks` answer *is* the
//! custody. They go to the next generation over `-x sockpair@N`. What is held is a duplicate: the socket
//! lives as long as any of its holders, and connections wait in its queue meanwhile.

use std::os::fd::{AsFd, OwnedFd};

use clearway_haproxy::getsocks::{OfferedSocket, ReceivedSocket};
use clearway_haproxy::inventory::{InventoryError, SocketIdentity};

/// One socket in custody.
#[derive(Debug)]
pub struct Held {
    socket: ReceivedSocket,
    /// What the socket is, asked of the kernel once.
    pub identity: SocketIdentity,
}

impl Held {
    /// A socket that HAProxy answered with.
    pub fn received(socket: ReceivedSocket) -> Result<Self, InventoryError> {
        Ok(Self { identity: SocketIdentity::of(socket.fd.as_fd())?, socket })
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
    /// These sockets from now on.
    pub fn of(sockets: Vec<Held>) -> Self {
        Self { sockets }
    }

    /// What is held.
    pub fn sockets(&self) -> &[Held] {
        &self.sockets
    }

    /// The addresses, for people.
    pub fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> = self.sockets.iter().map(|held| held.identity.to_string()).collect();
        addresses.sort();
        addresses
    }
}

/// The form in which sockets are offered to HAProxy.
pub fn offered<'a>(sockets: impl Iterator<Item = &'a Held>) -> Vec<OfferedSocket<'a>> {
    sockets.map(|held| OfferedSocket::from(&held.socket)).collect()
}
