//! Packets with descriptors between two processes: a Unix socket of type `SOCK_SEQPACKET`.
//!
//! One packet is one [`PeerMessage`] with the descriptors that belong to it, and arrives whole or not at all. Everything
//! that is read or written waits first and then does not block; descriptors are close-on-exec from the moment they
//! arrive. What comes from outside may be anything: it becomes an error, never a panic, and what descriptors came
//! with it are closed.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use clearway_haproxy::getsocks::ReceivedSocket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, recvmsg, sendmsg,
};

use crate::custody::held::{Held, Names};
use crate::peers::message::PeerMessage;

/// Descriptors in one packet; the kernel allows 253.
pub const PER_PACKET: usize = 252;

/// How long a message may take that the other end has ready.
pub const PROMPT: Duration = Duration::from_secs(5);

/// The longest packet: 252 pairs of names with 255 bytes each, and room.
const LONGEST: usize = 192 * 1024;

/// More sockets than any HAProxy has.
const MOST: usize = 65_536;

/// Why nothing went over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The other end is gone.
    #[error("it closed the connection")]
    Closed,
    /// It says nothing.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// What it says is not the protocol.
    #[error("it does not speak the takeover protocol: {0}")]
    Malformed(String),
    /// The kernel cut descriptors off.
    #[error("the limit of open files (`ulimit -n`) is reached")]
    TooManyFiles,
    /// Something else.
    #[error("{0}")]
    Io(Errno),
}

/// A connection.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
}

impl Wire {
    /// A connection that was accepted.
    pub fn of(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// The connection itself, to look at its other end.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the other end is still there. Without waiting.
    pub fn is_open(&self) -> bool {
        let mut sockets = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        let over = PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR;
        match poll(&mut sockets, Some(&Timespec::default())) {
            Ok(0) => true,
            Ok(_) => !sockets[0].revents().intersects(over),
            Err(_) => false,
        }
    }

    /// Ends it for both sides, also for a thread of ours that waits for a message.
    pub fn hang_up(&self) {
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }

    /// Says something that fits into the socket's buffer, or fails at once.
    pub fn say(&self, message: &PeerMessage, descriptors: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        self.send(message, descriptors, Duration::ZERO)
    }

    /// Says something, and waits for so long for room.
    pub fn send(
        &self,
        message: &PeerMessage,
        descriptors: &[BorrowedFd<'_>],
        limit: Duration,
    ) -> Result<(), WireError> {
        let text =
            serde_json::to_vec(message).map_err(|error| WireError::Malformed(format!("writing: {error}")))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PER_PACKET))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(WireError::Malformed(format!("{} descriptors at once", descriptors.len())));
        }
        let until = Instant::now() + limit;
        loop {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match sendmsg(&self.socket, &[IoSlice::new(&text)], &mut control, flags) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, Some((until, limit)))?,
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => return Err(WireError::Closed),
                Err(error) => return Err(WireError::Io(error)),
            }
        }
    }

    /// Hears the next message; without a limit it waits for as long as the other end lives.
    pub fn hear(&self, limit: Option<Duration>) -> Result<(PeerMessage, Vec<OwnedFd>), WireError> {
        let until = limit.map(|limit| (Instant::now() + limit, limit));
        let mut text = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            match recvmsg(&self.socket, &mut [IoSliceMut::new(&mut text)], &mut control, flags) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::IN, until)?,
                Err(Errno::CONNRESET | Errno::NOTCONN) => return Err(WireError::Closed),
                Err(error) => return Err(WireError::Io(error)),
            }
        };
        let mut descriptors = Vec::new();
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                descriptors.extend(rights);
            }
        }
        if received.bytes == 0 {
            return Err(WireError::Closed);
        }
        // MSG_CTRUNC, of which rustix has no name: the kernel ran out of descriptor numbers.
        if received.flags.bits() & CONTROL_CUT_OFF != 0 {
            return Err(WireError::TooManyFiles);
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(WireError::Malformed(format!("a packet of more than {LONGEST} bytes")));
        }
        let text = text.get(..received.bytes).unwrap_or_default();
        let message =
            serde_json::from_slice(text).map_err(|error| WireError::Malformed(error.to_string()))?;
        Ok((message, descriptors))
    }

    fn wait(&self, what: PollFlags, until: Option<(Instant, Duration)>) -> Result<(), WireError> {
        let left = until.map(|(until, _)| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&self.socket, what)], left.as_ref()) {
            Ok(0) => Err(WireError::TimedOut(until.map_or(Duration::ZERO, |(_, limit)| limit))),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(WireError::Io(error)),
        }
    }

    /// Sends sockets, as many messages as it takes.
    pub fn send_sockets(&self, sockets: &[Held], limit: Duration) -> Result<(), WireError> {
        for some in sockets.chunks(PER_PACKET) {
            let names = some.iter().map(Held::names).collect();
            let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(Held::descriptor).collect();
            self.send(&PeerMessage::Sockets { names }, &descriptors, limit)?;
        }
        Ok(())
    }

    /// Receives so many sockets; `limit` is for each message.
    pub fn hear_sockets(&self, count: usize, limit: Duration) -> Result<Vec<ReceivedSocket>, WireError> {
        if count > MOST {
            return Err(WireError::Malformed(format!("{count} sockets")));
        }
        let mut sockets = Vec::new();
        while sockets.len() < count {
            let (message, descriptors) = self.hear(Some(limit))?;
            let names = match message {
                PeerMessage::Sockets { names } => names,
                PeerMessage::Unknown => continue,
                other => return Err(WireError::Malformed(format!("{other:?} instead of sockets"))),
            };
            if names.len() != descriptors.len() || names.is_empty() || sockets.len() + names.len() > count {
                let numbers = (names.len(), descriptors.len(), count - sockets.len());
                return Err(WireError::Malformed(format!("names, sockets and wanted are {numbers:?}")));
            }
            sockets.extend(
                names
                    .into_iter()
                    .zip(descriptors)
                    .map(|(Names { namespace, interface }, fd)| ReceivedSocket { fd, namespace, interface }),
            );
        }
        Ok(sockets)
    }
}

/// `MSG_CTRUNC` of `<sys/socket.h>`.
const CONTROL_CUT_OFF: u32 = 8;

#[cfg(test)]
mod tests;
