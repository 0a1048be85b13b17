//! Any packets as what another Clearway says, with descriptors beside them.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};

use crate::peers::message::{PeerMessage, agree};
use crate::peers::origin;
use crate::peers::state::Collector;
use crate::peers::wire::{Wire, WireError};

/// Never reached: the other end has said everything before it is heard.
const LIMIT: Duration = Duration::from_secs(5);

/// How many packets are sent: as many as a socket takes without a reader.
const PACKETS: usize = 8;

/// How many descriptors come with each, at most.
const MOST: u8 = 5;

/// The first byte says how many descriptors come with each packet; between packets stands 0xff.
pub(crate) fn takeover(data: &[u8]) {
    let Some((count, said)) = data.split_first() else { return };
    let packets: Vec<&[u8]> = said.split(|byte| *byte == 0xff).take(PACKETS).collect();
    packets.iter().copied().for_each(one_message);
    let (Ok((ours, theirs)), Ok((end, lent))) = (pair(), rustix::pipe::pipe()) else { return };
    for packet in packets {
        send(&theirs, packet, &lent, usize::from(count % MOST));
    }
    drop((theirs, lent));
    let sockets = heard(&Wire::of(ours));
    assert!(sockets <= PACKETS * usize::from(MOST));
    // None of what came is open any more, so the pipe has ended.
    let mut asked = [PollFd::new(&end, PollFlags::empty())];
    assert_eq!(poll(&mut asked, Some(&Timespec::default())), Ok(1), "a descriptor was left open");
}

fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

fn send(to: &OwnedFd, packet: &[u8], lent: &OwnedFd, count: usize) {
    let descriptors: Vec<BorrowedFd<'_>> = (0..count).map(|_| lent.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST as usize))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if count > 0 {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let _ = sendmsg(to, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

/// Hears a conversation to its end as each side of one does, and tells how many sockets came.
fn heard(wire: &Wire) -> usize {
    let mut collector = Collector::default();
    let mut sockets = 0;
    for _ in 0..=PACKETS {
        match wire.hear(Some(LIMIT)) {
            Ok((PeerMessage::Welcome { sockets: count, .. } | PeerMessage::Keep { sockets: count }, _)) => {
                match wire.hear_sockets(count, LIMIT) {
                    Ok(got) => {
                        assert_eq!(got.len(), count);
                        sockets += count;
                    }
                    Err(error) => drop(error.to_string()),
                }
            }
            Ok((PeerMessage::Servers { part, more, age_ms }, _)) => {
                drop(collector.hear(&part, more, age_ms));
            }
            Ok((PeerMessage::Hello { protocol, lowest, .. }, _)) => drop(agree(protocol, lowest)),
            Ok(_) => {}
            Err(WireError::Closed) => return sockets,
            Err(error) => assert!(!matches!(error, WireError::TimedOut(_)), "{error}"),
        }
    }
    sockets
}

/// A message is written as it is read.
fn one_message(packet: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<PeerMessage>(packet) {
        let written = serde_json::to_vec(&message).unwrap_or_default();
        let read = serde_json::from_slice::<PeerMessage>(&written);
        assert!(read.is_ok_and(|read| read == message), "{message:?}");
    }
}

/// Any text as `/proc/self/mountinfo` and `/proc/self/cgroup`.
pub(crate) fn mounts_and_groups(text: &str) {
    if let Some(hash) = origin::of(text, text) {
        assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
