//! Starting HAProxy: what it inherits and what it does not.
//!
//! | the child gets | why |
//! |---|---|
//! | descriptors 0, 1 as they are | `log stdout` needs the container's real standard output; where the log is JSON, 1 is a pipe |
//! | descriptor 2: a pipe to us | its words are passed on unchanged, and the last ones are remembered |
//! | what Clearway itself was given at its start | `bind fd@N` in a configuration means just that |
//! | [`Descriptors`] | overlay, private sockets, custody; nothing else: all that Clearway opens is close-on-exec |
//! | its own process group | Ctrl-C at a terminal reaches Clearway alone |
//! | `SIGKILL` at our death | the master stays root and keeps it, and it takes its worker along (docs/facts H3) |
//! | no capability beyond its [`Rights`] | HAProxy needs at most NET_RAW to be transparent |
//! | the limit of open files that Clearway was given | it raises its own |
//! | no `CLEARWAY_*` variable, and none of [`systemd::VARIABLES`] | they are none of its business |

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clearway_core::programs::ProgramSpec;
use clearway_haproxy::command_line::ChildFd;
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Gid, Pid, Resource, Rlimit, Signal, Uid};

mod descriptors;
mod fork;
mod rights;

pub use descriptors::Descriptors;
pub use fork::{Exec, Forked};
pub use rights::Rights;

use crate::fleet::deaf::{Filter, Hears};
use crate::tell::systemd;

/// Where HAProxy's words go.
#[derive(Debug)]
pub struct Streams {
    /// Unset: where Clearway's own standard output goes.
    pub stdout: Option<OwnedFd>,
    /// A pipe to us.
    pub stderr: OwnedFd,
}

/// Starts `program` with these arguments and descriptors, each with its number in the child. Does not wait for its `exec`.
///
/// Must be called on the main thread: the death signal fires when the *thread* that forked ends.
pub fn spawn(
    program: &OsStr,
    arguments: Vec<OsString>,
    descriptors: Vec<(ChildFd, OwnedFd)>,
    streams: Streams,
    rights: Rights,
    open_files: Rlimit,
    hears: Hears,
) -> io::Result<Forked> {
    let mut command = Command::new(program);
    command.args(arguments).stderr(streams.stderr);
    if let Some(stdout) = streams.stdout {
        command.stdout(stdout);
    }
    let above = descriptors.iter().map(|(number, _)| number.0).max().unwrap_or(2);
    let mappings = descriptors
        .into_iter()
        .map(|(number, parent_fd)| FdMapping { parent_fd, child_fd: i32::from(number.0) });
    command.fd_mappings(mappings.collect()).map_err(io::Error::other)?;
    confine(&mut command, rights, Some(open_files));
    if hears == Hears::Nothing {
        let mut filter = Filter::new();
        // SAFETY: as in `confine`: two plain system calls, and the filter was made before.
        unsafe {
            command.pre_exec(move || filter.install());
        }
    }
    fork::fork(command, above.into())
}

/// What every HAProxy that Clearway starts has in common: no variable of ours, a process group of its own, no right
/// beyond these, and no life beyond that of the thread that forks it.
pub fn confine(command: &mut Command, rights: Rights, open_files: Option<Rlimit>) {
    command.process_group(0).env_clear().envs(inherited_variables());
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec the closure makes plain system calls only (capget, capset, prctl,
    // prlimit, getppid): no allocation, no lock, nothing that another thread of the parent might have held.
    unsafe {
        command.pre_exec(move || {
            rights.keep_only()?;
            if let Some(open_files) = open_files {
                rustix::process::setrlimit(Resource::Nofile, open_files)?;
            }
            die_with(parent)
        });
    }
}

/// What a child inherits of Clearway's environment.
pub fn inherited_variables() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| is_inherited(name))
}

/// Whether a child inherits the variable with this name, where Clearway has it.
pub fn is_inherited(name: &OsStr) -> bool {
    let for_systemd = systemd::VARIABLES.iter().any(|known| name == *known);
    !for_systemd && !name.as_encoded_bytes().starts_with(b"CLEARWAY_")
}

/// Starts the program of a `program` section with this environment, and with the rights of a HAProxy whose file has
/// that section; what it says goes there, or else to where Clearway's own words go.
///
/// Must be called on the main thread, and does not wait, as [`spawn`].
pub fn spawn_program(
    section: &ProgramSpec,
    environment: BTreeMap<OsString, OsString>,
    rights: Rights,
    open_files: Rlimit,
    streams: Option<[OwnedFd; 2]>,
) -> io::Result<Forked> {
    let (program, arguments) = section.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment).process_group(0);
    if let Some([stdout, stderr]) = streams {
        command.stdout(stdout).stderr(stderr);
    }
    let parent = rustix::process::getpid();
    let (user, group) = (section.user.map(Uid::from_raw), section.group.map(Gid::from_raw));
    // SAFETY: as in `spawn`; the calls that change user and group are plain system calls, too: they change the thread
    // that makes them, which is the only one after a fork.
    unsafe {
        command.pre_exec(move || {
            rights.keep_only()?;
            rustix::process::setrlimit(Resource::Nofile, open_files)?;
            // In the order of HAProxy's master, which leaves the other groups alone unless there is a `group`.
            if let Some(group) = group {
                rustix::thread::set_thread_groups(&[])?;
                rustix::thread::set_thread_res_gid(group, group, group)?;
            }
            if let Some(user) = user {
                rustix::thread::set_thread_res_uid(user, user, user)?;
            }
            die_with(parent)
        });
    }
    fork::fork(command, 2)
}

/// `SIGKILL` for this process when its parent dies, or an error if that is dead already. After everything that changes
/// credentials, which clears it.
fn die_with(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        // It died before the line above: nothing will ever send the signal.
        Err(io::ErrorKind::BrokenPipe.into())
    }
}
