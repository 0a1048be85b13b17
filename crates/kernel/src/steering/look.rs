//! Which addresses can be steered: what the caller says about its sockets beside what the kernel says.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use rustix::fs::fstat;
use socket2::SockRef;

use super::{Fate, NotSteerable, Reason, ReuseportGroup, SocketOrder};
use crate::listeners::{Nearby, SockDiagError, TcpSocket, TcpState, covers, rows};
use crate::queues::Listener;
use crate::transparency::Family;

/// What one reuseport group has in common, as far as it can be seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    address: SocketAddr,
    v6only: bool,
    device: u32,
}

impl From<&TcpSocket> for GroupKey {
    fn from(row: &TcpSocket) -> Self {
        Self { address: row.local, v6only: row.v6only, device: row.device }
    }
}

impl GroupKey {
    /// Whether both could get the same client.
    fn overlaps(self, other: Self) -> bool {
        let (a, b) = (self.address, other.address);
        let addresses = covers(a.ip(), self.v6only, b.ip()) || covers(b.ip(), other.v6only, a.ip());
        let devices = self.device == other.device || self.device == 0 || other.device == 0;
        a.port() == b.port() && addresses && devices
    }

    /// As the kernel prefers: `inet_lookup_listener` asks for the address before the wildcard, and
    /// `compute_score` adds one for an interface and one for IPv4.
    fn rank(self) -> (bool, u8) {
        let score = u8::from(self.device != 0) + u8::from(self.address.is_ipv4());
        (!self.address.ip().is_unspecified(), score)
    }
}

/// A socket of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownSocket {
    pub inode: u64,
    /// `None` for one that the new HAProxy brought.
    pub fate: Option<Fate>,
}

