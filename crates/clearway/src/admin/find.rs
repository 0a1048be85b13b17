//! Finding the running Clearway that a subcommand is meant for.
//!
//! With an instance name there is one place for it. Without one, the only Clearway that can be seen
//! from here is meant; several are listed, and none is chosen. With host networking the abstract sockets
//! of other containers can be seen too: those whose process is not in our PID namespace are passed over, and so
//! are (with `--pid=host`) those with other files than ours, if one with ours is there.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clearway_core::exit::ExitCode;
use clearway_core::settings::Settings;
use clearway_core::supervisor::Failure;

use super::is_trusted;
use super::place::{ABSTRACT_PREFIX, connect_abstract, is_our_name, is_ours, peer};

/// A running Clearway: a connection to it, and what it is called.
#[derive(Debug)]
pub struct Found {
    /// Connected to its admin socket.
    pub stream: UnixStream,
    /// Its place, for people.
    pub name: String,
    /// Its process, if it is in our PID namespace.
    pub pid: Option<i32>,
    /// Whether it was found under its abstract name, which all containers of a network namespace share.
    is_abstract: bool,
}

impl Found {
    /// Whether it may be that of this container. During a takeover the abstract name is that of the other one: its
    /// process is of another PID namespace, or (with `--pid=host`) has other files than we.
    pub fn is_here(&self) -> bool {
        if !self.is_abstract {
            return true;
        }
        let Some(pid) = self.pid else { return false };
        match (mount_namespace(&pid.to_string()), mount_namespace("self")) {
            (Some(its), Some(ours)) => its == ours,
            _ => true,
        }
    }
}

/// The one that is meant.
pub fn find(settings: &Settings) -> Result<Found, Failure> {
    let mut found = match &settings.instance {
        Some(name) => {
            [at_path(&settings.run_directory.join(format!("{name}.sock"))), at_abstract(name.as_str())]
                .into_iter()
                .flatten()
                .take(1)
                .collect()
        }
        None => nearest(all(&settings.run_directory)),
    };
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(none(settings)),
        (Some(last), false) => {
            let names: Vec<String> = found.iter().chain([&last]).map(|one| one.name.clone()).collect();
            let message = format!("several Clearways are running here: {}", names.join(", "));
            Err(Failure::new(ExitCode::NoInstance, message)
                .hint("say which with `--instance NAME`, or with `--run-directory` where they have one of their own"))
        }
    }
}

/// Every Clearway that can be seen from here.
pub fn all(directory: &Path) -> Vec<Found> {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let sockets = files.filter(|path| is_ours(path));
    let mut found: Vec<Found> = sockets.filter_map(|path| at_path(&path)).collect();
    let known: Vec<i32> = found.iter().filter_map(|one| one.pid).collect();
    let names = abstract_names(&std::fs::read_to_string("/proc/net/unix").unwrap_or_default());
    found.extend(
        names
            .iter()
            .filter_map(|name| at_abstract(name))
            .filter(|one| one.pid.is_some_and(|pid| !known.contains(&pid))),
    );
    found
}

/// Those in our mount namespace; if there is none, or that cannot be seen, all.
fn nearest(found: Vec<Found>) -> Vec<Found> {
    let ours = mount_namespace("self");
    let is_ours =
        |one: &Found| ours.is_some() && one.pid.is_some_and(|pid| mount_namespace(&pid.to_string()) == ours);
    let (near, far): (Vec<Found>, Vec<Found>) = found.into_iter().partition(is_ours);
    if near.is_empty() { far } else { near }
}

/// What names a process's mount namespace; to be read, it must not have more rights than we.
fn mount_namespace(pid: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

/// The one with this name, if it is still there.
pub fn at(name: &str) -> Option<Found> {
    match name.strip_prefix('@').and_then(|name| name.strip_prefix(ABSTRACT_PREFIX)) {
        Some(name) => at_abstract(name),
        None => at_path(Path::new(name)),
    }
}

fn at_path(path: &Path) -> Option<Found> {
    found(UnixStream::connect(path).ok()?, path.display().to_string(), false)
}

fn at_abstract(name: &str) -> Option<Found> {
    found(connect_abstract(name).ok()?, format!("@{ABSTRACT_PREFIX}{name}"), true)
}

/// What a stranger says is not believed: anybody can bind an abstract name.
fn found(stream: UnixStream, name: String, is_abstract: bool) -> Option<Found> {
    let peer = peer(&stream)?;
    if is_trusted(peer.uid) {
        Some(Found { stream, name, pid: peer.pid, is_abstract })
    } else {
        crate::complain!("clearway: {name} belongs to a process of uid {}, which is not asked", peer.uid);
        None
    }
}

/// Our names in /proc/net/unix, where an abstract one is written with `@` for its NUL byte.
fn abstract_names(table: &str) -> Vec<String> {
    let paths = table.lines().filter_map(|line| line.split_whitespace().nth(7));
    let mut names: Vec<String> = paths
        .filter_map(|path| path.strip_prefix('@')?.strip_prefix(ABSTRACT_PREFIX))
        .filter(|name| is_our_name(name))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

fn none(settings: &Settings) -> Failure {
    let which = match &settings.instance {
        Some(name) => format!("no running Clearway with the instance name `{name}` was found"),
        None => "no running Clearway was found".to_owned(),
    };
    let message =
        format!("{which}, neither below {} nor as an abstract socket", settings.run_directory.display());
    Failure::new(ExitCode::NoInstance, message)
        .hint("run this where Clearway runs, for example with `docker exec CONTAINER clearway ...`")
}

#[cfg(test)]
mod tests;
