//! In which order the sockets of one address are, as far as that is known.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use clearway_haproxy::inventory::{LocalAddress, SocketIdentity};
use clearway_kernel::steering::{self, Fate};

use crate::custody::held::Held;

/// Which of the sockets are in some order when those of `before` that are not among them are closed. Sockets of one
/// address that are of several groups (interfaces) are taken for one: that is not wrong, only careful.
pub fn shuffle(sockets: &[Held], before: &[SocketIdentity], already: &HashSet<u64>) -> HashSet<u64> {
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
