//! Connections without a name: what HAProxy calls `sockpair@N`.
//!
//! Owns the pair of connected Unix sockets of which HAProxy inherits one end, and the handshake over it. Nothing
//! has a path, so nothing has to be writable, no other process can connect, and nothing is left behind.
//!
//! ```text
//! stats socket, -S: HAProxy "listens" on its end      -x: HAProxy "connects" to its end
//!
//!   Clearway                       HAProxy              Clearway                       HAProxy
//!   socketpair: x, y                  |                    |            socketpair: x, y
//!      |--- 2 zero bytes + fd y ----->|                    |<--- 2 zero bytes + fd y ----|
//!      |                       accepts y                accepts y                        |
//!   close y                           |                    |                       close y
//!      |<=========== x = y ==========>|                    |<=========== y = x =========>|
//! ```
//!
//! A connection may be dialled before HAProxy is up: it waits in the pair, and the first answer over it proves
//! that HAProxy serves. If HAProxy dies (bad configuration, for one), the kernel drops what waits there: the
//! dialled connection and the pair itself then end. For that, the shell must close its copy of HAProxy's end
//! right after the start. Master and worker both keep the end that they inherited, so the pair ends with the
//! last of the two (measured with 2.6.12, 3.0.11, 3.2.26).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::deadline::Deadline;

/// Why a connection over a pair could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SockpairError {
    /// The kernel gives no more sockets.
    #[error("making a pair of sockets for HAProxy: {0}")]
    NoPair(Errno),
    /// HAProxy's end is closed: it ended.
    #[error("connecting to HAProxy over a private socket: HAProxy has ended")]
    Ended,
    /// Nothing arrived in time.
    #[error("waiting for HAProxy to connect over a private socket: nothing within {0:?}")]
    TimedOut(Duration),
    /// A message without exactly one descriptor, or one that is no Unix stream socket.
    #[error("waiting for HAProxy to connect over a private socket: it sent no connection")]
    NoConnection,
    /// Something else went wrong, `EAGAIN` for a HAProxy that has not accepted for long.
    #[error("connecting to HAProxy over a private socket: {0}")]
    Io(Errno),
}

/// A new pair: our end, and the one that HAProxy is to inherit. Both are close-on-exec; what starts HAProxy
/// clears that for its end in the child only.
pub fn pair() -> Result<(OwnedFd, OwnedFd), SockpairError> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(SockpairError::NoPair)
}

/// Connects to HAProxy's `stats socket sockpair@N` or `-S sockpair@N` over our end of that pair. Never blocks.
pub fn dial(our_end: impl AsFd) -> Result<UnixStream, SockpairError> {
    let (ours, theirs) = pair()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [theirs.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match sendmsg(&our_end, &[IoSlice::new(&[0; 2])], &mut control, flags) {
            Ok(_) => return Ok(ours.into()),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(SockpairError::Ended),
            Err(error) => return Err(SockpairError::Io(error)),
        }
    }
}

/// Waits until HAProxy's `-x sockpair@N` connects over our end of that pair.
pub fn accept(our_end: impl AsFd, limit: Duration) -> Result<UnixStream, SockpairError> {
    let deadline = Deadline::after(limit);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut payload = [0; 2];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        deadline.readable(&our_end).map_err(|error| match error {
            Errno::TIMEDOUT => SockpairError::TimedOut(limit),
            error => SockpairError::Io(error),
        })?;
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        match recvmsg(&our_end, &mut [IoSliceMut::new(&mut payload)], &mut control, flags) {
            Ok(message) => break message,
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::CONNRESET) => return Err(SockpairError::Ended),
            Err(error) => return Err(SockpairError::Io(error)),
        }
    };
    let mut fds: Vec<OwnedFd> = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    let Some(fd) = fds.pop() else {
        return Err(if message.bytes == 0 { SockpairError::Ended } else { SockpairError::NoConnection });
    };
    let is_stream = rustix::net::sockopt::socket_domain(&fd) == Ok(AddressFamily::UNIX)
        && rustix::net::sockopt::socket_type(&fd) == Ok(SocketType::STREAM);
    if is_stream { Ok(fd.into()) } else { Err(SockpairError::NoConnection) }
}

#[cfg(test)]
mod tests;
