//! A Clearway that was found: by a path, or by an abstract name, which all containers of a network namespace share.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clearway_core::names::InstanceName;

use crate::ground::credentials::Credentials;
use crate::peers::names::{ABSTRACT_PREFIX, SocketOwner, connect_abstract, is_our_name, is_ours, owner};

/// A running Clearway: a connection to it, and what it is called.
#[derive(Debug)]
pub struct Found {
    /// Connected to its admin socket.
    pub stream: UnixStream,
    /// Its place, for people.
    pub name: String,
    /// Its process, if it is in our PID namespace.
    pub pid: Option<i32>,
    /// What it is, as its name says.
    pub kind: SocketOwner,
    /// Whether it was found under its abstract name, which all containers of a network namespace share.
    pub(super) is_abstract: bool,
    /// Whether its process was named, so that it is no other one's by mistake.
    pub(super) is_named: bool,
}

/// Where a Clearway is, seen from this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// In it.
    This,
    /// In another one.
    Other,
    /// Its process cannot be looked at.
    Unknown,
}

impl Found {
    /// Whether it may be that of this container. During a takeover the abstract name is that of the other one: its
    /// process is of another PID namespace, or (with `--pid=host`) has other files than we.
    pub fn is_here(&self) -> bool {
        if !self.is_abstract || self.is_named {
            return true;
        }
        let Some(pid) = self.pid else { return false };
        match (namespace(&pid.to_string(), "mnt"), namespace("self", "mnt")) {
            (Some(its), Some(ours)) => its == ours,
            _ => true,
        }
    }

    /// Whether a holder is what a stop means: it was named, or this container is its own.
    pub fn is_meant_to_stop(&self) -> bool {
        self.kind != SocketOwner::Holder || self.is_named || self.pid == Some(1)
    }

    /// Whether its name is this instance's with something behind it.
    pub(super) fn is_beside(&self, instance: &InstanceName) -> bool {
        stem(&self.name).strip_prefix(instance.as_str()).is_some_and(|rest| rest.starts_with('_'))
    }

    /// An abstract name is seen in its own network namespace only. Of a process that cannot be looked at (it has more
    /// rights, or another PID namespace) the kernel's table tells: it lists the sockets of this network namespace.
    pub(super) fn network(&self, table: &str) -> Network {
        if self.is_abstract {
            return Network::This;
        }
        let its = self.pid.and_then(|pid| namespace(&pid.to_string(), "net"));
        match (its, namespace("self", "net")) {
            (Some(its), Some(ours)) if its == ours => Network::This,
            (Some(_), Some(_)) => Network::Other,
            _ if paths(table).any(|path| path == self.name) => Network::This,
            _ => Network::Unknown,
        }
    }

    /// Whether it may have the same files as we: nothing says that it has others.
    pub fn may_have_our_files(&self) -> bool {
        let Some(pid) = self.pid else { return false };
        namespace(&pid.to_string(), "mnt").is_none() || self.has_our_files()
    }

    pub(super) fn has_our_files(&self) -> bool {
        let its = self.pid.and_then(|pid| namespace(&pid.to_string(), "mnt"));
        its.is_some() && its == namespace("self", "mnt")
    }
}

/// Those that have their socket in a directory.
pub(super) fn in_directory(directory: &Path) -> Vec<Found> {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| is_ours(path)).filter_map(|path| at_path(&path)).collect()
}

/// Those with an abstract name, but for processes that are known already.
pub(super) fn abstract_ones(table: &str, known: &[i32]) -> Vec<Found> {
    let found = abstract_names(table).into_iter().filter_map(|name| at_abstract(&name));
    found.filter(|one| one.pid.is_some_and(|pid| !known.contains(&pid))).collect()
}

/// What names a process's namespace; to be read, it must not have more rights than we.
fn namespace(pid: &str, kind: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()
}

/// The one with this name, if it is still there.
pub fn at(name: &str) -> Option<Found> {
    match name.strip_prefix('@').and_then(|name| name.strip_prefix(ABSTRACT_PREFIX)) {
        Some(name) => at_abstract(name),
        None => at_path(Path::new(name)),
    }
}

pub(super) fn at_path(path: &Path) -> Option<Found> {
    found(UnixStream::connect(path).ok()?, path.display().to_string(), false)
}

pub(super) fn at_abstract(name: &str) -> Option<Found> {
    found(connect_abstract(name).ok()?, format!("@{ABSTRACT_PREFIX}{name}"), true)
}

/// What a stranger says is not believed: any process can bind an abstract name.
fn found(stream: UnixStream, name: String, is_abstract: bool) -> Option<Found> {
    let process = Credentials::of(&stream)?;
    if process.is_trusted() {
        let kind = owner(stem(&name)).unwrap_or(SocketOwner::Balancer);
        Some(Found { stream, kind, name, pid: process.pid, is_abstract, is_named: false })
    } else {
        crate::complain!("clearway: {name} belongs to a process of uid {}, which is not asked", process.uid);
        None
    }
}

/// The name proper in `@clearway/NAME` or `/some/where/NAME.sock`.
fn stem(name: &str) -> &str {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.strip_suffix(".sock").unwrap_or(last)
}

/// The paths and names in /proc/net/unix.
pub(super) fn paths(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter_map(|line| line.split_whitespace().nth(7))
}

/// Our names in /proc/net/unix, where an abstract one is written with `@` for its NUL byte.
pub(in crate::front) fn abstract_names(table: &str) -> Vec<String> {
    let mut names: Vec<String> = paths(table)
        .filter_map(|path| path.strip_prefix('@')?.strip_prefix(ABSTRACT_PREFIX))
        .filter(|name| is_our_name(name))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}
