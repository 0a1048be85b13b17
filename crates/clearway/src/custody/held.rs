//! Custody: the listening sockets that Clearway holds, so that nothing that happens to HAProxy closes them.
//!
//! They come from HAProxy itself: after a generation has proved itself, its own `_getsocks` answer *is* the
//! custody. They go to the next generation over `-x sockpair@N`. What is held is a duplicate: the socket
//! lives as long as any of its holders, and connections wait in its queue meanwhile.

use std::collections::{HashMap, HashSet};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use clearway_haproxy::configuration::Lines;
use clearway_haproxy::getsocks::{OfferedSocket, ReceivedSocket};
use clearway_haproxy::inventory::{InventoryError, LocalAddress, SocketIdentity, SocketKind};
use clearway_kernel::listeners::is_local;
use clearway_kernel::queues::Listener;
use clearway_kernel::steering::{self, Fate, ReuseportGroup};
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tracing::warn;

use crate::custody::backlog::Change;

/// How many clients may wait where nobody said how many: the kernel has its own limit (`net.core.somaxconn`).
const MOST: i32 = 4096;

/// What the kernel does not tell of a socket, and goes with its descriptor to another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// `namespace` of the bind line, empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// `interface` of the bind line, empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface: String,
}

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
    /// neither a filter nor a choice for it (`ENOTSUP`, measured on 6.18).
    pub fn can_be_bound_beside(&self) -> bool {
        let local = matches!(self.identity.address, LocalAddress::Ip(at) if is_local(at.ip()));
        let shares = || SockRef::from(&self.socket.fd).reuse_port().unwrap_or(false);
        self.is_tcp() && local && !self.has_namespace() && shares()
    }

    /// Whether it is TCP's, of this network namespace or another one.
    fn is_tcp(&self) -> bool {
        matches!((self.identity.kind, &self.identity.address), (SocketKind::Stream, LocalAddress::Ip(_)))
    }

    /// Whether it is bound to one of these addresses.
    pub fn is_one_of(&self, addresses: &HashSet<SocketAddr>) -> bool {
        matches!(self.identity.address, LocalAddress::Ip(at) if addresses.contains(&at))
    }

    /// What there is to know to wait for its clients, if it is TCP's.
    pub fn listener(&self) -> Option<Listener> {
        let SocketIdentity { inode, address, v6only, .. } = &self.identity;
        match address {
            LocalAddress::Ip(at) if self.is_tcp() => {
                Some(Listener { inode: inode.0, address: *at, v6only: *v6only })
            }
            _ => None,
        }
    }

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
    /// one (docs/facts A.2): the interface and the namespace, as the line has them that made the socket. Where lines
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

