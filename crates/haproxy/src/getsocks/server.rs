//! The side that gives sockets.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};

use super::{GetsocksError, GetsocksSide, MOST, OfferedSocket, PER_MESSAGE, records};
use crate::deadline::Deadline;

const REQUEST: &[u8] = b"_getsocks\n";

/// Answers one HAProxy that was started with `-x`, over the connection that [`crate::sockpair::accept`] gave.
/// No sockets is an answer too: HAProxy then binds everything for itself.
///
/// Returns once HAProxy has taken everything (or has closed the connection after the last message). HAProxy
/// waits one second at most for each message, so answer at once.
pub fn serve(
    connection: impl AsFd,
    sockets: &[OfferedSocket<'_>],
    limit: Duration,
) -> Result<(), GetsocksError> {
    Serve { connection, deadline: Deadline::after(limit), limit, all: sockets.len() }.run(sockets)
}

struct Serve<C> {
    connection: C,
    deadline: Deadline,
    limit: Duration,
    all: usize,
}

impl<C: AsFd> Serve<C> {
    fn run(self, sockets: &[OfferedSocket<'_>]) -> Result<(), GetsocksError> {
        let count =
            i32::try_from(self.all).ok().filter(|_| self.all <= MOST).ok_or(GetsocksError::Malformed {
                side: GetsocksSide::Serve,
                what: "there are more than 65536",
            })?;
        // Everything that can be wrong with the names is found before the first byte.
        let payloads =
            sockets.chunks(PER_MESSAGE).map(records::write).collect::<Result<Vec<_>, GetsocksError>>()?;
        self.request()?;
        self.deadline.send(&self.connection, &count.to_ne_bytes()).map_err(|error| self.failed(error, 0))?;
        let mut done = 0;
        for (chunk, payload) in sockets.chunks(PER_MESSAGE).zip(&payloads) {
            self.send_chunk(chunk, payload).map_err(|error| self.failed(error, done))?;
            let last = done + chunk.len() == self.all;
            match self.acknowledged() {
                Ok(()) => {}
                // It has everything: an end instead of the last ack does no harm.
                Err(Errno::PIPE | Errno::CONNRESET) if last => {}
                Err(error) => return Err(self.failed(error, done)),
            }
            done += chunk.len();
        }
        Ok(())
    }

    /// Reads exactly the one command, so that nothing of what follows is lost.
    fn request(&self) -> Result<(), GetsocksError> {
        let mut read = [0; REQUEST.len()];
        let mut filled = 0;
        while let Some(free) = read.get_mut(filled..).filter(|free| !free.is_empty()) {
            filled += self.receive(free).map_err(|error| self.failed(error, 0))?;
        }
        if read == REQUEST {
            Ok(())
        } else {
            Err(GetsocksError::Malformed { side: GetsocksSide::Serve, what: "it asked for something else" })
        }
    }

    fn send_chunk(&self, chunk: &[OfferedSocket<'_>], payload: &[u8]) -> Result<(), Errno> {
        let fds: Vec<BorrowedFd<'_>> = chunk.iter().map(|socket| socket.fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PER_MESSAGE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::NOBUFS);
        }
        let sent = loop {
            self.deadline.writable(&self.connection)?;
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match sendmsg(&self.connection, &[IoSlice::new(payload)], &mut control, flags) {
                Ok(sent) => break sent,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error),
            }
        };
        // Not seen in practice: the buffer of a Unix socket is far larger. HAProxy could not put it together.
        if sent == payload.len() { Ok(()) } else { Err(Errno::MSGSIZE) }
    }

    /// Reads one ack; what it says does not matter.
    fn acknowledged(&self) -> Result<(), Errno> {
        let mut ack = [0; 4];
        let mut filled = 0;
        while let Some(free) = ack.get_mut(filled..).filter(|free| !free.is_empty()) {
            filled += self.receive(free)?;
        }
        Ok(())
    }

    /// At least one byte; the end of the connection is `EPIPE`.
    fn receive(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        loop {
            self.deadline.readable(&self.connection)?;
            match recv(&self.connection, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Errno::PIPE),
                Ok((read, _)) => return Ok(read),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn failed(&self, source: Errno, done: usize) -> GetsocksError {
        match source {
            Errno::TIMEDOUT => GetsocksError::TimedOut { side: GetsocksSide::Serve, limit: self.limit },
            Errno::PIPE | Errno::CONNRESET => {
                GetsocksError::Ended { side: GetsocksSide::Serve, done, all: self.all }
            }
            source => GetsocksError::Io { side: GetsocksSide::Serve, source },
        }
    }
}
