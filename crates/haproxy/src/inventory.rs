//! Which socket is which: identity by inode, and what can be said about a socket from the socket itself.
//!
//! Owns the comparison of the sockets that Clearway holds with those that a HAProxy answered it uses
//! ([`adoption`]), because HAProxy does not say: where a socket does not match a bind line, it binds a second one
//! with `SO_REUSEPORT` in silence, and connections that the kernel gives to the held one wait for ever
//! (docs/facts E3, E10). Looks only at descriptors that it is given; changes nothing.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::fstat;
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

/// The number of a socket in the kernel: the same for every duplicate of it in whatever process, and the one in
/// `/proc/net/tcp`, `ss -e` and `/proc/PID/fd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Inode(pub u64);

impl fmt::Display for Inode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What kind of socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketKind {
    /// TCP, or a Unix stream socket.
    Stream,
    /// Multipath TCP.
    Mptcp,
    /// UDP (QUIC, or `dgram-bind`), or a Unix datagram socket.
    Datagram,
}

/// Where a socket is bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LocalAddress {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A path, without the `.PID.tmp` under which HAProxy first binds and then renames: the kernel goes on
    /// telling the first name.
    Path(PathBuf),
    /// An abstract name, without the zero bytes with which `abns@` fills it up to 107.
    Abstract(Vec<u8>),
    /// Nowhere, or in a family that HAProxy does not listen in.
    None,
}

/// Which socket it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketIdentity {
    /// Its number.
    pub inode: Inode,
    /// Its kind.
    pub kind: SocketKind,
    /// Where it is bound.
    pub address: LocalAddress,
    /// The interface that it is bound to (`SO_BINDTODEVICE`), asked of the kernel only where HAProxy does not say it:
    /// for UDP, and a link-local address (a reload asks for each of thousands of sockets). The kernel tells no name any
    /// more once the interface is gone, and never again for this socket.
    pub device: Option<String>,
    /// `IPV6_V6ONLY`. The kernel sets it by itself on a socket bound to a specific IPv6 address, upon which
    /// HAProxy does not recognise it without `v6only` on the bind line (docs/facts A.6).
    pub v6only: bool,
    /// `IP_TRANSPARENT` or `IP_FREEBIND`: what a bind line with `transparent` makes, and matches.
    pub foreign: bool,
    /// `SO_ACCEPTCONN`: `listen` was called on it and not undone (docs/facts E19).
    pub listening: bool,
}

/// Why a descriptor has no identity.
#[derive(Debug, thiserror::Error)]
#[error("looking at the socket on descriptor {fd}: {source}")]
pub struct InventoryError {
    /// Its number here.
    pub fd: i32,
    /// What the kernel said.
    pub source: std::io::Error,
}

impl SocketIdentity {
    /// Looks at a socket.
    pub fn of(fd: impl AsFd) -> Result<Self, InventoryError> {
        let fd = fd.as_fd();
        Self::look(&fd).map_err(|source| InventoryError { fd: fd.as_raw_fd(), source })
    }

    fn look(fd: &impl AsFd) -> std::io::Result<Self> {
        let socket = SockRef::from(fd);
        let domain = socket.domain()?;
        let kind = match socket.r#type()? {
            Type::DGRAM => SocketKind::Datagram,
            _ if domain != Domain::UNIX && socket.protocol()? == Some(Protocol::MPTCP) => SocketKind::Mptcp,
            _ => SocketKind::Stream,
        };
        let (v6only, foreign) = match domain {
            Domain::IPV4 => (false, socket.ip_transparent_v4()? || socket.freebind_v4()?),
            Domain::IPV6 => (socket.only_v6()?, socket.ip_transparent_v6()? || socket.freebind_v6()?),
            _ => (false, false),
        };
        let address = local(&socket.local_addr()?);
        let asks = domain != Domain::UNIX && (kind == SocketKind::Datagram || address.is_link_local());
        let device = asks.then(|| socket.device().ok().flatten()).flatten();
        let device = device.and_then(|name| String::from_utf8(name).ok());
        Ok(Self {
            inode: Inode(fstat(fd)?.st_ino),
            kind,
            address,
            device,
            v6only,
            foreign,
            listening: socket.is_listener()?,
        })
    }
}

impl fmt::Display for SocketIdentity {
    /// The address as one would write it on a bind line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.address, self.kind) {
            (LocalAddress::Ip(address), kind) => {
                let family = if address.is_ipv4() { 4 } else { 6 };
                match kind {
                    SocketKind::Stream => {}
                    SocketKind::Mptcp => write!(f, "mptcp{family}@")?,
                    // Nothing tells QUIC from other users of UDP.
                    SocketKind::Datagram => write!(f, "udp{family}@")?,
                }
                write!(f, "{address}")
            }
            (LocalAddress::Path(path), _) => write!(f, "unix@{}", path.display()),
            (LocalAddress::Abstract(name), _) => write!(f, "abns@{}", String::from_utf8_lossy(name)),
            (LocalAddress::None, _) => write!(f, "socket {}", self.inode),
        }
    }
}

fn local(address: &SockAddr) -> LocalAddress {
    if let Some(address) = address.as_socket() {
        return LocalAddress::Ip(address);
    }
    if let Some(path) = address.as_pathname() {
        return LocalAddress::Path(without_temporary_suffix(path));
    }
    match address.as_abstract_namespace() {
        Some(name) => {
            let end = name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            LocalAddress::Abstract(name.get(..end).unwrap_or_default().to_vec())
        }
        None => LocalAddress::None,
    }
}

/// `/run/a.sock.123.tmp` is `/run/a.sock`.
fn without_temporary_suffix(path: &Path) -> PathBuf {
    let text = path.as_os_str().as_bytes();
    let cut = || {
        let stem = text.strip_suffix(b".tmp")?;
        let dot = stem.iter().rposition(|byte| *byte == b'.')?;
        let (name, number) = stem.split_at_checked(dot)?;
        let digits = number.get(1..)?;
        (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(name)
    };
    PathBuf::from(std::ffi::OsStr::from_bytes(cut().unwrap_or(text)))
}

/// How the sockets that we hold and those that a HAProxy answered it uses belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Held and used: a connection that waits there is served.
    pub adopted: Vec<SocketIdentity>,
    /// Used but not held: HAProxy bound them for itself.
    pub fresh: Vec<SocketIdentity>,
    /// Held but not used: close them, or steer if a fresh one has the same address; connections that the kernel
    /// still gives them are never answered.
    pub unclaimed: Vec<SocketIdentity>,
}

/// Compares by inode what we hold with what HAProxy answered to `_getsocks`.
pub fn adoption(held: &[SocketIdentity], answered: &[SocketIdentity]) -> Adoption {
    use std::collections::HashSet;
    let ours: HashSet<Inode> = held.iter().map(|socket| socket.inode).collect();
    let theirs: HashSet<Inode> = answered.iter().map(|socket| socket.inode).collect();
    let (adopted, unclaimed) = held.iter().cloned().partition(|socket| theirs.contains(&socket.inode));
    let fresh = answered.iter().filter(|socket| !ours.contains(&socket.inode)).cloned().collect();
    Adoption { adopted, fresh, unclaimed }
}

#[cfg(test)]
mod tests;
