//! The side that takes sockets.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use super::{GetsocksError, GetsocksSide, MOST, ReceivedSocket, records};
use crate::deadline::Deadline;

/// The kernel's own limit per message (`SCM_MAX_FD`), which HAProxy 2.4 uses to the full.
const MOST_PER_MESSAGE: usize = 253;

/// Takes all listening sockets of a HAProxy over a connection to a stats socket with `expose-fd listeners`, as
/// [`crate::sockpair::dial`] makes it. The connection is of no use afterwards.
///
/// From 3.2-dev6 on, the asking also tells HAProxy that its sockets are shared, which keeps a draining process
/// from spinning (docs/facts E14).
pub fn fetch(connection: impl AsFd, limit: Duration) -> Result<Vec<ReceivedSocket>, GetsocksError> {
    Fetch { connection, deadline: Deadline::after(limit), limit }.run()
}

struct Fetch<C> {
    connection: C,
    deadline: Deadline,
    limit: Duration,
}

/// What one `recvmsg` brought.
struct ReceivedMessage {
    bytes: usize,
    fds: Vec<OwnedFd>,
}

impl<C: AsFd> Fetch<C> {
    fn run(self) -> Result<Vec<ReceivedSocket>, GetsocksError> {
        match self.deadline.send(&self.connection, b"_getsocks\n") {
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(GetsocksError::Refused),
            sent => sent.map_err(|error| self.failed(error))?,
        }
        let all = self.count()?;
        let mut fds: Vec<OwnedFd> = Vec::new();
        let mut payload: Vec<u8> = Vec::new();
        let mut sockets: Vec<ReceivedSocket> = Vec::new();
        let mut buffer = vec![0; MOST_PER_MESSAGE * records::LONGEST];
        while sockets.len() < all {
            let had = fds.len();
            let message = self.receive(&mut buffer)?;
            if message.bytes == 0 {
                return Err(GetsocksError::Ended { side: GetsocksSide::Fetch, done: sockets.len(), all });
            }
            payload.extend_from_slice(buffer.get(..message.bytes).unwrap_or_default());
            if !message.fds.is_empty() {
                fds.extend(message.fds);
                let had = i32::try_from(had + sockets.len()).unwrap_or(i32::MAX);
                match self.deadline.send(&self.connection, &had.to_ne_bytes()) {
                    // Before 3.2 HAProxy does not wait for the last one.
                    Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => {}
                    Err(error) => return Err(self.failed(error)),
                }
            }
            match_up(&mut payload, &mut fds, &mut sockets);
            if sockets.len() + fds.len() > all {
                return Err(malformed("it sent more sockets than it had announced"));
            }
            if payload.len() > records::LONGEST * (fds.len() + 1) {
                return Err(malformed("it sent descriptions without sockets"));
            }
        }
        Ok(sockets)
    }

    /// The number that the server announces.
    fn count(&self) -> Result<usize, GetsocksError> {
        let mut bytes = [0; 4];
        let mut filled = 0;
        while let Some(free) = bytes.get_mut(filled..).filter(|free| !free.is_empty()) {
            match self.receive(free) {
                Ok(message) if !message.fds.is_empty() => {
                    return Err(malformed("it sent sockets before their number"));
                }
                Ok(ReceivedMessage { bytes: 0, .. })
                | Err(GetsocksError::Io { source: Errno::CONNRESET, .. }) => {
                    return Err(GetsocksError::Refused);
                }
                Ok(message) => filled += message.bytes,
                Err(error) => return Err(error),
            }
        }
        usize::try_from(i32::from_ne_bytes(bytes))
            .ok()
            .filter(|count| *count <= MOST)
            .ok_or(malformed("it announced an impossible number of sockets"))
    }

    fn receive(&self, buffer: &mut [u8]) -> Result<ReceivedMessage, GetsocksError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_PER_MESSAGE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let message = loop {
            self.deadline.readable(&self.connection).map_err(|error| self.failed(error))?;
            match recvmsg(&self.connection, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
                Ok(message) => break message,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(self.failed(error)),
            }
        };
        let mut fds = Vec::new();
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                fds.extend(rights);
            }
        }
        if message.flags.contains(ReturnFlags::CTRUNC) {
            return Err(GetsocksError::TooManyFiles);
        }
        Ok(ReceivedMessage { bytes: message.bytes, fds })
    }

    fn failed(&self, source: Errno) -> GetsocksError {
        match source {
            Errno::TIMEDOUT => GetsocksError::TimedOut { side: GetsocksSide::Fetch, limit: self.limit },
            source => GetsocksError::Io { side: GetsocksSide::Fetch, source },
        }
    }
}

/// Turns as many descriptors with their records into sockets as are complete.
fn match_up(payload: &mut Vec<u8>, fds: &mut Vec<OwnedFd>, sockets: &mut Vec<ReceivedSocket>) {
    let mut rest = payload.as_slice();
    let mut known = Vec::new();
    while known.len() < fds.len()
        && let Some((record, after)) = records::take(rest)
    {
        known.push(record);
        rest = after;
    }
    let used = payload.len() - rest.len();
    payload.drain(..used);
    sockets.extend(fds.drain(..known.len()).zip(known).map(|(fd, record)| ReceivedSocket {
        fd,
        namespace: record.namespace,
        interface: record.interface,
    }));
}

fn malformed(what: &'static str) -> GetsocksError {
    GetsocksError::Malformed { side: GetsocksSide::Fetch, what }
}
