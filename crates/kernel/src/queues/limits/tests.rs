use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use proptest::prelude::*;

use super::*;

fn limit_of(socket: impl AsFd) -> Option<u32> {
    limits().unwrap().get(&rustix::fs::fstat(socket).unwrap().st_ino).copied()
}

#[test]
fn a_limit_grows_and_shrinks_while_clients_wait() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    for limit in [7, 9, 3] {
        set_limit(socket.as_fd(), limit).unwrap();
        assert_eq!(limit_of(&socket), Some(limit));
    }
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(socket.local_addr().unwrap()).unwrap()).collect();
    set_limit(socket.as_fd(), 1).unwrap();
    assert_eq!(limit_of(&socket), Some(1));
    for _ in &clients {
        socket.accept().unwrap();
    }
}

#[test]
fn a_limit_beyond_what_may_be_is_cut() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    set_limit(socket.as_fd(), u32::MAX).unwrap();
    assert_eq!(limit_of(&socket), most());
}

#[test]
fn unix_sockets_have_limits_too() {
    let name = format!("clearway-limits-{}", std::process::id());
    let socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    for limit in [5, 50, 4] {
        set_limit(socket.as_fd(), limit).unwrap();
        assert_eq!(limit_of(&socket), Some(limit));
    }
}

#[test]
fn a_socket_that_does_not_listen_stays_so() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    assert!(set_limit(socket.as_fd(), 5).is_err());
    assert!(!socket.is_listener().unwrap());
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(set_limit(udp.as_fd(), 5).is_err());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = decode(&Reply { kind: 20, payload });
    }
}
