//! `_getsocks`: how listening sockets go from one process to another, in HAProxy's own protocol.
//!
//! HAProxy speaks it between an old and a new process (`-x`), and to any process that connects to a stats socket with
//! `expose-fd listeners`. The form is the same from 2.3 to 3.5. Clearway is both sides: with [`fetch`] it takes
//! the sockets of a running HAProxy into custody, with [`serve`] it gives them to the next one. Either way they
//! are duplicates of the same sockets in the kernel: a client that connects meanwhile notices nothing.
//!
//! ```text
//!   client                                           server
//!   (fetch, or HAProxy with -x)                      (HAProxy's stats socket, or serve)
//!      |---- "_getsocks\n" ----------------------------->|
//!      |<--- int n: how many sockets --------------------|  n = 0: that was all
//!      |<--- 252 records + 252 descriptors --------------|
//!      |---- int: how many it had before this message -->|  content ignored, its absence not
//!      |<--- 252 records + 252 descriptors --------------|
//!      |---- int --------------------------------------->|
//!      |<--- the last n % 252 records + descriptors -----|
//!      |---- int --------------------------------------->|  awaited since 3.2-dev6; before, HAProxy may be gone
//!      |                                              close
//! ```
//!
//! A record belongs to the descriptor of the same rank: `u8 length, network namespace, u8 length, interface,
//! 4 zero bytes`. Integers are native C `int`s. A message is one `sendmsg` with one `SCM_RIGHTS`.
//!
//! | what dies or errs | what happens |
//! |---|---|
//! | the server before the end | the client gets an error and keeps nothing; its copies are closed |
//! | HAProxy as server has no such right, or no socket | it closes without an answer: [`GetsocksError::Refused`] |
//! | we as server are silent for one second | HAProxy with `-W` says so on stderr and binds for itself |
//! | the client before the end | [`serve`] returns an error; the sockets stay where they are |
//!
//! Facts that shaped the code: a HAProxy that receives never makes its control buffer larger again, so full
//! messages go first (docs/facts E7); it waits one second for each message, and so does the server for an ack.
//! HAProxy does not say which of the sockets it used: see [`crate::inventory::adoption`]. Descriptors are
//! close-on-exec from the moment they arrive.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;

mod client;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod records;
mod server;

pub use client::fetch;
pub use server::serve;

/// Descriptors in one message: HAProxy's `MAX_SEND_FD` since 2.6. 2.4 sends 253, the kernel's own limit.
pub(crate) const PER_MESSAGE: usize = 252;

/// More sockets than any HAProxy has; a peer that announces more is not one.
const MOST: usize = 65_536;

/// A socket that was fetched.
#[derive(Debug)]
pub struct ReceivedSocket {
    /// The socket, close-on-exec. It shares everything but this flag with HAProxy's, `O_NONBLOCK` too.
    pub fd: OwnedFd,
    /// The name of its network namespace, empty for the process's own.
    pub namespace: String,
    /// `interface` of the bind line, empty without one. HAProxy compares this text, not `SO_BINDTODEVICE`.
    pub interface: String,
}

/// A socket that is offered.
#[derive(Clone, Copy, Debug)]
pub struct OfferedSocket<'a> {
    /// The socket. HAProxy sets `O_NONBLOCK` on it, for every process that shares it.
    pub fd: BorrowedFd<'a>,
    /// The name of its network namespace as the bind line gives it, at most 255 bytes.
    pub namespace: &'a str,
    /// `interface` of the bind line, at most 255 bytes.
    pub interface: &'a str,
}

impl<'a> From<&'a ReceivedSocket> for OfferedSocket<'a> {
    fn from(socket: &'a ReceivedSocket) -> Self {
        Self { fd: socket.fd.as_fd(), namespace: &socket.namespace, interface: &socket.interface }
    }
}

/// What a handover was about when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetsocksSide {
    /// Taking sockets from HAProxy.
    Fetch,
    /// Giving sockets to HAProxy.
    Serve,
}

impl std::fmt::Display for GetsocksSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fetch => "fetching listening sockets from HAProxy",
            Self::Serve => "giving listening sockets to HAProxy",
        })
    }
}

/// Why a handover failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GetsocksError {
    /// The server closed the connection instead of answering.
    #[error(
        "fetching listening sockets from HAProxy: it closed the connection without an answer (it has no socket to \
         give, or this stats socket lacks `expose-fd listeners`)"
    )]
    Refused,
    /// The peer is gone in the middle.
    #[error("{side}: the connection ended after {done} of {all} sockets")]
    Ended {
        /// Which side we are.
        side: GetsocksSide,
        /// How many had gone over.
        done: usize,
        /// How many it should have been.
        all: usize,
    },
    /// The limit ran out.
    #[error("{side}: no progress within {limit:?}")]
    TimedOut {
        /// Which side we are.
        side: GetsocksSide,
        /// The limit.
        limit: Duration,
    },
    /// What came is not the protocol.
    #[error("{side}: {what}")]
    Malformed {
        /// Which side we are.
        side: GetsocksSide,
        /// What was wrong.
        what: &'static str,
    },
    /// The kernel cut descriptors off: the limit of open files is reached.
    #[error("fetching listening sockets from HAProxy: the limit of open files (`ulimit -n`) is reached")]
    TooManyFiles,
    /// A namespace or interface that the protocol cannot carry.
    #[error("giving listening sockets to HAProxy: the name `{0}` has more than 255 bytes")]
    LongName(String),
    /// The kernel refused a read or write.
    #[error("{side}: {source}")]
    Io {
        /// Which side we are.
        side: GetsocksSide,
        /// What it said.
        source: Errno,
    },
}

#[cfg(test)]
mod tests;
