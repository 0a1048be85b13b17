use super::*;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};

#[test]
fn tells_what_a_socket_is() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let found = SocketIdentity::of(&tcp).unwrap();
    let address = tcp.local_addr().unwrap();
    assert_eq!(found.address, LocalAddress::Ip(address));
    assert_eq!(
        (found.kind, found.listening, found.v6only, found.foreign),
        (SocketKind::Stream, true, false, false)
    );
    assert_eq!(found.to_string(), address.to_string());
    assert_eq!(SocketIdentity::of(tcp.try_clone().unwrap()).unwrap(), found);

    let client = TcpStream::connect(address).unwrap();
    assert!(!SocketIdentity::of(&client).unwrap().listening);

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let found = SocketIdentity::of(&udp).unwrap();
    assert_eq!(found.to_string(), format!("udp4@{}", udp.local_addr().unwrap()));

    // Without a right, as long as it is bound to none (Linux 5.7).
    if socket2::SockRef::from(&udp).bind_device(Some(b"lo")).is_ok() {
        assert_eq!(SocketIdentity::of(&udp).unwrap().device.as_deref(), Some("lo"));
    }

    socket2::SockRef::from(&tcp).set_freebind_v4(true).unwrap();
    assert!(SocketIdentity::of(&tcp).unwrap().foreign);

    let file = std::fs::File::open("/dev/null").unwrap();
    let error = SocketIdentity::of(&file).unwrap_err().to_string();
    assert!(error.starts_with("looking at the socket on descriptor"), "{error}");
}

#[test]
fn the_kernel_makes_a_specific_ipv6_socket_v6only() {
    let Ok(tcp) = TcpListener::bind("[::1]:0") else {
        eprintln!("no IPv6 here");
        return;
    };
    let found = SocketIdentity::of(&tcp).unwrap();
    assert!(found.v6only);
    assert!(found.to_string().starts_with("[::1]:"));
}

#[test]
fn tells_unix_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let found =
        SocketIdentity::of(UnixListener::bind(folder.path().join("a.sock.4711.tmp")).unwrap()).unwrap();
    assert_eq!(found.address, LocalAddress::Path(path.clone()));
    assert_eq!(found.to_string(), format!("unix@{}", path.display()));

    let name = format!("clearway-test-{}", std::process::id());
    let mut filled = name.clone().into_bytes();
    filled.resize(107, 0);
    for name_as_bound in [name.as_bytes(), &filled] {
        let address = UnixAddress::from_abstract_name(name_as_bound).unwrap();
        let found = SocketIdentity::of(UnixListener::bind_addr(&address).unwrap()).unwrap();
        assert_eq!(found.to_string(), format!("abns@{name}"));
    }
    let (pair, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_eq!(SocketIdentity::of(&pair).unwrap().address, LocalAddress::None);
}

#[test]
fn cuts_only_what_haproxy_added() {
    for (path, want) in [
        ("/a.sock.1.tmp", "/a.sock"),
        ("/a.tmp", "/a.tmp"),
        ("/a.x1.tmp", "/a.x1.tmp"),
        ("/a..tmp", "/a..tmp"),
        ("/a.1", "/a.1"),
    ] {
        assert_eq!(without_temporary_suffix(Path::new(path)), Path::new(want), "{path}");
    }
}

#[test]
fn sorts_sockets_by_what_became_of_them() {
    let sockets: Vec<SocketIdentity> = (0..3)
        .map(|_| SocketIdentity::of(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap())
        .enumerate()
        .map(|(index, identity)| SocketIdentity { inode: Inode(index as u64), ..identity })
        .collect();
    let [a, b, c] = sockets.as_slice() else { unreachable!() };
    assert_eq!(
        adoption(&[a.clone(), b.clone()], &[b.clone(), c.clone()]),
        Adoption { adopted: vec![b.clone()], fresh: vec![c.clone()], unclaimed: vec![a.clone()] }
    );
    assert_eq!(adoption(&[], &[]), Adoption::default());
}
