//! Which addresses are this host's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Whether the address is one of this host's, in this network namespace.
///
/// The kernel is asked for the source address of a packet to it (a UDP socket that sends nothing): only for an address
/// of our own is it that same address, or a loopback one. Unlike a bind this is not misled by `ip_nonlocal_bind`.
pub fn is_ours(address: IpAddr) -> bool {
    const DISCARD: u16 = 9;
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, DISCARD))?;
        socket.local_addr()
    };
    source().is_ok_and(|source| source.ip() == address || source.ip().is_loopback())
}
