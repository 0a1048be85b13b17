//! Finding the running Clearway that a subcommand is meant for.
//!
//! ```text
//! --instance NAME          NAME.sock in the run directory, else the abstract name; where no balancer has it, its holder
//! --run-directory DIR      what has its socket in DIR; if there is none, what says over its abstract name that DIR is
//!                          its run directory and could not make a socket there
//! neither                  those of this network namespace: /run/clearway is one directory for all of them
//! --socket NAME            what answers there: a path, or `@clearway/NAME` as the lists of this module write it
//! --pid N                  the process with this number, wherever its socket and its network are
//! ```
//!
//! A Clearway that was superseded has a socket beside the name, and so has a holder ([`crate::peers::names`]). The first is
//! meant in its own container, or where nothing else is; a holder is where no balancer is, by what it can answer.
//!
//! What is named is asked, and nothing else. If several are left, those of our network namespace and then those of our
//! mount namespace go first: with host networking the abstract names of other containers can be seen, and (with
//! `--pid=host`) their processes. Those with a process outside of our PID namespace are passed over. What is not told
//! apart by that is listed, and none is chosen.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::InstanceName;
use clearway_core::settings::Settings;

use crate::front::client;
use crate::ground::credentials::Credentials;
use crate::peers::names::{
    self, ABSTRACT_PREFIX, SocketOwner, connect_abstract, is_our_name, is_ours, owner,
};

/// One that is meant whatever the settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By its admin socket: a path, or an abstract name with its `@`.
    Socket(String),
    /// By the number of its process, as it is seen from here.
    Pid(i32),
}

/// What a subcommand needs to find a running Clearway.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its settings: instance name and run directory are looked at.
    pub settings: Settings,
    /// Which one is meant, where the command line says that in another way.
    pub named: Option<Named>,
    /// Print JSON instead of text.
    pub json: bool,
}

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
    is_abstract: bool,
    /// Whether its process was named, so that it is no other one's by mistake.
    is_named: bool,
}

/// Where a Clearway is, seen from this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    /// In it.
    This,
    /// In another one.
    Other,
    /// Its process cannot be looked at.
    Unknown,
}

/// What can be seen of a set of Clearways that may be meant.
#[derive(Debug, Default)]
pub struct Seen {
    /// Those that are meant, as far as they are told apart: none, one, or several.
    pub meant: Vec<Found>,
    /// Those of another network namespace, which are not asked.
    pub elsewhere: Vec<Found>,
    /// Holders, which are no Clearways that serve.
    pub holders: Vec<Found>,
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
    fn is_beside(&self, instance: &InstanceName) -> bool {
        stem(&self.name).strip_prefix(instance.as_str()).is_some_and(|rest| rest.starts_with('_'))
    }

