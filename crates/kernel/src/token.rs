//! Abstract unix sockets as signs of life, and one of them as a lock.
//!
//! A name in the abstract namespace belongs to one socket at a time, per *network* namespace like nftables
//! tables, rules and routes, and the kernel frees it when its process dies, however it dies. So a name that is bound
//! shows a process that tries to bind it that its owner lives. Nothing is ever sent through these sockets, and they do
//! not listen. Any local process may bind any free name: a hostile one can make a dead instance look alive (its residue
//! stays) or make [`lock`] wait for nothing (two seconds), but never more.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};

/// The name of the lock that [`lock`] takes: no table's name, as those have three parts.
const LOCK: &str = "clearway_lock";
/// How long [`lock`] waits. What is done under it takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// A bound name; free again when this is dropped or the process ends.
#[derive(Debug)]
pub struct Token {
    _socket: OwnedFd,
}

impl Token {
    /// Binds a name of at most 107 bytes; `None` if another process has it (`EADDRINUSE`).
    ///
    /// The socket is close-on-exec: inherited, it would outlive this process.
    pub fn claim(name: &str) -> io::Result<Option<Self>> {
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        match bind(&socket, &address) {
            Ok(()) => Ok(Some(Self { _socket: socket })),
            Err(Errno::ADDRINUSE) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits until no other Clearway of this network namespace changes its plumbing.
///
/// `None` after two seconds or on an error: the process that has it is stopped or hostile, and the caller goes on
/// without it. The lock is needed only against rare interleavings (see [`crate::plumbing`]).
pub fn lock() -> Option<Token> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match Token::claim(LOCK) {
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
            Ok(token) => return token,
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests;
