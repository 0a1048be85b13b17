use std::net::TcpListener;

use clearway_haproxy::inventory::LocalAddress;

use super::*;

/// Sockets of one address: their order is what the tests are about, so where they listen does not matter.
fn sockets(count: usize) -> Vec<Held> {
    let socket = || Held::made(TcpListener::bind("127.0.0.1:0").unwrap().into(), "").unwrap();
    let mut held: Vec<Held> = (0..count).map(|_| socket()).collect();
    for one in &mut held {
        one.identity.address = LocalAddress::Ip("10.0.0.1:80".parse().unwrap());
    }
    held
}

fn inodes(held: &[Held]) -> Vec<u64> {
    held.iter().map(Held::inode).collect()
}

fn identities(held: &[Held]) -> Vec<SocketIdentity> {
    held.iter().map(|held| held.identity.clone()).collect()
}

/// The same socket once more, as HAProxy answers with it.
fn again(held: &Held) -> Held {
    let socket = held.descriptor().try_clone_to_owned().unwrap();
    let mut again = Held::made(socket, "").unwrap();
    again.identity = held.identity.clone();
    again
}

/// A reload after which there are these of the former ones, and so many new ones.
fn reload(set: &Sockets, stay: &[usize], new: usize) -> Sockets {
    let answered = stay.iter().rev().map(|at| again(&set.all()[*at])).chain(sockets(new));
    Sockets::of(answered.collect(), &identities(set.all()), set.shuffled())
}

#[test]
fn what_was_there_before_keeps_its_place() {
    let begun = Sockets::of(sockets(4), &[], &HashSet::new());
    let fewer = reload(&begun, &[0, 1], 0);
    let more = reload(&fewer, &[0, 1], 2);
    assert_eq!(inodes(more.all())[..2], inodes(begun.all())[..2]);
    for set in [&begun, &fewer, &more] {
        assert!(set.shuffled().is_empty(), "only the last ones have left");
    }
}

#[test]
fn what_is_left_by_the_first_ones_is_in_no_known_order() {
    let begun = Sockets::of(sockets(2), &[], &HashSet::new());
    let replaced = reload(&begun, &[], 2);
    assert_eq!(replaced.shuffled(), &replaced.inodes(), "the last of them has filled a gap");
    // Those stay as they are, whatever comes and goes behind them.
    let more = reload(&replaced, &[0, 1], 2);
    assert_eq!(more.shuffled(), &replaced.inodes());
    let fewer = reload(&more, &[0, 1], 0);
    assert_eq!(fewer.shuffled(), &replaced.inodes());
    let other = reload(&fewer, &[], 1);
    assert!(other.shuffled().is_empty(), "one alone");
}

#[test]
fn other_addresses_have_nothing_to_do_with_it() {
    let mut held = sockets(4);
    for one in &mut held[2..] {
        one.identity.address = LocalAddress::Ip("10.0.0.2:80".parse().unwrap());
    }
    let begun = Sockets::of(held, &[], &HashSet::new());
    let after = reload(&begun, &[2, 3], 2);
    assert_eq!(after.shuffled().len(), 2);
    assert!(inodes(&after.all()[..2]).iter().all(|inode| !after.shuffled().contains(inode)));
}

#[test]
fn what_had_company_is_in_no_known_order() {
    let begun = Sockets::of(sockets(2), &[], &HashSet::new());
    let address = "10.0.0.1:80".parse().unwrap();
    let elsewhere = reload(&begun, &[0, 1], 1).beside_others(HashSet::from(["10.0.0.2:80".parse().unwrap()]));
    assert!(elsewhere.shuffled().is_empty() && !elsewhere.crowded().contains(&address));
    let there = reload(&begun, &[0, 1], 1).beside_others(HashSet::from([address]));
    assert!(there.shuffled() == &there.inodes() && there.crowded().contains(&address));
    let next = reload(&there, &[0, 1, 2], 1);
    assert!(next.shuffled() == &there.inodes() && next.crowded().is_empty());
}

#[test]
fn what_was_inherited_is_in_no_known_order() {
    let set = Sockets::inherited(sockets(2));
    assert_eq!(set.shuffled(), &set.inodes());
}

#[test]
fn what_was_held_before_comes_first_and_keeps_its_interface() {
    let all: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let [a, b, c] =
        [0, 1, 2].map(|index: usize| Held::made(all[index].try_clone().unwrap().into(), "").unwrap());
    let before = [
        SocketIdentity { device: Some("gone0".to_owned()), ..b.identity.clone() },
        SocketIdentity { device: Some("other0".to_owned()), ..a.identity.clone() },
    ];
    let wanted = [b.identity.inode, a.identity.inode, c.identity.inode];
    let mut a = a;
    a.identity.device = Some("eth0".to_owned());
    let set = Sockets::of(vec![c, a, b], &before, &HashSet::new());
    let inodes: Vec<_> = set.all().iter().map(|held| held.identity.inode).collect();
    assert_eq!(inodes, wanted);
    let devices: Vec<_> = set.all().iter().map(|held| held.identity.device.as_deref()).collect();
    assert_eq!(devices, [Some("gone0"), Some("eth0"), None]);
}

#[test]
fn each_socket_is_found_by_its_inode_after_others_have_come_and_gone() {
    let begun = Sockets::of(sockets(4), &[], &HashSet::new());
    let set = reload(&begun, &[2, 0], 3);
    for held in set.all() {
        let inode = held.inode();
        assert_eq!(set.socket(inode).map(Held::inode), Some(inode));
    }
    for gone in [1, 3].map(|at| begun.all()[at].inode()) {
        assert!(set.socket(gone).is_none());
    }
    assert!(Sockets::default().socket(1).is_none());
}
