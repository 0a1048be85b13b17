use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;
use crate::custody::held::Held;

const SOON: Duration = Duration::from_secs(5);

/// A keeper whose holder reads nothing, and is not able to hear another word before it does.
fn deaf_holder() -> (KnownHolder, Wire) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (here, there) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let wire = Wire::of(here);
    while wire.say(&PeerMessage::Serving, &[]).is_ok() {}
    (KnownHolder::of(Arc::new(wire)).unwrap(), Wire::of(there))
}

fn sockets(count: usize) -> Arc<Sockets> {
    let made = |_| {
        let socket: OwnedFd = std::net::TcpListener::bind("127.0.0.1:0").unwrap().into();
        Held::made(socket, "").unwrap()
    };
    Arc::new(Sockets::inherited((0..count).map(made).collect()))
}

/// What the holder hears of these words, without what filled its queue.
fn heard(there: &Wire) -> Vec<PeerMessage> {
    let mut heard = Vec::new();
    while let Ok((message, _)) = there.hear(Some(SOON)) {
        if message != PeerMessage::Serving {
            heard.push(message);
        }
    }
    heard
}

fn finish(keeper: KnownHolder) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(keeper.finish());
}

#[test]
fn a_planned_stop_does_not_overtake_the_sockets() {
    let (keeper, there) = deaf_holder();
    keeper.keep(sockets(2));
    keeper.release(true);
    // Only now the holder listens: a thread that had waited for it would have waited for ever.
    let holder = std::thread::spawn(move || heard(&there));
    finish(keeper);
    let heard = holder.join().unwrap();
    let [
        PeerMessage::Keep { sockets: 2 },
        PeerMessage::Sockets { names },
        PeerMessage::Release { at_once: true },
    ] = &heard[..]
    else {
        panic!("{heard:?}")
    };
    assert_eq!(names.len(), 2);
}

#[test]
fn of_several_sets_the_last_one_is_held() {
    let (keeper, there) = deaf_holder();
    keeper.keep(sockets(1));
    (2..6).for_each(|count| keeper.keep(sockets(count)));
    keeper.release(false);
    let holder = std::thread::spawn(move || heard(&there));
    finish(keeper);
    let heard = holder.join().unwrap();
    let kept: Vec<usize> = heard
        .iter()
        .filter_map(|one| if let PeerMessage::Keep { sockets } = one { Some(*sockets) } else { None })
        .collect();
    assert_eq!(kept.last(), Some(&5), "{heard:?}");
    assert!(kept.len() <= 2, "the first may have been on its way: {heard:?}");
    assert_eq!(heard.last(), Some(&PeerMessage::Release { at_once: false }));
}

#[test]
fn a_holder_that_is_gone_holds_nothing_up() {
    let (keeper, there) = deaf_holder();
    drop(there);
    keeper.keep(sockets(1));
    keeper.release(false);
    finish(keeper);
}
