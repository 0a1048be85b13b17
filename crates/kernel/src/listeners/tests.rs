use std::net::{IpAddr, SocketAddr, TcpListener};

use proptest::prelude::*;

use super::foreign::covers;
use super::*;
use crate::netlink::Reply;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn our_own_listener_is_found_with_our_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let found = holders(port, None).unwrap();
    let [holder] = &found[..] else { panic!("{found:?}") };
    let text = holder.to_string();
    assert_eq!(holder.process.as_ref().unwrap().pid, std::process::id());
    assert!(text.starts_with(&format!("127.0.0.1:{port} held by ")), "{text}");
    assert!(text.ends_with(&format!(" (pid {})", std::process::id())), "{text}");
    assert_eq!(holders(port, Some(ip("127.0.0.2"))).unwrap(), []);
    assert_eq!(holders(port, Some(ip("127.0.0.1"))).unwrap(), found);
}

#[test]
fn a_holder_out_of_sight_is_told_by_its_user() {
    let holder =
        Holder { address: "[::]:80".parse().unwrap(), v6only: false, inode: 1, uid: 33, process: None };
    assert_eq!(holder.to_string(), "[::]:80 held by a process of uid 33 that is not visible from here");
}

#[test]
fn wildcards_cover_what_they_get() {
    assert!(covers(ip("0.0.0.0"), false, ip("10.0.0.1")));
    assert!(covers(ip("::"), false, ip("10.0.0.1")));
    assert!(!covers(ip("::"), true, ip("10.0.0.1")));
    assert!(covers(ip("::ffff:10.0.0.1"), false, ip("10.0.0.1")));
    assert!(!covers(ip("0.0.0.0"), false, ip("fd00::1")));
    assert!(!covers(ip("10.0.0.2"), false, ip("10.0.0.1")));
}

#[test]
fn loopback_is_local_and_a_documentation_address_is_not() {
    assert!(is_local(ip("127.0.0.1")));
    assert!(!is_local(ip("192.0.2.1")));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(mut payload in proptest::collection::vec(any::<u8>(), 0..120)) {
        if let Some(family) = payload.first_mut() {
            *family = if *family % 2 == 0 { 2 } else { 10 };
        }
        let _ = table::decode(&Reply { kind: 20, payload });
    }
}

#[test]
fn a_reserved_port_is_free_for_haproxy_only() {
    for address in ["127.0.0.1", "0.0.0.0", "::"] {
        let address: IpAddr = address.parse().unwrap();
        let Ok(reserved) = reserve(address) else {
            assert!(address.is_ipv6(), "no socket on {address}");
            continue;
        };
        let other = reserve(address).unwrap();
        assert_ne!(reserved.port(), other.port());
        let target = SocketAddr::new(address, reserved.port());
        let bind = |reuse_port: bool| -> std::io::Result<socket2::Socket> {
            let socket =
                socket2::Socket::new(socket2::Domain::for_address(target), socket2::Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(reuse_port)?;
            socket.bind(&target.into())?;
            socket.listen(1)?;
            Ok(socket)
        };
        let plain = socket2::Socket::new(socket2::Domain::for_address(target), socket2::Type::STREAM, None);
        let refused = plain.unwrap().bind(&target.into()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
        // `noreuseport` or not.
        drop(bind(false).unwrap());
        let listening = bind(true).unwrap();
        let loopback =
            if address.is_ipv6() { IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]) } else { [127, 0, 0, 1].into() };
        std::net::TcpStream::connect(SocketAddr::new(loopback, reserved.port())).unwrap();
        drop(reserved);
        drop(listening);
    }
}
