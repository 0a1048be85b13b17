//! Whether the path of a listening Unix socket still leads to it.
//!
//! A path is only where a socket was bound: the file can be removed or replaced, and another container has another file
//! at the same path. Clients then reach something else, or nothing, while the socket itself goes on listening, and
//! HAProxy silently takes it when it is handed over. That a file is at the path proves nothing, so [`moved`] compares
//! it with the file that the kernel knows the socket by (`UNIX_DIAG_VFS`: device and inode). As long as the socket
//! lives, that file's number is not given to another one.
//!
//! The kernel's numbers are those of `stat` on most file systems, but not on all (subvolumes of btrfs, an overlay over
//! several file systems). Where they differ, a socket is bound beside the path for a moment and looked up in both ways:
//! only if both agree on it, the difference counts. The same attempt tells whether HAProxy could bind there at all, by
//! the steps that HAProxy takes (`sock_unix_bind_receiver`).
//!
//! Without `unix_diag` in the kernel only a path without a socket is noticed. Relative paths are left alone: HAProxy's
//! directory may be another one.

use std::collections::HashMap;
use std::fmt;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use netlink_packet_core::NlasIterator;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::UNIX_DIAG_VFS;
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags, UnixRequest};
use rustix::fs::{major, minor};

use crate::netlink::{NetlinkClient, Protocol, Reply};

/// The states of a socket that is bound: `TCP_LISTEN`, and `TCP_CLOSE` for datagrams.
const BOUND: StateFlags = StateFlags::from_bits_retain(1 << 10 | 1 << 7);

/// A socket that its path does not lead to any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedPath {
    /// The socket, by inode.
    pub socket: u64,
    /// What is there.
    pub found: PathTarget,
    /// Why HAProxy could not bind another socket there; unset if it can.
    pub obstacle: Option<String>,
}

/// What a path leads to that does not lead to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathTarget {
    /// Nothing.
    Nothing,
    /// Another socket, alive or not.
    AnotherSocket,
    /// A file of another kind.
    AnotherFile,
}

impl fmt::Display for PathTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::AnotherSocket => "another socket",
            Self::AnotherFile => "a file that is not a socket",
        })
    }
}

/// The file of a socket as the kernel tells it, the inode cut to 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct File {
    device: u64,
    inode: u32,
}

impl File {
    fn of(file: &Metadata) -> Self {
        let device = file.dev();
        let inode = u32::try_from(file.ino() & u64::from(u32::MAX)).unwrap_or_default();
        Self { device: u64::from(major(device)) << 20 | u64::from(minor(device)), inode }
    }
}

/// Those of the sockets (inode, and where it is bound) that their path does not lead to any more.
///
/// Looks at the files, and where a path leads elsewhere makes and removes files beside it. On a file system that hangs,
/// this hangs.
pub fn moved(sockets: &[(u64, PathBuf)]) -> Vec<MovedPath> {
    let sockets: Vec<_> = sockets.iter().filter(|(_, path)| path.is_absolute()).collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let known = bound();
    sockets.into_iter().filter_map(|(socket, path)| look(*socket, path, known.get(socket))).collect()
}

fn look(socket: u64, path: &Path, known: Option<&File>) -> Option<MovedPath> {
    let found = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => PathTarget::Nothing,
        // It cannot be told.
        Err(_) => return None,
        Ok(file) if !file.file_type().is_socket() => PathTarget::AnotherFile,
        Ok(file) if known.is_none_or(|known| *known == File::of(&file)) => return None,
        Ok(_) => PathTarget::AnotherSocket,
    };
    let obstacle = match attempt(path) {
        Ok(Numbers::Differ) if found == PathTarget::AnotherSocket => return None,
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    Some(MovedPath { socket, found, obstacle })
}

/// Whether the kernel's numbers are those of `stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    Agree,
    Differ,
}

/// Binds beside the path as HAProxy would, and undoes it.
fn attempt(path: &Path) -> io::Result<Numbers> {
    let beside = |what: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.{what}", std::process::id()));
        PathBuf::from(name)
    };
    let (temporary, backup) = (beside("tmp"), beside("bak"));
    // An earlier attempt may have been killed.
    let _ = std::fs::remove_file(&temporary);
    let _ = std::fs::remove_file(&backup);
    match std::fs::hard_link(path, &backup) {
        Ok(()) => std::fs::remove_file(&backup)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = UnixListener::bind(&temporary)?;
    let numbers = compare(&socket, &temporary);
    std::fs::remove_file(&temporary)?;
    numbers
}

fn compare(socket: &UnixListener, path: &Path) -> io::Result<Numbers> {
    let inode = rustix::fs::fstat(socket)?.st_ino;
    let file = File::of(&std::fs::metadata(path)?);
    Ok(if bound().get(&inode) == Some(&file) { Numbers::Agree } else { Numbers::Differ })
}

/// The files of all Unix sockets of this network namespace, by inode; none where the kernel does not tell.
fn bound() -> HashMap<u64, File> {
    let request = SockDiagMessage::UnixRequest(UnixRequest {
        state_flags: BOUND,
        inode: 0,
        show_flags: ShowFlags::VFS,
        cookie: [0xff; 8],
    });
    let replies = NetlinkClient::open(Protocol::SockDiag)
        .and_then(|mut client| client.dump("listing where Unix sockets are bound", &request));
    replies.map(|replies| replies.iter().filter_map(decode).collect()).unwrap_or_default()
}

/// `struct unix_diag_msg`, with the inode at 4 and attributes from 16 on, and `struct unix_diag_vfs`: inode, device.
fn decode(reply: &Reply) -> Option<(u64, File)> {
    let number = |bytes: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    let socket = number(&reply.payload, 4)?;
    let mut attributes = NlasIterator::new(reply.payload.get(16..)?).flatten();
    let file = attributes.find(|nla| nla.kind() == UNIX_DIAG_VFS)?;
    let file = File { inode: number(file.value(), 0)?, device: number(file.value(), 4)?.into() };
    Some((socket.into(), file))
}

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