/// Looks which addresses have sockets that leave, and whether their new clients can be steered to the others.
///
/// `held`: all sockets that were held when the new HAProxy was started; none may have been closed since. `fresh`:
/// those that it answered to have (`_getsocks`) and that are not held. Sockets of other kinds among either (UDP,
/// Unix) are left out. The answer has one entry for each address with a socket that leaves; several addresses
/// are independent. An `Err` inside is no failure: that address is as HAProxy alone would have it.
pub fn groups(
    held: &[(BorrowedFd<'_>, Fate)],
    fresh: &[BorrowedFd<'_>],
    order: SocketOrder<'_>,
) -> Result<Vec<Result<ReuseportGroup, NotSteerable>>, SockDiagError> {
    let table = rows(TcpState::Listen, 0, &Family::ALL)?;
    let mut outcomes = Vec::new();
    let mut known: Vec<KnownSocket> = Vec::new();
    let listening: HashSet<u64> = table.iter().map(|row| row.inode).collect();
    let mut seen: HashSet<u64> = HashSet::new();
    let all = held.iter().map(|(fd, fate)| (*fd, Some(*fate))).chain(fresh.iter().map(|fd| (*fd, None)));
    for (fd, fate) in all {
        let Some(address) = tcp_address(fd) else { continue };
        let inode = fstat(fd).map(|stat| stat.st_ino).unwrap_or_default();
        if !listening.contains(&inode) {
            let reason = Reason::NotListening;
            outcomes.push(Err(NotSteerable { address: Some(address), leaving: Vec::new(), reason }));
        } else if seen.insert(inode) {
            known.push(KnownSocket { inode, fate });
        }
    }
    outcomes.extend(sort(&table, &known, order));
    Ok(outcomes)
}

/// The sockets that listened at one moment: to be asked before a HAProxy binds that takes nothing over.
#[derive(Clone, Debug)]
pub struct Present(Vec<TcpSocket>);

impl Present {
    /// All TCP sockets that listen in this network namespace now.
    pub fn now() -> Result<Self, SockDiagError> {
        rows(TcpState::Listen, 0, &Family::ALL).map(Self)
    }

    /// Looks which of our sockets (by inode) stand beside sockets of other processes that were there before and still
    /// are. The others are [`ReuseportGroup::leaving`]: they get no new clients after [`ReuseportGroup::steer`], and
    /// may close at any time. Where one of them is closed already, or another one has come, no place is known.
    pub fn beside(
        &self,
        ours: &HashSet<u64>,
    ) -> Result<Vec<Result<ReuseportGroup, NotSteerable>>, SockDiagError> {
        Ok(sort_beside(&self.0, &rows(TcpState::Listen, 0, &Family::ALL)?, ours))
    }
}

/// The same on plain data. Of thousands of sockets only those are looked at that share their address.
pub(super) fn sort_beside(
    before: &[TcpSocket],
    table: &[TcpSocket],
    ours: &HashSet<u64>,
) -> Vec<Result<ReuseportGroup, NotSteerable>> {
    let is_ours = |row: &&TcpSocket| ours.contains(&row.inode);
    let keys: HashSet<GroupKey> = table.iter().filter(is_ours).map(GroupKey::from).collect();
    let others: Vec<&TcpSocket> =
        before.iter().filter(|row| !is_ours(row) && keys.contains(&GroupKey::from(*row))).collect();
    let shared: HashSet<GroupKey> = others.iter().map(|row| GroupKey::from(*row)).collect();
    let fresh = table.iter().filter(|row| is_ours(row) && shared.contains(&GroupKey::from(*row)));
    // In an order of its own, so that what has not changed is equal.
    let fresh: BTreeSet<u64> = fresh.map(|row| row.inode).collect();
    let known = others.iter().map(|row| KnownSocket { inode: row.inode, fate: Some(Fate::Leaves) });
    let known: Vec<KnownSocket> =
        known.chain(fresh.into_iter().map(|inode| KnownSocket { inode, fate: None })).collect();
    let listening: HashSet<u64> = table.iter().map(|row| row.inode).collect();
    let gone: HashSet<SocketAddr> =
        others.iter().filter(|row| !listening.contains(&row.inode)).map(|row| row.local).collect();
    let outcomes = sort(table, &known, SocketOrder::Known).into_iter();
    outcomes
        .map(|outcome| match outcome {
            Ok(group) if gone.contains(&group.address) => Err(NotSteerable {
                address: Some(group.address),
                leaving: group.leaving,
                reason: Reason::OtherGone,
            }),
            other => other,
        })
        .collect()
}

/// Those of the sockets' addresses at which other processes listen as well, in the very same group. To be asked before
/// a new HAProxy binds: if one of theirs is closed afterwards, no index is known any more.
pub fn crowded(held: &[BorrowedFd<'_>]) -> Result<HashSet<SocketAddr>, SockDiagError> {
    let table = rows(TcpState::Listen, 0, &Family::ALL)?;
    let known: HashSet<u64> = held.iter().filter_map(|fd| fstat(fd).ok()).map(|stat| stat.st_ino).collect();
    let (ours, others): (Vec<&TcpSocket>, Vec<&TcpSocket>) =
        table.iter().partition(|row| known.contains(&row.inode));
    let keys: HashSet<GroupKey> = ours.into_iter().map(GroupKey::from).collect();
    let shared = others.into_iter().map(GroupKey::from).filter(|key| keys.contains(key));
    Ok(shared.map(|key| key.address).collect())
}

/// Where a TCP (or MPTCP) socket is bound.
fn tcp_address(fd: BorrowedFd<'_>) -> Option<SocketAddr> {
    let socket = SockRef::from(&fd);
    let stream = socket.r#type().ok()? == socket2::Type::STREAM;
    socket.local_addr().ok()?.as_socket().filter(|_| stream)
}

/// The same on plain data. What is known is in the table.
pub(super) fn sort(
    table: &[TcpSocket],
    known: &[KnownSocket],
    order: SocketOrder<'_>,
) -> Vec<Result<ReuseportGroup, NotSteerable>> {
    let by_inode: HashMap<u64, &TcpSocket> = table.iter().map(|row| (row.inode, row)).collect();
    let ours: HashSet<u64> = known.iter().map(|one| one.inode).collect();
    let mut sets: Vec<(GroupKey, Vec<(KnownSocket, &TcpSocket)>)> = Vec::new();
    let mut places: HashMap<GroupKey, usize> = HashMap::new();
    for known in known {
        let Some(row) = by_inode.get(&known.inode) else { continue };
        let key = GroupKey::from(*row);
        let place = *places.entry(key).or_insert_with(|| {
            sets.push((key, Vec::new()));
            sets.len() - 1
        });
        if let Some((_, members)) = sets.get_mut(place) {
            members.push((*known, row));
        }
    }
    let is_fresh = |(_, members): &&(GroupKey, Vec<(KnownSocket, &TcpSocket)>)| {
        members.iter().any(|(known, _)| known.fate.is_none())
    };
    let fresh = Nearby::of(sets.iter().filter(is_fresh).map(|(key, _)| (key.address, *key)));
    let leaves = |(_, members): &&(GroupKey, Vec<(KnownSocket, &TcpSocket)>)| {
        members.iter().any(|(known, _)| known.fate == Some(Fate::Leaves))
    };
    let mut strangers: HashMap<GroupKey, &TcpSocket> = HashMap::new();
    for row in table.iter().filter(|row| !ours.contains(&row.inode)) {
        strangers.entry(GroupKey::from(row)).or_insert(row);
    }
    sets.iter()
        .filter(leaves)
        .map(|(key, members)| group(*key, members, &fresh, strangers.get(key).copied(), order))
        .collect()
}

fn group(
    key: GroupKey,
    members: &[(KnownSocket, &TcpSocket)],
    fresh: &Nearby<GroupKey>,
    stranger: Option<&TcpSocket>,
    order: SocketOrder<'_>,
) -> Result<ReuseportGroup, NotSteerable> {
    let address = key.address;
    let of = |fate| members.iter().filter(move |(known, _)| known.fate == fate);
    let leaving: Vec<Listener> = of(Some(Fate::Leaves))
        .map(|(known, _)| Listener { inode: known.inode, address, v6only: key.v6only })
        .collect();
    let refuse = |reason| NotSteerable { address: Some(address), leaving: leaving.clone(), reason };
    if let Some(row) = stranger {
        return Err(refuse(Reason::Stranger { inode: row.inode, uid: row.uid }));
    }
    if members.windows(2).any(|pair| matches!(pair, [(_, one), (_, other)] if one.uid != other.uid)) {
        return Err(refuse(Reason::SeveralUsers));
    }
    let order_is_known = is_known(order, members);
    let indexed = (0_u16..).zip(members);
    let targets: Vec<u16> = indexed
        .filter(|(_, (known, _))| match known.fate {
            None => true,
            Some(Fate::Stays) => order_is_known,
            Some(Fate::Leaves) => false,
        })
        .map(|(index, _)| index)
        .collect();
    if targets.is_empty() {
        let stays = of(Some(Fate::Stays)).next().is_some();
        return Err(refuse(if stays { Reason::OrderUnknown } else { successor(key, fresh) }));
    }
    // Every removal but the last moves one from the end; after the last, none is left that leaves.
    let moved = leaving.len().saturating_sub(1);
    let below = members.len().saturating_sub(moved);
    let firm = targets.iter().copied().filter(|index| usize::from(*index) < below).collect();
    let held = members.iter().filter(|(known, _)| known.fate.is_some()).count();
    let held = u16::try_from(held).unwrap_or(u16::MAX);
    let members = members.iter().map(|(known, _)| known.inode).collect();
    Ok(ReuseportGroup { address, leaving, members, held, targets, firm })
}

/// Whether it is known which indices are those of the sockets that stay.
fn is_known(order: SocketOrder<'_>, members: &[(KnownSocket, &TcpSocket)]) -> bool {
    match order {
        SocketOrder::Known => true,
        SocketOrder::KnownBehind(first) => {
            let has = |fate| {
                let of = |(known, _): &(KnownSocket, &TcpSocket)| {
                    known.fate == Some(fate) && first.contains(&known.inode)
                };
                members.iter().any(of)
            };
            !(has(Fate::Leaves) && has(Fate::Stays))
        }
        SocketOrder::Unknown => false,
    }
}

/// What becomes of the clients of an address that no new socket has.
fn successor(key: GroupKey, fresh: &Nearby<GroupKey>) -> Reason {
    let mut overlapping = fresh.to(key.address).filter(|other| key.overlaps(**other)).peekable();
    if overlapping.peek().is_none() {
        Reason::Unserved
    } else if overlapping.all(|other| other.rank() > key.rank()) {
        Reason::Narrower
    } else {
        Reason::Wider
    }
}
