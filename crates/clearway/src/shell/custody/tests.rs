use std::net::TcpListener;

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
    held.iter().map(|held| held.identity.inode.0).collect()
}

fn identities(held: &[Held]) -> Vec<SocketIdentity> {
    held.iter().map(|held| held.identity.clone()).collect()
}

/// The same socket once more, as HAProxy answers with it.
fn again(held: &Held) -> Held {
    let socket = held.descriptor().try_clone_to_owned().unwrap();
    Held { identity: held.identity.clone(), ..Held::made(socket, "").unwrap() }
}

/// A reload after which there are these of the former ones, and so many new ones.
fn reload(custody: &Custody, stay: &[usize], new: usize) -> Custody {
    let answered = stay.iter().rev().map(|at| again(&custody.sockets()[*at])).chain(sockets(new));
    Custody::of(answered.collect(), &identities(custody.sockets()), custody.shuffled())
}

#[test]
fn who_was_there_before_keeps_his_place() {
    let begun = Custody::of(sockets(4), &[], &HashSet::new());
    let fewer = reload(&begun, &[0, 1], 0);
    let more = reload(&fewer, &[0, 1], 2);
    assert_eq!(inodes(more.sockets())[..2], inodes(begun.sockets())[..2]);
    for custody in [&begun, &fewer, &more] {
        assert!(custody.shuffled().is_empty(), "only the last ones have left");
    }
}

#[test]
fn who_is_left_by_the_first_ones_is_in_no_known_order() {
    let begun = Custody::of(sockets(2), &[], &HashSet::new());
    let replaced = reload(&begun, &[], 2);
    assert_eq!(replaced.shuffled(), &replaced.inodes(), "the last of them has filled a gap");
    // Those stay as they are, whoever comes and goes behind them.
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
    let begun = Custody::of(held, &[], &HashSet::new());
    let after = reload(&begun, &[2, 3], 2);
    assert_eq!(after.shuffled().len(), 2);
    assert!(inodes(&after.sockets()[..2]).iter().all(|inode| !after.shuffled().contains(inode)));
}

#[test]
fn what_was_inherited_is_in_no_known_order() {
    let custody = Custody::inherited(sockets(2));
    assert_eq!(custody.shuffled(), &custody.inodes());
}
