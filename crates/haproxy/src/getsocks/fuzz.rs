//! Any bytes as what HAProxy says and asks in `_getsocks`, with descriptors beside them.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown};

use super::{OfferedSocket, fetch, records, serve};
use crate::sockpair;

/// Never reached: the other end has said everything before it is heard.
const LIMIT: Duration = Duration::from_secs(5);

/// How many descriptors are sent at once.
const MOST: u8 = 7;

/// The first byte says how many descriptors come with the second of two messages, the second one how long the first is.
pub(crate) fn getsocks(data: &[u8]) {
    let [descriptors, first, said @ ..] = data else { return };
    let said_first = said.get(..usize::from(*first)).unwrap_or(said);
    let said_then = said.get(usize::from(*first)..).unwrap_or_default();
    let count = usize::from(descriptors % MOST);
    as_a_server(&[said_first, said_then], count);
    as_a_client(said);
    as_a_caller(said_first, count);
    each_record(said);
}

/// Something to send of which can be told whether it was closed.
struct Lot {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Lot {
    fn new() -> Option<Self> {
        let (ours, theirs) = rustix::pipe::pipe().ok()?;
        Some(Self { ours, theirs })
    }

    /// Says something with so many descriptors.
    fn send(&self, to: impl AsFd, bytes: &[u8], count: usize) {
        let descriptors: Vec<BorrowedFd<'_>> = (0..count).map(|_| self.theirs.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST as usize))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if count > 0 {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let _ = sendmsg(to, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Closes ours, and tells whether no other is left.
    fn closes(self) -> bool {
        drop(self.theirs);
        let mut asked = [PollFd::new(&self.ours, PollFlags::empty())];
        poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready == 1)
    }
}

fn as_a_server(messages: &[&[u8]; 2], count: usize) {
    let (Ok((ours, theirs)), Some(lot)) = (UnixStream::pair(), Lot::new()) else { return };
    lot.send(&theirs, messages[0], 0);
    if !messages[1].is_empty() {
        lot.send(&theirs, messages[1], count);
    }
    let _ = shutdown(&theirs, Shutdown::Write);
    match fetch(&ours, LIMIT) {
        Ok(sockets) => {
            let announced = messages.concat().first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
            assert_eq!(i32::try_from(sockets.len()).ok(), announced);
        }
        Err(error) => drop(error.to_string()),
    }
    drop((ours, theirs));
    assert!(lot.closes(), "a descriptor was left open");
}

fn as_a_client(said: &[u8]) {
    let (Ok((ours, theirs)), Some(lot)) = (UnixStream::pair(), Lot::new()) else { return };
    lot.send(&theirs, said, 0);
    let _ = shutdown(&theirs, Shutdown::Write);
    let one = OfferedSocket { fd: lot.ours.as_fd(), namespace: "blue", interface: "" };
    if let Err(error) = serve(&ours, &[one, one], LIMIT) {
        drop(error.to_string());
    }
}

/// What asks for them: a message of `-x sockpair@N`.
fn as_a_caller(said: &[u8], count: usize) {
    let (Ok((ours, theirs)), Some(lot)) = (sockpair::pair(), Lot::new()) else { return };
    lot.send(&theirs, said, count);
    drop(theirs);
    assert!(sockpair::accept(&ours, LIMIT).is_err(), "a pipe is no connection");
    drop(ours);
    assert!(lot.closes(), "a descriptor was left open");
}

/// What is read of a payload is written as the same.
fn each_record(payload: &[u8]) {
    let mut rest = payload;
    while let Some((record, after)) = records::take(rest) {
        assert!(after.len() < rest.len());
        rest = after;
        let Some(lot) = Lot::new() else { return };
        let socket = OfferedSocket {
            fd: lot.ours.as_fd(),
            namespace: &record.namespace,
            interface: &record.interface,
        };
        // Bytes that are no text have become longer.
        if let Ok(written) = records::write(&[socket]) {
            assert_eq!(records::take(&written), Some((record, &[][..])));
        }
    }
}
