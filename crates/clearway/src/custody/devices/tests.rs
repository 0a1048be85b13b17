use std::net::{TcpListener, UdpSocket};

use clearway_haproxy::configuration::SourceFile;

use super::*;

/// A socket as it would be known if it were bound there.
fn at(address: &str, identity: &SocketIdentity) -> SocketIdentity {
    let address = LocalAddress::Ip(address.parse().unwrap());
    SocketIdentity { address, device: Some("eth1".to_owned()), ..identity.clone() }
}

fn tcp() -> SocketIdentity {
    SocketIdentity::of(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap()
}

#[test]
fn the_line_is_named() {
    let text = "listen a\n bind 192.0.2.1:80\n bind 192.0.2.1:80 interface eth1\n";
    let file = SourceFile { name: "h.cfg".into(), path: "/h.cfg".into(), bytes: text.as_bytes().to_vec() };
    let configuration = Configuration::scan(vec![file], &|_| None);
    let said = notice(&at("192.0.2.1:80", &tcp()), &BindLines::of(&configuration)).to_string();
    assert_eq!(
        said,
        "the interface `eth1` was deleted and made anew: the socket of 192.0.2.1:80 (h.cfg:3) belongs to the former one \
         and hears nothing; a new one is bound"
    );
}

#[test]
fn a_datagram_socket_is_kept_until_its_address_is_here() {
    let udp = SocketIdentity::of(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    assert!(can_be_bound(&udp));
    assert!(can_be_bound(&at("0.0.0.0:514", &udp)));
    assert!(!can_be_bound(&at("192.0.2.1:514", &udp)));
    // Clearway makes a TCP socket for such an address.
    assert!(can_be_bound(&at("192.0.2.1:80", &tcp())));
}

#[test]
fn what_is_bound_to_no_interface_is_never_left_out() {
    let held = Held::made(TcpListener::bind("127.0.0.1:0").unwrap().into(), "").unwrap();
    assert!(!is_deaf(&held));
    assert_eq!(
        left_out(&Sockets::of(vec![held], &[], &HashSet::new()), &Configuration::default()),
        HashSet::new()
    );
}
