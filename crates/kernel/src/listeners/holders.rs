//! Who listens on a port: `sock_diag` for the sockets, `/proc` for the names.
//!
//! Listing sockets needs no privilege. Which process has one is only known where `/proc/<pid>/fd` can be
//! read: in the own PID namespace, for the own user or with `SYS_PTRACE`.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use netlink_packet_core::{NlasIterator, Parseable};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, INET_DIAG_SKV6ONLY, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use rustix::io::Errno;

use super::foreign::covers;
use crate::netlink::{self, Client, Protocol, Reply};
use crate::transparency::Family;

/// `sizeof(struct inet_diag_msg)`.
const HEADER: usize = 72;
/// How long `/proc` is searched: a host may have a million descriptors, and this runs in an event loop.
const PROC_PATIENCE: Duration = Duration::from_millis(500);

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number, in our PID namespace.
    pub pid: u32,
    /// Its name, `comm`: at most 15 bytes.
    pub command: String,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it takes IPv6 only; `false` for IPv4.
    pub v6only: bool,
    /// The inode, as `/proc/*/fd` shows it.
    pub inode: u32,
    /// The user that made it.
    pub uid: u32,
    /// The first process that was found to have it, if any.
    pub process: Option<Process>,
}

/// `0.0.0.0:80 held by nginx (pid 1234)`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(Process { pid, command }) => write!(f, "{} held by {command} (pid {pid})", self.address),
            None => {
                write!(
                    f,
                    "{} held by a process of uid {} that is not visible from here",
                    self.address, self.uid
                )
            }
        }
    }
}

/// The sockets could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `ENOENT`: the kernel lacks `inet_diag` or `tcp_diag`, and they could not be loaded.
    #[error("{0}\nhint: load the modules `inet_diag` and `tcp_diag` on the host")]
    NoDiag(netlink::Error),
    /// Anything else.
    #[error(transparent)]
    Netlink(netlink::Error),
}

/// The TCP sockets that listen on a port; with an address, those that get what is sent to it.
pub fn holders(port: u16, address: Option<IpAddr>) -> Result<Vec<Holder>, Error> {
    let mut client = Client::open(Protocol::SockDiag).map_err(Error::Netlink)?;
    let mut holders = Vec::new();
    for family in Family::ALL {
        let what = format!("listing {family} sockets that listen on port {port}");
        let replies = client.dump(&what, &request(family, port)).map_err(|error| match error.errno() {
            Some(Errno::NOENT) => Error::NoDiag(error),
            _ => Error::Netlink(error),
        })?;
        holders.extend(replies.iter().filter_map(decode).filter(|holder| {
            let wanted = address.is_none_or(|address| covers(holder.address.ip(), holder.v6only, address));
            holder.address.port() == port && wanted
        }));
    }
    name(&mut holders);
    Ok(holders)
}

fn request(family: Family, port: u16) -> SockDiagMessage {
    let (family, socket_id) = match family {
        Family::V4 => (AF_INET, SocketId::new_v4()),
        Family::V6 => (AF_INET6, SocketId::new_v6()),
    };
    SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id: SocketId { source_port: port, ..socket_id },
    })
}

pub(super) fn decode(reply: &Reply) -> Option<Holder> {
    let header = InetResponseHeader::parse(&reply.payload).ok()?;
    let id = header.socket_id;
    let v6only = NlasIterator::new(reply.payload.get(HEADER..)?)
        .flatten()
        .any(|nla| nla.kind() == INET_DIAG_SKV6ONLY && nla.value().first().is_some_and(|value| *value != 0));
    let address = SocketAddr::new(id.source_address, id.source_port);
    Some(Holder { address, v6only, inode: header.inode, uid: header.uid, process: None })
}

/// Looks for the inodes in `/proc/*/fd`, until all are found or patience is at its end.
fn name(holders: &mut [Holder]) {
    let mut wanted: HashMap<String, &mut Holder> =
        holders.iter_mut().map(|holder| (format!("socket:[{}]", holder.inode), holder)).collect();
    let deadline = Instant::now() + PROC_PATIENCE;
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            if wanted.is_empty() || Instant::now() >= deadline {
                return;
            }
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let Some(holder) = target.to_str().and_then(|target| wanted.remove(target)) else { continue };
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            holder.process = Some(Process { pid, command: command.trim_end().to_owned() });
        }
    }
}