    /// An abstract name is seen in its own network namespace only. Of a process that cannot be looked at (it has more
    /// rights, or another PID namespace) the kernel's table tells: it lists the sockets of this network namespace.
    fn network(&self, table: &str) -> Network {
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

    fn has_our_files(&self) -> bool {
        let its = self.pid.and_then(|pid| namespace(&pid.to_string(), "mnt"));
        its.is_some() && its == namespace("self", "mnt")
    }
}

/// The one that is meant; no holder.
pub async fn find(target: &Target) -> Result<Found, Failure> {
    let seen = seen(target).await;
    match seen.holders.first().filter(|_| seen.meant.is_empty()) {
        None => one_of(target, seen.meant, &seen.elsewhere),
        Some(holder) => {
            let message = format!("{} is a holder, which has no HAProxy; no balancer runs here", holder.name);
            Err(Failure::new(ExitCode::NoInstance, message)
                .hint("a holder answers `clearway status`, `clearway health` and `clearway stop`"))
        }
    }
}

/// The same; where no balancer is, the holder.
pub async fn find_any(target: &Target) -> Result<Found, Failure> {
    let Seen { meant, elsewhere, holders } = seen(target).await;
    one_of(target, if meant.is_empty() { holders } else { meant }, &elsewhere)
}

fn one_of(target: &Target, mut meant: Vec<Found>, elsewhere: &[Found]) -> Result<Found, Failure> {
    match (meant.pop(), meant.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(none(target, elsewhere)),
        (Some(last), false) => {
            meant.push(last);
            Err(several(&meant))
        }
    }
}

/// None is chosen: each is listed with what selects it.
fn several(found: &[Found]) -> Failure {
    let one = |found: &Found| match found.pid {
        Some(pid) => format!("{} (pid {pid})", found.name),
        None => found.name.clone(),
    };
    let listed = found.iter().map(one).collect::<Vec<_>>().join(", ");
    let first = found.first();
    let name = first.map_or("NAME", |one| &*one.name);
    let pid = first.and_then(|one| one.pid).map_or_else(String::new, |pid| format!(" or `--pid {pid}`"));
    Failure::new(ExitCode::NoInstance, format!("several Clearways are running here: {listed}"))
        .hint(format!("say which, for example with `--socket {name}`{pid}"))
        .hint("give each a name with CLEARWAY_INSTANCE: then `--instance NAME` selects it")
}

/// What the command line names, or what is in this network namespace.
pub async fn seen(target: &Target) -> Seen {
    let settings = &target.settings;
    let only = |found: Option<Found>| Seen::of(found.into_iter().collect(), Vec::new());
    match &target.named {
        Some(Named::Socket(name)) => return only(at(name).map(|found| Found { is_named: true, ..found })),
        Some(Named::Pid(pid)) => return only(of_process(*pid, &settings.run_directory)),
        None => {}
    }
    let directory = &*settings.run_directory;
    if let Some(name) = &settings.instance {
        return only(of_instance(name, directory));
    }
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let is_named = directory != Settings::default().run_directory;
    let mut found = in_directory(directory);
    if is_named && found.is_empty() {
        found = of_directory(abstract_ones(&table, &[]), directory).await;
    } else if !is_named {
        let known: Vec<i32> = found.iter().filter_map(|one| one.pid).collect();
        found.extend(abstract_ones(&table, &known));
    }
    let (far, near): (Vec<Found>, Vec<Found>) =
        found.into_iter().partition(|one| one.network(&table) == Network::Other);
    // What was named is meant wherever it is.
    let (near, far) = if near.is_empty() && is_named { (far, near) } else { (near, far) };
    let near = prefer(near, |one| one.network(&table) == Network::This);
    Seen::of(prefer(near, Found::has_our_files), far)
}

impl Seen {
    /// One that was superseded is meant only where no other one is.
    fn of(found: Vec<Found>, elsewhere: Vec<Found>) -> Self {
        let (holders, meant) = found.into_iter().partition(|one: &Found| one.kind == SocketOwner::Holder);
        Self { meant: prefer(meant, |one| one.kind == SocketOwner::Balancer), elsewhere, holders }
    }
}

/// The Clearway of an instance. Where its name belongs to one of another container: one of ours that was superseded, or
/// a holder of ours.
fn of_instance(name: &InstanceName, directory: &Path) -> Option<Found> {
    if let Some(file) = at_path(&directory.join(format!("{name}.sock"))) {
        return Some(file);
    }
    let named = at_abstract(name.as_str());
    if named.as_ref().is_some_and(Found::is_here) {
        return named;
    }
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let found = in_directory(directory).into_iter().chain(abstract_ones(&table, &[]));
    let beside = found
        .filter(|one| one.is_beside(name) && one.is_here() && one.network(&table) != Network::Other)
        .collect();
    let superseded_first = prefer(beside, |one: &Found| one.kind == SocketOwner::Superseded);
    let found = superseded_first.into_iter().next().or(named);
    found.or_else(|| holder_of(name, directory))
}

/// The holder of an instance, where no balancer of it is: it knows whether one serves. It may be that of another container.
fn holder_of(name: &InstanceName, directory: &Path) -> Option<Found> {
    let holder = names::holder(name);
    at_path(&directory.join(format!("{holder}.sock"))).or_else(|| at_abstract(&holder))
}

/// The Clearway with this process number: in the directory, or where else this network namespace has sockets like ours.
fn of_process(pid: i32, directory: &Path) -> Option<Found> {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let elsewhere = paths(&table).map(Path::new).filter(|path| path.is_absolute() && is_ours(path));
    let found = in_directory(directory)
        .into_iter()
        .chain(abstract_ones(&table, &[]))
        .chain(elsewhere.filter_map(at_path))
        .find(|one| one.pid == Some(pid))?;
    Some(Found { is_named: true, ..found })
}

/// Those that have it; if there is none, all.
fn prefer(found: Vec<Found>, has_it: impl Fn(&Found) -> bool) -> Vec<Found> {
    let (with, without): (Vec<Found>, Vec<Found>) = found.into_iter().partition(has_it);
    if with.is_empty() { without } else { with }
}

/// Names for people, in one line.
pub fn names(found: &[Found]) -> String {
    found.iter().map(|one| &*one.name).collect::<Vec<_>>().join(", ")
}

/// Those that have their socket in a directory.
fn in_directory(directory: &Path) -> Vec<Found> {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| is_ours(path)).filter_map(|path| at_path(&path)).collect()
}

