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
//!
//! ```text
//!   find   what is meant        found   one Clearway: what connects to it, and where it is        failure   why none is meant
//! ```

use std::path::Path;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::InstanceName;
use clearway_core::settings::Settings;

use crate::front::client;
use crate::peers::names::{self as peer_names, SocketOwner, is_ours};
use found::{Network, abstract_ones, at_abstract, at_path, in_directory, paths};

mod failure;
mod found;
mod target;

pub use failure::names;
#[cfg(any(test, feature = "fuzz"))]
pub(super) use found::abstract_names;
pub use found::{Found, at};
pub use target::{Named, Target};

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
        (None, _) => Err(failure::none(target, elsewhere)),
        (Some(last), false) => {
            meant.push(last);
            Err(failure::several(&meant))
        }
    }
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
    let holder = peer_names::holder(name);
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

#[cfg(test)]
mod tests;
