//! What a router or a host says about a packet that it did not deliver.

use std::fmt;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use rustix::io::Errno;
use serde::Serialize;
use socket2::Socket;

use super::ours::is_ours;

/// An ICMP error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    /// What it says.
    pub what: IcmpKind,
    /// Its sender; before Linux 5.8 (commit 45af29ca761c) the kernel does not tell it for a connection that is being
    /// made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<IpAddr>,
    /// It is this host itself: the server's, or the next router's, link-layer address was not found.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub here: bool,
}

/// Kinds of ICMP errors, both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IcmpKind {
    /// No route to the server's network.
    Network,
    /// The host does not answer where it should be.
    Host,
    /// No socket has the port; unlike a reset, this is mostly a firewall's `REJECT`.
    Port,
    /// A firewall's decision that says so.
    Prohibited,
    /// The packet went in circles, or the way is too long.
    TooFar,
    /// Anything else.
    Other,
}

impl IcmpKind {
    /// RFC 792, RFC 1122 (3.2.2.1) and RFC 1812 (5.2.7.1).
    fn of_v4(kind: u8, code: u8) -> Self {
        const UNREACHABLE: u8 = 3;
        const EXCEEDED: u8 = 11;
        match (kind, code) {
            (UNREACHABLE, 0 | 6 | 11) => Self::Network,
            (UNREACHABLE, 1 | 7 | 12) => Self::Host,
            (UNREACHABLE, 3) => Self::Port,
            (UNREACHABLE, 9 | 10 | 13) => Self::Prohibited,
            (EXCEEDED, _) => Self::TooFar,
            _ => Self::Other,
        }
    }

    /// RFC 4443.
    fn of_v6(kind: u8, code: u8) -> Self {
        const UNREACHABLE: u8 = 1;
        const EXCEEDED: u8 = 3;
        match (kind, code) {
            (UNREACHABLE, 0) => Self::Network,
            // Code 5: a source address that the router's rules do not want; code 6: a `prohibit` route.
            (UNREACHABLE, 1 | 5 | 6) => Self::Prohibited,
            (UNREACHABLE, 3) => Self::Host,
            (UNREACHABLE, 4) => Self::Port,
            (EXCEEDED, _) => Self::TooFar,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for IcmpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "network unreachable",
            Self::Host => "host unreachable",
            Self::Port => "port unreachable",
            Self::Prohibited => "administratively prohibited",
            Self::TooFar => "time exceeded",
            Self::Other => "not delivered",
        })
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.here, self.by) {
            (true, _) => {
                write!(f, "{}, says this host itself: no answer to ARP or neighbour discovery", self.what)
            }
            (false, Some(by)) => write!(f, "{}, says {by}", self.what),
            (false, None) => write!(f, "{}, says an ICMP error", self.what),
        }
    }
}

/// Asks for ICMP errors with their sender. Where the kernel refuses, only the error number is known.
pub(super) fn subscribe(socket: &Socket, server: IpAddr) {
    use nix::sys::socket::{setsockopt, sockopt};
    let _ = match server {
        IpAddr::V4(_) => setsockopt(socket, sockopt::Ipv4RecvErr, &true),
        IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvErr, &true),
    };
}

/// Takes the next ICMP error out of the socket's error queue.
///
/// A connection that is being made is ended by any of them (`tcp_v4_err`, state SYN-SENT), so the first one
/// is the answer.
pub(super) fn next(socket: &Socket) -> Option<Unreachable> {
    const MOST: usize = 8;
    (0..MOST).map_while(|_| receive(socket).ok()).flatten().next()
}

/// `None`: something else was in the queue. An error: it is empty.
fn receive(socket: &Socket) -> nix::Result<Option<Unreachable>> {
    let mut payload = [0; 64];
    let mut parts = [IoSliceMut::new(&mut payload)];
    let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let mut messages = message.cmsgs().into_iter().flatten();
    Ok(messages.find_map(|message| match message {
        ControlMessageOwned::Ipv4RecvErr(error, by) => {
            let by = by.map(|by| Ipv4Addr::from(u32::from_be(by.sin_addr.s_addr)).into());
            told(&error, by)
        }
        ControlMessageOwned::Ipv6RecvErr(error, by) => {
            told(&error, by.map(|by| Ipv6Addr::from(by.sin6_addr.s6_addr).into()))
        }
        _ => None,
    }))
}

fn told(error: &libc::sock_extended_err, by: Option<IpAddr>) -> Option<Unreachable> {
    let what = match error.ee_origin {
        libc::SO_EE_ORIGIN_ICMP => IcmpKind::of_v4(error.ee_type, error.ee_code),
        libc::SO_EE_ORIGIN_ICMP6 => IcmpKind::of_v6(error.ee_type, error.ee_code),
        _ => return None,
    };
    let by = by.filter(|by| !by.is_unspecified());
    Some(Unreachable { what, by, here: by.is_some_and(is_ours) })
}

/// What the error number of a connection alone says, where the queue says nothing.
pub(super) fn from_errno(errno: Errno) -> Option<Unreachable> {
    let what = match errno {
        Errno::NETUNREACH => IcmpKind::Network,
        Errno::HOSTUNREACH | Errno::HOSTDOWN => IcmpKind::Host,
        Errno::ACCESS => IcmpKind::Prohibited,
        _ => return None,
    };
    Some(Unreachable { what, by: None, here: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_the_rfcs_number_them() {
        let (v4, v6) = (IcmpKind::of_v4, IcmpKind::of_v6);
        assert_eq!([v4(3, 0), v4(3, 1), v4(3, 3)], [IcmpKind::Network, IcmpKind::Host, IcmpKind::Port]);
        assert_eq!([v6(1, 0), v6(1, 3), v6(1, 4)], [IcmpKind::Network, IcmpKind::Host, IcmpKind::Port]);
        assert_eq!([v4(3, 9), v4(3, 10), v4(3, 13)], [IcmpKind::Prohibited; 3]);
        assert_eq!([v6(1, 1), v6(1, 5), v6(1, 6)], [IcmpKind::Prohibited; 3]);
        assert_eq!([v4(11, 0), v6(3, 0)], [IcmpKind::TooFar; 2]);
        assert_eq!([v4(12, 0), v6(200, 200), v6(1, 200)], [IcmpKind::Other; 3]);
    }
}
