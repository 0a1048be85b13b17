use std::net::{TcpListener, UdpSocket};

use clearway_haproxy::configuration::{Configuration, SourceFile};

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
fn whoever_had_company_is_in_no_known_order() {
    let begun = Custody::of(sockets(2), &[], &HashSet::new());
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
    let custody = Custody::inherited(sockets(2));
    assert_eq!(custody.shuffled(), &custody.inodes());
}

/// As HAProxy answers: of a UDP socket it says nothing.
fn received(socket: impl Into<OwnedFd>) -> Held {
    let (namespace, interface) = (String::new(), String::new());
    Held::received(ReceivedSocket { fd: socket.into(), namespace, interface }).unwrap()
}

fn completed(socket: impl Into<OwnedFd>, text: &str) -> (String, String) {
    let file = SourceFile { name: "h.cfg".into(), path: "/h.cfg".into(), bytes: text.as_bytes().to_vec() };
    let configuration = Configuration::scan(vec![file], &|_| None);
    let mut held = received(socket);
    held.complete(&Lines::of(&configuration));
    (held.socket.namespace, held.socket.interface)
}

#[test]
fn a_udp_socket_gets_the_names_of_its_line() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    for (words, want) in [
        (vec![""], ("", "")),
        (vec!["interface eth0"], ("", "eth0")),
        (vec!["interface eth0 namespace blue"], ("blue", "eth0")),
        (vec!["interface eth0", "interface eth0"], ("", "eth0")),
        // Nobody can tell which one made it.
        (vec!["interface eth0", "interface eth1"], ("", "")),
        (vec!["transparent interface eth0"], ("", "")),
        (vec![], ("", "")),
    ] {
        let lines = words.iter().map(|words| format!(" dgram-bind 127.0.0.1:{port} {words}\n"));
        let text = format!("log-forward l\n{}", lines.collect::<String>());
        let found = completed(udp.try_clone().unwrap(), &text);
        assert_eq!(found, (want.0.to_owned(), want.1.to_owned()), "{text}");
    }
}

#[test]
fn of_a_tcp_socket_haproxy_has_said_everything() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("listen a\n bind {} interface eth0\n", tcp.local_addr().unwrap());
    assert_eq!(completed(tcp, &text), (String::new(), String::new()));
}

#[test]
fn what_was_held_before_comes_first_and_keeps_its_interface() {
    let all: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let [a, b, c] = [0, 1, 2].map(|index: usize| received(all[index].try_clone().unwrap()));
    let before = [
        SocketIdentity { device: Some("gone0".to_owned()), ..b.identity.clone() },
        SocketIdentity { device: Some("other0".to_owned()), ..a.identity.clone() },
    ];
    let wanted = [b.identity.inode, a.identity.inode, c.identity.inode];
    let mut a = a;
    a.identity.device = Some("eth0".to_owned());
    let custody = Custody::of(vec![c, a, b], &before, &HashSet::new());
    let inodes: Vec<_> = custody.sockets().iter().map(|held| held.identity.inode).collect();
    assert_eq!(inodes, wanted);
    let devices: Vec<_> = custody.sockets().iter().map(|held| held.identity.device.as_deref()).collect();
    assert_eq!(devices, [Some("gone0"), Some("eth0"), None]);
}

#[test]
fn each_socket_is_found_by_its_inode_after_others_have_come_and_gone() {
    let begun = Custody::of(sockets(4), &[], &HashSet::new());
    let custody = reload(&begun, &[2, 0], 3);
    for held in custody.sockets() {
        let inode = held.identity.inode.0;
        assert_eq!(custody.socket(inode).map(|one| one.identity.inode.0), Some(inode));
    }
    for gone in [1, 3].map(|at| begun.sockets()[at].identity.inode.0) {
        assert!(custody.socket(gone).is_none());
    }
    assert!(Custody::default().socket(1).is_none());
}
