//! One socket in custody: a duplicate of a listening socket of HAProxy's, or one that Clearway has made for it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use clearway_haproxy::configuration::BindLines;
use clearway_haproxy::getsocks::{OfferedSocket, ReceivedSocket};
use clearway_haproxy::inventory::{InventoryError, LocalAddress, SocketIdentity, SocketKind};
use clearway_kernel::queues::Listener;
use serde::{Deserialize, Serialize};
use socket2::SockRef;

/// What a `bind` line calls the network namespace and the interface of its socket, which the kernel does not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// `namespace` of the bind line, empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// `interface` of the bind line, empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface: String,
}

/// How many clients may wait at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub(super) from: u32,
    pub(super) to: u32,
}

/// One socket in custody.
#[derive(Debug)]
pub struct Held {
    socket: ReceivedSocket,
    /// What the socket is, asked of the kernel once. The interface as the `bind` line names it, if HAProxy said so.
    pub identity: SocketIdentity,
    /// Its backlog once it is committed, as far as its line says; what the next one is compared with.
    pub limit: Option<u32>,
    /// What the commit changes about that.
    pub change: Option<Change>,
}

impl Held {
    /// A socket that HAProxy answered with, or that another process has kept.
    pub fn received(socket: ReceivedSocket) -> Result<Self, InventoryError> {
        let mut identity = SocketIdentity::of(socket.fd.as_fd())?;
        if !socket.interface.is_empty() {
            identity.device = Some(socket.interface.clone());
        }
        Ok(Self { identity, limit: None, change: None, socket })
    }

    /// A socket that Clearway made itself.
    pub fn made(fd: OwnedFd, interface: &str) -> Result<Self, InventoryError> {
        let (namespace, interface) = (String::new(), interface.to_owned());
        Self::received(ReceivedSocket { fd, namespace, interface })
    }

    /// Adds what HAProxy leaves out for UDP sockets (QUIC, `dgram-bind`) and compares all the same when it is offered
    /// one (docs/facts A.2): the interface and the namespace, as the line has them that made the socket. Where lines
    /// disagree nothing is added, and HAProxy will not recognise the socket.
    pub fn complete(&mut self, lines: &BindLines<'_>) {
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

    /// Its descriptor.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }

    /// Its inode, by which it is known.
    pub fn inode(&self) -> u64 {
        self.identity.inode.0
    }

    /// Where it listens, if that is an address of IP.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.identity.address {
            LocalAddress::Ip(address) => Some(address),
            _ => None,
        }
    }

    /// What its `bind` line calls its network namespace and interface.
    pub fn names(&self) -> Names {
        let ReceivedSocket { namespace, interface, .. } = &self.socket;
        Names { namespace: namespace.clone(), interface: interface.clone() }
    }

    /// Whether it is of another network namespace, which its `bind` line names.
    pub fn has_namespace(&self) -> bool {
        !self.socket.namespace.is_empty()
    }

    /// Whether HAProxy can make another one at the same place, with new clients being sent to either of both: TCP at an
    /// address of this host, in this network namespace, without `noreuseport`. Not Multipath TCP: the kernel takes
    /// neither a filter nor a choice for it (`ENOTSUP`, measured on 6.18). `is_local`: whether this host has an address,
    /// which costs a socket to find out.
    pub fn can_be_bound_beside(&self, is_local: impl FnOnce(IpAddr) -> bool) -> bool {
        let local = || self.address().is_some_and(|at| is_local(at.ip()));
        let shares = || SockRef::from(&self.socket.fd).reuse_port().unwrap_or(false);
        self.is_tcp() && !self.has_namespace() && local() && shares()
    }

    /// Whether it is TCP's, of this network namespace or another one.
    pub fn is_tcp(&self) -> bool {
        self.identity.kind == SocketKind::Stream && self.address().is_some()
    }

    /// Whether it is bound to one of these addresses.
    pub fn is_one_of(&self, addresses: &HashSet<SocketAddr>) -> bool {
        self.address().is_some_and(|at| addresses.contains(&at))
    }

    /// What there is to know to wait for its clients, if it is TCP's.
    pub fn listener(&self) -> Option<Listener> {
        let address = self.address().filter(|_| self.is_tcp())?;
        Some(Listener { inode: self.inode(), address, v6only: self.identity.v6only })
    }
}

/// The form in which sockets are offered to HAProxy, which takes them from the end (docs/facts A.3): in reverse, so
/// that of several with one address the first ones stay if it needs fewer.
pub fn offered<'a>(sockets: impl DoubleEndedIterator<Item = &'a Held>) -> Vec<OfferedSocket<'a>> {
    sockets.rev().map(|held| OfferedSocket::from(&held.socket)).collect()
}

#[cfg(test)]
mod tests;
