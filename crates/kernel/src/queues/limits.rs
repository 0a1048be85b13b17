//! How many clients may wait at a listening socket, and changing that while it listens.
//!
//! `listen` on a socket that listens already changes this number and nothing else (`__inet_listen_sk`, `unix_listen`):
//! the clients that wait go on waiting, also if they are more than the new limit. It acts on the socket, for every
//! process that shares it. The peer credentials that clients of a Unix socket see become those of the caller.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;

use netlink_packet_core::NlasIterator;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::UNIX_DIAG_RQLEN;
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags, UnixRequest};
use rustix::io::Errno;

use crate::listeners::{SockDiagError, TcpState, rows};
use crate::netlink::{NetlinkClient, Protocol, Reply};
use crate::transparency::Family;

/// The upper bound of all limits, whatever `listen` is told: Linux keeps one per network namespace.
const MOST: &str = "/proc/sys/net/core/somaxconn";

/// The limits of all sockets that listen in this network namespace, by inode: TCP, MPTCP and Unix sockets.
///
/// A kernel without `unix_diag` tells nothing of Unix sockets; that is no error.
pub fn limits() -> Result<HashMap<u64, u32>, SockDiagError> {
    let tcp = rows(TcpState::Listen, 0, &Family::ALL)?.into_iter().map(|row| (row.inode, row.limit));
    Ok(tcp.chain(unix()?).collect())
}

/// `net.core.somaxconn`; none where it cannot be read.
pub fn most() -> Option<u32> {
    std::fs::read_to_string(MOST).ok()?.trim().parse().ok()
}

/// Sets how many clients may wait at a listening socket. The kernel cuts the number at [`most`].
///
/// Fails on a socket that does not listen, and leaves it so.
pub fn set_limit(listener: BorrowedFd<'_>, limit: u32) -> io::Result<()> {
    if !socket2::SockRef::from(&listener).is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
    }
    Ok(rustix::net::listen(listener, i32::try_from(limit).unwrap_or(i32::MAX))?)
}

fn unix() -> Result<Vec<(u64, u32)>, SockDiagError> {
    let request = SockDiagMessage::UnixRequest(UnixRequest {
        state_flags: StateFlags::LISTEN,
        inode: 0,
        show_flags: ShowFlags::RQLEN,
        cookie: [0xff; 8],
    });
    let mut client = NetlinkClient::open(Protocol::SockDiag).map_err(SockDiagError::Netlink)?;
    match client.dump("listing Unix sockets that listen", &request) {
        Ok(replies) => Ok(replies.iter().filter_map(decode).collect()),
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(Vec::new()),
        Err(error) => Err(SockDiagError::Netlink(error)),
    }
}

/// Inode and limit: `struct unix_diag_msg`, with the inode at 4 and attributes from 16 on, and the second number of
/// `struct unix_diag_rqlen`.
fn decode(reply: &Reply) -> Option<(u64, u32)> {
    let number = |bytes: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    let inode = number(&reply.payload, 4)?;
    let mut attributes = NlasIterator::new(reply.payload.get(16..)?).flatten();
    let queue = attributes.find(|nla| nla.kind() == UNIX_DIAG_RQLEN)?;
    Some((inode.into(), number(queue.value(), 4)?))
}

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
