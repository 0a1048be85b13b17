use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;

const SOON: Duration = Duration::from_secs(5);

fn pair() -> (Wire, Wire) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    (Wire::of(one), Wire::of(other))
}

fn listener() -> Held {
    let socket: OwnedFd = std::net::TcpListener::bind("127.0.0.1:0").unwrap().into();
    Held::made(socket, "lo").unwrap()
}

#[test]
fn sockets_arrive_as_they_went_however_many() {
    let sockets: Vec<Held> = (0..PER_PACKET + 3).map(|_| listener()).collect();
    let inodes: Vec<_> = sockets.iter().map(|held| held.identity.inode).collect();
    let (here, there) = pair();
    let count = sockets.len();
    let sender = std::thread::spawn(move || here.send_sockets(&sockets, SOON));
    let received = there.hear_sockets(count, SOON).unwrap();
    sender.join().unwrap().unwrap();
    assert!(received.iter().all(|socket| socket.interface == "lo" && socket.namespace.is_empty()));
    let arrived: Vec<_> =
        received.into_iter().map(|socket| Held::received(socket).unwrap().identity.inode).collect();
    assert_eq!(arrived, inodes);
}

#[test]
fn a_descriptor_does_not_reach_a_child() {
    let (here, there) = pair();
    here.send_sockets(&[listener()], SOON).unwrap();
    let received = there.hear_sockets(1, SOON).unwrap();
    let flags = rustix::io::fcntl_getfd(&received[0].fd).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn what_is_not_the_protocol_is_an_error() {
    let (here, there) = pair();
    let send = |bytes: &[u8]| rustix::net::send(here.socket(), bytes, SendFlags::empty()).unwrap();
    for nonsense in [&b"\0"[..], b"{}", b"{\"message\":\"keep\",\"sockets\":-1}", b"[1]", &[0xff; 1000]] {
        send(nonsense);
        assert!(matches!(there.hear(Some(SOON)), Err(WireError::Malformed(_))), "{nonsense:?}");
    }
    // Names without sockets, more sockets than were announced, and an absurd number.
    send(br#"{"message":"sockets","names":[{}]}"#);
    assert!(matches!(there.hear_sockets(1, SOON), Err(WireError::Malformed(_))));
    here.send_sockets(&[listener(), listener()], SOON).unwrap();
    assert!(matches!(there.hear_sockets(1, SOON), Err(WireError::Malformed(_))));
    assert!(matches!(there.hear_sockets(usize::MAX, SOON), Err(WireError::Malformed(_))));
}

#[test]
fn an_end_that_is_gone_or_silent_is_noticed() {
    let (here, there) = pair();
    let short = Duration::from_millis(20);
    assert_eq!(there.hear(Some(short)).unwrap_err(), WireError::TimedOut(short));
    here.say(&PeerMessage::Settled, &[]).unwrap();
    drop(here);
    assert_eq!(there.hear(Some(SOON)).unwrap().0, PeerMessage::Settled);
    assert_eq!(there.hear(Some(SOON)).unwrap_err(), WireError::Closed);
    assert_eq!(there.say(&PeerMessage::Settled, &[]), Err(WireError::Closed));
}

#[test]
fn hanging_up_wakes_a_thread_that_waits() {
    let (here, _there) = pair();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| here.hear(None));
        here.hang_up();
        assert_eq!(waiting.join().unwrap().unwrap_err(), WireError::Closed);
    });
}

#[test]
fn descriptors_of_a_bad_packet_do_not_stay() {
    let (here, there) = pair();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
    here.say(&PeerMessage::Sockets { names: Vec::new() }, &[write.as_fd()]).unwrap();
    drop(write);
    assert_eq!(rustix::io::read(&read, &mut [0; 1]), Err(Errno::AGAIN), "it is on its way");
    assert!(there.hear_sockets(1, SOON).is_err());
    assert_eq!(rustix::io::read(&read, &mut [0; 1]), Ok(0), "it is closed");
}
