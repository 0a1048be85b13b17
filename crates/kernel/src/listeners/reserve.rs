//! A free port that is kept free until HAProxy has bound it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// A port that is kept as long as this lives. It does not listen, so it takes no client.
#[derive(Debug)]
pub struct Reserved {
    port: u16,
    _socket: OwnedFd,
}

impl Reserved {
    /// Its number.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Reserves a port at an address, of the kernel's choice (`ip_local_port_range`): one that no socket is bound to. As
/// long as it is reserved no outgoing connection gets it.
///
/// HAProxy binds beside it because both have `SO_REUSEADDR` and neither listens yet; so it may have another uid, and
/// `noreuseport` in its file does no harm. `SO_REUSEPORT`, which HAProxy sets as well, lets both stay when it listens,
/// if they are of one uid; drop this when HAProxy is bound. A socket on every IPv6 address reserves the port for IPv4,
/// too. Another program that sets these options can bind it as well: this protects from chance, not from malice.
pub fn reserve(address: IpAddr) -> io::Result<Reserved> {
    let address = SocketAddr::new(address, 0);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Also for an address that comes later.
    socket.set_freebind_v4(true)?;
    socket.bind(&SockAddr::from(address))?;
    let bound = socket.local_addr()?.as_socket();
    let port = bound.ok_or_else(|| io::Error::other("the kernel gave no address"))?.port();
    Ok(Reserved { port, _socket: socket.into() })
}