/// Those with an abstract name, but for processes that are known already.
fn abstract_ones(table: &str, known: &[i32]) -> Vec<Found> {
    let found = abstract_names(table).into_iter().filter_map(|name| at_abstract(&name));
    found.filter(|one| one.pid.is_some_and(|pid| !known.contains(&pid))).collect()
}

/// Those of them that were told to make their socket in this directory, and could not.
async fn of_directory(found: Vec<Found>, directory: &Path) -> Vec<Found> {
    let mut theirs = Vec::new();
    for one in found {
        let told = client::status(one.stream).await.ok().and_then(|(status, _)| status.run_directory);
        if told.is_some_and(|told| Path::new(&told) == directory) {
            // The connection is used up.
            theirs.extend(at(&one.name));
        }
    }
    theirs
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

fn at_path(path: &Path) -> Option<Found> {
    found(UnixStream::connect(path).ok()?, path.display().to_string(), false)
}

fn at_abstract(name: &str) -> Option<Found> {
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
fn paths(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter_map(|line| line.split_whitespace().nth(7))
}

/// Our names in /proc/net/unix, where an abstract one is written with `@` for its NUL byte.
pub(super) fn abstract_names(table: &str) -> Vec<String> {
    let mut names: Vec<String> = paths(table)
        .filter_map(|path| path.strip_prefix('@')?.strip_prefix(ABSTRACT_PREFIX))
        .filter(|name| is_our_name(name))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

fn none(target: &Target, elsewhere: &[Found]) -> Failure {
    let settings = &target.settings;
    let nowhere = |message: String| {
        Failure::new(ExitCode::NoInstance, message)
            .hint("`clearway status` without `--socket` and `--pid` lists what can be seen from here")
    };
    match &target.named {
        Some(Named::Socket(name)) => return nowhere(format!("no Clearway answers at `{name}`")),
        Some(Named::Pid(pid)) => {
            return nowhere(format!("process {pid} is not a Clearway, or its socket is not seen from here"));
        }
        None => {}
    }
    let which = match &settings.instance {
        Some(name) => format!("no running Clearway with the instance name `{name}` was found"),
        None => "no running Clearway was found".to_owned(),
    };
    if !elsewhere.is_empty() {
        let message = format!("{which}, but in another network namespace: {}", names(elsewhere));
        return Failure::new(ExitCode::NoInstance, message).hint(
            "run this in the network namespace that is meant (`ip netns exec`, `docker exec`), or name the one that is \
             meant with `--instance NAME`, `--socket` or `--pid`",
        );
    }
    let message =
        format!("{which}, neither below {} nor as an abstract socket", settings.run_directory.display());
    Failure::new(ExitCode::NoInstance, message)
        .hint("run this where Clearway runs, for example with `docker exec CONTAINER clearway ...`")
}

#[cfg(test)]
mod tests;
