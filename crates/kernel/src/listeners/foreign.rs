//! Listening on an address that this host does not have.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// How many connections may wait, as far as `net.core.somaxconn` (4096 since Linux 5.4) lets it.
const BACKLOG: i32 = 4096;

/// Makes a listening socket for an address that this host does not have (yet).
///
/// `IP_FREEBIND` lets the bind pass; it needs no capability and no sysctl. It is cleared again afterwards:
/// HAProxy compares an inherited socket's flag with what its `bind` line says (`transparent`) and would not
/// take the socket. Both families share one bit in the kernel, so on an IPv6 socket `IPV6_FREEBIND`
/// (Linux 4.15) and `IP_FREEBIND` do the same; the older one is used for both.
///
/// `SO_REUSEADDR` and `SO_REUSEPORT` are set, as HAProxy does, close-on-exec from birth. `interface` binds
/// to a device as HAProxy's `interface` does (`SO_BINDTODEVICE`).
pub fn bind_foreign(address: SocketAddr, v6only: bool, interface: Option<&str>) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(v6only)?;
    }
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.set_freebind_v4(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_freebind_v4(false)?;
    Ok(socket.into())
}

/// Whether a plain bind to the address does not say `EADDRNOTAVAIL`.
///
/// So an IPv6 address still in duplicate detection is not local, every address is while
/// `ip_nonlocal_bind` is 1. Where the kernel gives no socket to find out with, it says nothing: true.
pub fn is_local(address: IpAddr) -> bool {
    let address = SocketAddr::new(address, 0);
    let Ok(socket) = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)) else {
        return true;
    };
    let outcome = socket.bind(&SockAddr::from(address));
    outcome.map_or_else(|error| Errno::from_io_error(&error) != Some(Errno::ADDRNOTAVAIL), |()| true)
}

/// Whether a listener on `local` gets what is sent to `address`.
pub(crate) fn covers(local: IpAddr, v6only: bool, address: IpAddr) -> bool {
    match (local, address) {
        (IpAddr::V4(local), IpAddr::V4(address)) => local == Ipv4Addr::UNSPECIFIED || local == address,
        (IpAddr::V6(local), IpAddr::V6(address)) => local.is_unspecified() || local == address,
        (IpAddr::V6(local), IpAddr::V4(address)) => {
            (local.is_unspecified() && !v6only) || local.to_ipv4_mapped() == Some(address)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    }
}
