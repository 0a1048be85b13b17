//! All sockets that are held at one time, in their order. A set never changes: each commit makes another one.
//!
//! They come from HAProxy itself: after a generation has proved itself, its own `_getsocks` answer *is* the set. What is
//! held is a duplicate: the socket lives as long as any of its holders, and connections wait in its queue meanwhile.

use std::collections::{HashMap, HashSet};
use std::net::{Shutdown, SocketAddr};

use clearway_haproxy::inventory::SocketIdentity;
use clearway_kernel::queues::Listener;
use clearway_kernel::steering;
use socket2::SockRef;

use crate::custody::held::Held;
use crate::custody::notices::CustodyNotice;
use crate::debug;
use crate::ground::notice::tell;
use order::shuffle;

mod order;

/// The backlog of a socket whose line is not known: the kernel has its own limit (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// All sockets that are held at one time.
#[derive(Debug, Default)]
pub struct Sockets {
    held: Vec<Held>,
    /// Where each is, by inode.
    places: HashMap<u64, usize>,
    /// Those (by inode) of which it is only known that they are before the others of their address.
    shuffled: HashSet<u64>,
    /// Where other processes listened as well when these were handed over or made.
    crowded: HashSet<SocketAddr>,
}

impl Sockets {
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

    /// What another process has held: of several with one address the order is not known.
    pub fn inherited(sockets: Vec<Held>) -> Self {
        let shuffled = sockets.iter().map(Held::inode).collect();
        Self::with(sockets, shuffled)
    }

    fn with(held: Vec<Held>, shuffled: HashSet<u64>) -> Self {
        let places = held.iter().enumerate().map(|(place, held)| (held.inode(), place)).collect();
        Self { held, places, shuffled, crowded: HashSet::new() }
    }

    /// The same, if other processes listened at these addresses before the new ones of these sockets did: one of theirs
    /// may have gone since, and the last one have come to be the first.
    #[must_use]
    pub fn beside_others(mut self, crowded: HashSet<SocketAddr>) -> Self {
        let there = self.held.iter().filter(|held| held.is_one_of(&crowded));
        self.shuffled.extend(there.map(Held::inode));
        self.crowded = crowded;
        self
    }

    /// Where the order does not tell which sockets of an address are the new ones.
    pub fn crowded(&self) -> &HashSet<SocketAddr> {
        &self.crowded
    }

    /// The sockets (by inode) that are the first ones of their address, in some order.
    pub fn shuffled(&self) -> &HashSet<u64> {
        &self.shuffled
    }

    /// The one with this inode.
    pub fn socket(&self, inode: u64) -> Option<&Held> {
        self.held.get(*self.places.get(&inode)?)
    }

    /// All of them.
    pub fn all(&self) -> &[Held] {
        &self.held
    }

    /// The same, to add to what is known of them.
    pub fn all_mut(&mut self) -> &mut [Held] {
        &mut self.held
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Their inodes.
    pub fn inodes(&self) -> HashSet<u64> {
        self.held.iter().map(Held::inode).collect()
    }

    /// The addresses, for people.
    pub fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> = self.held.iter().map(|held| held.identity.to_string()).collect();
        addresses.sort();
        addresses
    }

    /// What has moved clients away from these sockets has failed, or has died: they get SYNs again.
    pub fn unseal(&self) {
        for held in self.held.iter().filter(|held| held.is_tcp()) {
            if let Err(error) = steering::unseal(held.descriptor()) {
                tell(&CustodyNotice::Sealed { socket: held.identity.to_string(), error: error.to_string() });
            }
        }
    }

    /// The same, also for what another Clearway has closed to new clients.
    pub fn listen_again(&self) {
        self.unseal();
        let listened = |held: &&Held| held.is_tcp() && held.identity.listening;
        for held in self.held.iter().filter(listened) {
            let descriptor = held.descriptor();
            let socket = SockRef::from(&descriptor);
            let backlog = held.limit.and_then(|limit| i32::try_from(limit).ok()).unwrap_or(BACKLOG);
            let outcome = socket
                .is_listener()
                .and_then(|listens| if listens { Ok(()) } else { socket.listen(backlog) });
            if let Err(error) = outcome {
                let (socket, error) = (held.identity.to_string(), error.to_string());
                tell(&CustodyNotice::NotListening { socket, error });
            }
        }
    }

    /// Those that the sockets which serve from now on are not among are closed in a moment: no new client finds them.
    pub fn hide(&self, serving: &Self) {
        let leaves = |held: &&Held| held.is_tcp() && serving.socket(held.inode()).is_none();
        for held in self.held.iter().filter(leaves) {
            if let Err(error) = steering::hide(held.descriptor()) {
                debug!("hiding {}, which is closed, from new clients: {error}", held.identity);
            }
        }
    }

    /// Takes `listen` back from these, whatever process has them besides: new clients go to what else listens at their
    /// addresses. Clients that wait there are reset.
    pub fn stop_listening(&self, listeners: &[Listener]) {
        for held in listeners.iter().filter_map(|one| self.socket(one.inode)) {
            if let Err(error) = SockRef::from(&held.descriptor()).shutdown(Shutdown::Read) {
                let (socket, error) = (held.identity.to_string(), error.to_string());
                tell(&CustodyNotice::Unserved { socket, error });
            }
        }
    }
}

#[cfg(test)]
mod tests;
