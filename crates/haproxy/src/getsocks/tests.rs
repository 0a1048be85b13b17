use super::*;
use proptest::prelude::*;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::thread;

use crate::inventory::SocketIdentity;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

const LIMIT: Duration = Duration::from_secs(5);

fn listeners(count: usize) -> Vec<TcpListener> {
    (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect()
}

fn offer(listeners: &[TcpListener]) -> Vec<OfferedSocket<'_>> {
    listeners.iter().map(|l| OfferedSocket { fd: l.as_fd(), namespace: "", interface: "" }).collect()
}

/// Sends one message the way HAProxy does.
fn message(stream: &UnixStream, payload: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let _ = sendmsg(stream, &[IoSlice::new(payload)], &mut control, SendFlags::NOSIGNAL);
}

/// Fetches from a peer that was given the stream after it had read the request.
fn fetch_from(peer: impl FnOnce(UnixStream) + Send + 'static) -> Result<Vec<ReceivedSocket>, GetsocksError> {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let thread = thread::spawn(move || {
        theirs.read_exact(&mut [0; 10]).unwrap();
        peer(theirs);
    });
    let got = fetch(&ours, LIMIT);
    drop(ours);
    thread.join().unwrap();
    got
}

#[test]
fn what_one_serves_the_other_fetches() {
    for count in [0, 1, 251, 252, 253, 505] {
        let listeners = listeners(count);
        let mut offered = offer(&listeners);
        if let Some(first) = offered.first_mut() {
            first.namespace = "blue";
            first.interface = "eth0.100";
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        let got = thread::scope(|scope| {
            let client = scope.spawn(move || fetch(&theirs, LIMIT));
            serve(&ours, &offered, LIMIT).unwrap();
            client.join().unwrap().unwrap()
        });
        assert_eq!(got.len(), count);
        for (socket, listener) in got.iter().zip(&listeners) {
            assert_eq!(
                SocketIdentity::of(&socket.fd).unwrap().inode,
                SocketIdentity::of(listener).unwrap().inode
            );
            assert!(rustix::io::fcntl_getfd(&socket.fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        }
        if let Some(first) = got.first() {
            assert_eq!((first.namespace.as_str(), first.interface.as_str()), ("blue", "eth0.100"));
        }
    }
}

#[test]
fn an_older_haproxy_may_be_gone_before_the_last_ack() {
    let got = fetch_from(|mut theirs| {
        theirs.write_all(&1_i32.to_ne_bytes()).unwrap();
        message(&theirs, &[0; 6], &[listeners(1)[0].as_fd()]);
    });
    assert_eq!(got.unwrap().len(), 1);
}

#[test]
fn a_message_may_come_in_pieces() {
    let got = fetch_from(|mut theirs| {
        theirs.write_all(&2_i32.to_ne_bytes()).unwrap();
        let listeners = listeners(2);
        message(&theirs, &[0, 4], &[listeners[0].as_fd(), listeners[1].as_fd()]);
        for piece in [&b"et"[..], b"h0\0\0", &[0; 7], &[0]] {
            theirs.write_all(piece).unwrap();
        }
    });
    assert_eq!(got.unwrap().iter().map(|s| s.interface.as_str()).collect::<Vec<_>>(), ["eth0", ""]);
}

#[test]
fn a_refusal_is_told_from_a_death() {
    assert_eq!(fetch_from(drop).unwrap_err(), GetsocksError::Refused);
    let error = fetch_from(|mut theirs| {
        theirs.write_all(&2_i32.to_ne_bytes()).unwrap();
        message(&theirs, &[0; 6], &[listeners(1)[0].as_fd()]);
        theirs.read_exact(&mut [0; 4]).unwrap();
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "fetching listening sockets from HAProxy: the connection ended after 1 of 2 sockets"
    );
}

#[test]
fn nonsense_is_refused() {
    for count in [-1, i32::MIN, i32::MAX, 65_537] {
        let error =
            fetch_from(move |mut theirs| theirs.write_all(&count.to_ne_bytes()).unwrap()).unwrap_err();
        assert!(matches!(error, GetsocksError::Malformed { .. }), "{count}: {error}");
    }
    let too_many = fetch_from(|mut theirs| {
        theirs.write_all(&1_i32.to_ne_bytes()).unwrap();
        let listeners = listeners(2);
        message(&theirs, &[0; 12], &[listeners[0].as_fd(), listeners[1].as_fd()]);
    });
    assert!(matches!(too_many, Err(GetsocksError::Malformed { .. })));
    let no_sockets = fetch_from(|mut theirs| {
        theirs.write_all(&1_i32.to_ne_bytes()).unwrap();
        while theirs.write_all(&[0; 6]).is_ok() {}
    });
    assert!(matches!(no_sockets, Err(GetsocksError::Malformed { .. })));
    let too_early = fetch_from(|theirs| message(&theirs, &1_i32.to_ne_bytes(), &[listeners(1)[0].as_fd()]));
    assert!(matches!(too_early, Err(GetsocksError::Malformed { .. })));
}

#[test]
fn silence_ends_with_the_limit() {
    let short = Duration::from_millis(30);
    let (ours, _silent) = UnixStream::pair().unwrap();
    assert_eq!(
        fetch(&ours, short).unwrap_err(),
        GetsocksError::TimedOut { side: GetsocksSide::Fetch, limit: short }
    );
    let (ours, mut silent) = UnixStream::pair().unwrap();
    assert_eq!(
        serve(&ours, &[], short).unwrap_err(),
        GetsocksError::TimedOut { side: GetsocksSide::Serve, limit: short }
    );
    silent.write_all(b"_getsocks\n").unwrap();
    let listeners = listeners(1);
    assert!(matches!(serve(&ours, &offer(&listeners), short), Err(GetsocksError::TimedOut { .. })));
}

#[test]
fn the_server_answers_only_this_question() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"show info\n").unwrap();
    assert!(matches!(serve(&ours, &[], LIMIT), Err(GetsocksError::Malformed { .. })));
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    assert!(matches!(serve(&ours, &[], LIMIT), Err(GetsocksError::Ended { .. })));
    let long = "x".repeat(256);
    let listeners = listeners(1);
    let offered = [OfferedSocket { fd: listeners[0].as_fd(), namespace: "", interface: &long }];
    assert_eq!(serve(&ours, &offered, LIMIT).unwrap_err(), GetsocksError::LongName(long.clone()));
}

#[test]
fn a_client_may_close_after_the_last_message() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let client = thread::spawn(move || {
        theirs.write_all(b"_getsocks\n").unwrap();
        theirs.read_exact(&mut [0; 10]).unwrap();
    });
    let listeners = listeners(1);
    serve(&ours, &offer(&listeners), LIMIT).unwrap();
    client.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_answers_never_panic(count in 0_i32..6, bytes in prop::collection::vec(any::<u8>(), 0..200), fds in 0_usize..5) {
        let _ = fetch_from(move |mut theirs| {
            let _ = theirs.write_all(&count.to_ne_bytes());
            let file = std::fs::File::open("/dev/null").unwrap();
            message(&theirs, &bytes, &vec![file.as_fd(); fds]);
        });
    }

    #[test]
    fn random_requests_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&bytes).unwrap();
        drop(theirs);
        prop_assert!(serve(&ours, &[], LIMIT).is_err());
    }

    #[test]
    fn records_survive_the_way(namespace in ".{0,60}", interface in "[a-z0-9.]{0,15}") {
        let file = std::fs::File::open("/dev/null").unwrap();
        let offered = [OfferedSocket { fd: file.as_fd(), namespace: &namespace, interface: &interface }];
        let bytes = records::write(&offered).unwrap();
        let (record, rest) = records::take(&bytes).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(record, records::Record { namespace, interface });
    }
}
