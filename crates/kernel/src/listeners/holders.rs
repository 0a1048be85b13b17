//! Which processes listen on a port: `sock_diag` for the sockets, `/proc` for the names.
//!
//! Listing sockets needs no privilege. Which process has one is only known where `/proc/<pid>/fd` can be
//! read: in the own PID namespace, for the own user or with `SYS_PTRACE`.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::foreign::covers;
use super::table::{SockDiagError, TcpSocket, TcpState, rows};
use crate::transparency::Family;

/// How long `/proc` is searched: a host may have a million descriptors, and this runs in an event loop.
const PROC_PATIENCE: Duration = Duration::from_secs(1);

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderProcess {
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
    pub process: Option<HolderProcess>,
}

/// `0.0.0.0:80 held by nginx (pid 1234)`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(HolderProcess { pid, command }) => {
                // A name that a process has given itself.
                write!(f, "{} held by {} (pid {pid})", self.address, command.escape_debug())
            }
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

/// The TCP sockets that listen on a port; with an address, those that get what is sent to it.
pub fn holders(port: u16, address: Option<IpAddr>) -> Result<Vec<Holder>, SockDiagError> {
    let holders = rows(TcpState::Listen, port, &Family::ALL)?.into_iter().map(Holder::from);
    let mut holders: Vec<_> = holders
        .filter(|holder| {
            let wanted = address.is_none_or(|address| covers(holder.address.ip(), holder.v6only, address));
            holder.address.port() == port && wanted
        })
        .collect();
    name(&mut holders);
    Ok(holders)
}

impl From<TcpSocket> for Holder {
    fn from(row: TcpSocket) -> Self {
        // An inode of a socket has 32 bits, here and in `/proc`.
        let inode = u32::try_from(row.inode).unwrap_or_default();
        Self { address: row.local, v6only: row.v6only, inode, uid: row.uid, process: None }
    }
}

/// Looks for the inodes in `/proc/*/fd`, until all are found or [`PROC_PATIENCE`] is over.
pub(super) fn name(holders: &mut [Holder]) {
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
            holder.process = Some(HolderProcess { pid, command: command.trim_end().to_owned() });
        }
    }
}