/// Does something to a group of the kernel's by way of one of its sockets that is held; says whether it is done. Why not
/// is logged.
pub fn through(
    group: &ReuseportGroup,
    custodies: &[&Custody],
    what: fn(&ReuseportGroup, BorrowedFd<'_>) -> Result<(), steering::SteeringError>,
) -> bool {
    let held = |inode: &u64| custodies.iter().find_map(|custody| custody.socket(*inode));
    let via = group.members().iter().find_map(held);
    via.is_some_and(|held| what(group, held.descriptor()).inspect_err(|error| warn!("{error}")).is_ok())
}

/// All sockets in custody.
#[derive(Debug, Default)]
pub struct Custody {
    sockets: Vec<Held>,
    /// Where each is, by inode.
    places: HashMap<u64, usize>,
    /// Those (by inode) of which it is only known that they are before the others of their address.
    shuffled: HashSet<u64>,
    /// Where others listened as well when these were handed over or made.
    crowded: HashSet<SocketAddr>,
}

impl Custody {
    /// These sockets from now on: those that were held before in the order in which they were, then the others.
    ///
    /// So they stay in the order in which they began to listen, which is the kernel's within one address
    /// ([`clearway_kernel::steering`]): HAProxy answers in the order of its descriptors, and makes a socket and
    /// listens on it before it makes the next. Where others leave than the last ones, the kernel changes that
    /// order, and those that remain are [`Self::shuffled`] from then on. And the name of an interface that has gone
    /// meanwhile, which the kernel does not tell any more, is known from before.
    pub fn of(mut sockets: Vec<Held>, before: &[SocketIdentity], shuffled: &HashSet<u64>) -> Self {
        let known: HashMap<_, _> =
            before.iter().enumerate().map(|(place, held)| (held.inode, (place, held))).collect();
        for Held { identity, .. } in &mut sockets {
            if let (None, Some((_, before))) = (&identity.device, known.get(&identity.inode)) {
                identity.device.clone_from(&before.device);
            }
        }
        sockets.sort_by_key(|held| known.get(&held.identity.inode).map_or(usize::MAX, |(place, _)| *place));
        let shuffled = shuffle(&sockets, before, shuffled);
        Self::with(sockets, shuffled)
    }

    fn with(sockets: Vec<Held>, shuffled: HashSet<u64>) -> Self {
        let places = sockets.iter().enumerate().map(|(place, held)| (held.identity.inode.0, place)).collect();
        Self { sockets, places, shuffled, crowded: HashSet::new() }
    }

    /// The same, if others listened at these addresses before the new ones of these sockets did: somebody may have gone
    /// since, and the last one have come to be the first.
    #[must_use]
    pub fn beside_others(mut self, crowded: HashSet<SocketAddr>) -> Self {
        let there = self.sockets.iter().filter(|held| held.is_one_of(&crowded));
        self.shuffled.extend(there.map(|held| held.identity.inode.0));
        self.crowded = crowded;
        self
    }

    /// Where nobody knows which sockets of an address are the new ones, by their order.
    pub fn crowded(&self) -> &HashSet<SocketAddr> {
        &self.crowded
    }

    /// What another Clearway gave: of several with one address nobody says in which order they are.
    pub fn inherited(sockets: Vec<Held>) -> Self {
        let shuffled = sockets.iter().map(|held| held.identity.inode.0).collect();
        Self::with(sockets, shuffled)
    }

    /// Whoever has moved clients away from these sockets has come to nothing, or has died: they hear SYNs again.
    pub fn unseal(&self) {
        for held in self.sockets.iter().filter(|held| held.is_tcp()) {
            if let Err(error) = steering::unseal(held.descriptor()) {
                warn!("{}: {error}", held.identity);
            }
        }
    }

    /// The same, also for what another Clearway has closed to new clients.
    pub fn hear_again(&self) {
        self.unseal();
        let listened = |held: &&Held| held.is_tcp() && held.identity.listening;
        for held in self.sockets.iter().filter(listened) {
            let socket = SockRef::from(&held.socket.fd);
            let most = held.limit.and_then(|limit| i32::try_from(limit).ok()).unwrap_or(MOST);
            let outcome =
                socket.is_listener().and_then(|listens| if listens { Ok(()) } else { socket.listen(most) });
            if let Err(error) = outcome {
                warn!("{} does not listen any more: {error}", held.identity);
            }
        }
    }

    /// Takes `listen` back from these, whoever else has them: new clients go to whatever else listens at their addresses.
    /// Who waits there is reset.
    pub fn hear_no_more(&self, listeners: &[Listener]) {
        let inodes: HashSet<u64> = listeners.iter().map(|one| one.inode).collect();
        let leaving = |held: &&Held| inodes.contains(&held.identity.inode.0);
        for held in self.sockets.iter().filter(leaving) {
            if let Err(error) = SockRef::from(&held.socket.fd).shutdown(Shutdown::Read) {
                warn!("{} accepts new clients that no HAProxy will serve: {error}", held.identity);
            }
        }
    }

    /// The sockets (by inode) that are the first ones of their address, in some order.
    pub fn shuffled(&self) -> &HashSet<u64> {
        &self.shuffled
    }

    /// The one with this inode.
    pub fn socket(&self, inode: u64) -> Option<&Held> {
        self.sockets.get(*self.places.get(&inode)?)
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

/// The form in which sockets are offered to HAProxy, which takes them from the end (docs/facts A.3): in reverse, so
/// that of several with one address the first ones stay if it needs fewer.
pub fn offered<'a>(sockets: impl DoubleEndedIterator<Item = &'a Held>) -> Vec<OfferedSocket<'a>> {
    sockets.rev().map(|held| OfferedSocket::from(&held.socket)).collect()
}

/// Which of the sockets are in some order when those of `before` that are not among them are closed. Sockets of one
/// address that are of several groups (interfaces) are taken for one: that is not wrong, only careful.
fn shuffle(sockets: &[Held], before: &[SocketIdentity], already: &HashSet<u64>) -> HashSet<u64> {
    let remain: HashSet<_> = sockets.iter().map(|held| held.identity.inode).collect();
    let known: HashSet<_> = before.iter().map(|identity| identity.inode).collect();
    let fresh = sockets.iter().map(|held| &held.identity).filter(|identity| !known.contains(&identity.inode));
    let mut addresses: HashMap<SocketAddr, Vec<(u64, Fate)>> = HashMap::new();
    for identity in before.iter().chain(fresh) {
        if let LocalAddress::Ip(address) = identity.address {
            let fate = if remain.contains(&identity.inode) { Fate::Stays } else { Fate::Leaves };
            addresses.entry(address).or_default().push((identity.inode.0, fate));
        }
    }
    let mut shuffled = HashSet::new();
    for members in addresses.values() {
        let fates: Vec<Fate> = members.iter().map(|(_, fate)| *fate).collect();
        let is_kept = steering::order_is_kept(&fates);
        let stay = members.iter().filter(|(_, fate)| *fate == Fate::Stays).map(|(inode, _)| *inode);
        shuffled.extend(stay.filter(|inode| !is_kept || already.contains(inode)));
    }
    shuffled
}

#[cfg(test)]
mod tests;
