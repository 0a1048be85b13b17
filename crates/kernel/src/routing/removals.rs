//! Watches for removals of our rules and routes: rtnetlink's multicast groups.
//!
//! ```text
//!   another program         the kernel                     Removals              Clearway
//!      | ip rule flush ------->|                               |                     |
//!      |                       |-- ours? (socket filter) ----->| of our block? ----->| Plumbing::repair
//!      | 100,000 routes ------>|   no: nothing wakes           |                     |
//! ```
//!
//! A message is only a hint that it is time to look. So nothing depends on messages that the kernel had to drop
//! (`ENOBUFS` is a hint itself), and a forged one can do no more than make Clearway look.
//!
//! The socket's filter ([`filter`]) keeps a host with a full BGP table from waking Clearway: the socket receives only
//! removals of what carries our [`TAG`](super::TAG), and changes of `lo`. The latter because the kernel silently
//! removes its IPv4 routes when `lo` has no address any more (`fib_disable_ip` in `net/ipv4/fib_frontend.c`), and
//! because nothing can be put back while it is down.
//!
//! Joining these groups needs no capability (`NL_CFG_F_NONROOT_RECV` in `net/core/rtnetlink.c`). Other processes cannot
//! send to this socket without `NET_ADMIN`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use socket2::SockRef;

use super::{Block, Family, route, rule};
use crate::netlink::{NetlinkError, Protocol, replies};

mod filter;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;

use filter::{DELETE_ROUTE, DELETE_RULE};

/// `RTNLGRP_LINK`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV4_RULE`, `_IPV6_IFADDR`, `_IPV6_ROUTE`, `_IPV6_RULE`, as bits.
const GROUPS: u32 = (1 << 0) | (1 << 4) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10) | (1 << 18);
/// What the kernel tells about one rule or route needs some hundred bytes, about `lo` some 1,500. What does not fit
/// counts as a hint.
const BUFFER: usize = 8 * 1024;
/// How many messages are read at once; if there are more, that is a hint, whatever they say.
const AT_ONCE: usize = 100;

/// A socket that receives removals, close-on-exec and non-blocking.
///
/// To miss nothing, open a new one first and look then.
#[derive(Debug)]
pub struct Removals {
    socket: OwnedFd,
    block: Block,
}

impl Removals {
    /// Receives from now on, in the network namespace of this process, what may have removed something of this block.
    pub fn hear(block: Block) -> Result<Self, NetlinkError> {
        Self::open(block).map_err(|source| NetlinkError::Open { protocol: Protocol::Route, source })
    }

    fn open(block: Block) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // `NETLINK_ROUTE` is 0.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        // The filter first: nothing else may get in.
        SockRef::from(&socket).attach_filter(&filter::program())?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self { socket, block })
    }

    /// Reads what has come, and says whether something of this block may be gone. Never blocks, never fails: what
    /// cannot be read or was dropped means that it is time to look.
    pub fn heard(&self) -> bool {
        let mut buffer = [0; BUFFER];
        for _ in 0..AT_ONCE {
            match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Ok((length, whole)) if length == whole => {
                    if concerns(self.block, buffer.get(..length).unwrap_or_default()) {
                        return true;
                    }
                }
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return true,
            }
        }
        true
    }
}

/// Whether a datagram tells that something of this block may be gone.
fn concerns(block: Block, datagram: &[u8]) -> bool {
    let Ok(replies) = replies(datagram) else { return true };
    replies.iter().any(|reply| match reply.kind {
        // Our own preferences and table: other Clearways have others.
        DELETE_RULE => Family::ALL
            .into_iter()
            .filter_map(|family| rule::decode(reply, family))
            .any(|rule| rule.block() == Some(block)),
        DELETE_ROUTE => Family::ALL
            .into_iter()
            .filter_map(|family| route::decode(reply, family))
            .any(|route| route.block() == Some(block)),
        _ => true,
    })
}

impl AsFd for Removals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// For an event loop that asks for it. It is the same number for as long as this lives.
impl AsRawFd for Removals {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests;
