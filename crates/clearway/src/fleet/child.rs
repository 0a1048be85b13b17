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

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use clearway_core::programs::ProgramSpec;
use clearway_haproxy::command_line::ChildFd;
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Gid, Pid, Resource, Rlimit, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::fleet::deaf::Filter;
use crate::fleet::prepare::Hears;
use crate::tell::systemd;

/// What HAProxy may keep whatever its files say, as far as Clearway has it: what a root start needs for its
/// files, its ports and its limits, and `NET_RAW` to be transparent. With host networking `NET_ADMIN` would own
/// the host's network; `SYS_ADMIN`, `SYS_PTRACE` and the like would bring it back.
const ALWAYS: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::SYS_NICE)
    .union(CapabilitySet::SYS_RESOURCE);

/// What it may keep beside that if one of these words stands anywhere in its files, even where it means
/// something else: it is better to keep a right too many than to break a configuration.
const FOR_WORDS: [(&[&str], CapabilitySet); 3] = [
    // The master signals its worker, which has another user then.
    (
        // Programs and checks may change their user themselves.
        &["user", "uid", "group", "gid", "program", "external"],
        CapabilitySet::SETUID.union(CapabilitySet::SETGID).union(CapabilitySet::KILL),
    ),
    (&["chroot"], CapabilitySet::SYS_CHROOT),
    // `bind ... namespace`: HAProxy calls `setns`.
    (&["namespace"], CapabilitySet::SYS_ADMIN),
];

/// What a child may keep of the capabilities that Clearway has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(CapabilitySet);

impl Rights {
    /// None: enough to answer a question that reads no file.
    pub const NONE: Self = Self(CapabilitySet::empty());

    /// Enough to execute a program that belongs to another user, who lets nobody else.
    pub const TO_EXECUTE: Self = Self(CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH));

    /// What a HAProxy with these files needs at most.
    pub fn for_files<'a>(files: impl Iterator<Item = &'a [u8]>) -> Self {
        let words: HashSet<&[u8]> =
            files.flat_map(|bytes| bytes.split(|byte| !byte.is_ascii_alphanumeric())).collect();
        let kept = FOR_WORDS
            .iter()
            .filter(|(names, _)| names.iter().any(|name| words.contains(name.as_bytes())))
            .fold(ALWAYS, |kept, (_, more)| kept.union(*more));
        Self(kept)
    }
}

/// The numbers that our descriptors have in every child: the lowest that nobody gave us. (HAProxy wants
/// numbers below its `maxsock`, which is small if `maxconn` is.)
#[derive(Clone, Copy, Debug)]
pub struct Descriptors {
    /// HAProxy's end of the private stats socket.
    pub stats: ChildFd,
    /// The overlay.
    pub overlay: ChildFd,
    /// HAProxy's end of the master CLI.
    pub master_cli: ChildFd,
    /// HAProxy's end of the pair over which it asks for its listening sockets.
    pub sockets: ChildFd,
    /// The script that tells Lua the names of the user's files, if there is one.
    pub lua: ChildFd,
    /// The first copy of a configuration file, if there are any; from here on all are free.
    pub copies: ChildFd,
    /// How many descriptors a child may have: as many as were allowed to us.
    pub limit: Rlimit,
}

impl Descriptors {
    /// To be called before anything is opened: what is open now was given to us, and all but `ours` is for HAProxy.
    /// Without `/proc` nothing is known to be.
    pub fn beside_inherited(ours: &[u16], limit: Rlimit) -> Self {
        let given: Vec<u16> = std::fs::read_dir("/proc/self/fd")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|number| !ours.contains(number))
            .collect();
        let mut free = (3..).filter(|number| !given.contains(number)).map(ChildFd);
        let mut next = || free.next().unwrap_or(ChildFd(u16::MAX));
        let (stats, overlay, master_cli, sockets, lua) = (next(), next(), next(), next(), next());
        // Behind everything that was given, so that they follow one another.
        let last = given.into_iter().max().unwrap_or_default().max(lua.0);
        Self { stats, overlay, master_cli, sockets, lua, copies: ChildFd(last.saturating_add(1)), limit }
    }
}

/// Where HAProxy's words go.
#[derive(Debug)]
pub struct Streams {
    /// Unset: where Clearway's own standard output goes.
    pub stdout: Option<OwnedFd>,
    /// A pipe to us.
    pub stderr: OwnedFd,
}

/// Starts `program` with these arguments and descriptors, each with its number in the child.
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
) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).stderr(streams.stderr);
    if let Some(stdout) = streams.stdout {
        command.stdout(stdout);
    }
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
    command.spawn()
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
            give_rights_up(rights.0)?;
            if let Some(open_files) = open_files {
                rustix::process::setrlimit(Resource::Nofile, open_files)?;
            }
            die_with(parent)
        });
    }
}

/// Takes every capability from this process for good. Between fork and exec: plain system calls only.
pub fn give_all_rights_up() -> io::Result<()> {
    give_rights_up(CapabilitySet::empty())
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
/// Must be called on the main thread, as [`spawn`].
pub fn spawn_program(
    section: &ProgramSpec,
    environment: BTreeMap<OsString, OsString>,
    rights: Rights,
    open_files: Rlimit,
    streams: Option<[OwnedFd; 2]>,
) -> io::Result<Child> {
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
            give_rights_up(rights.0)?;
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
    command.spawn()
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

/// Takes everything but `kept` from this process for good: a later exec as root does not bring it back.
fn give_rights_up(kept: CapabilitySet) -> io::Result<()> {
    let sets = rustix::thread::capabilities(None)?;
    // While SETPCAP is still there: root gets everything of the bounding set back at exec, so that is what
    // has to shrink. Without SETPCAP `no_new_privs` has the same effect (docs/facts H5), at the price that
    // set-user-id programs which HAProxy might start (`external-check`) gain nothing either.
    let mut shrunk = true;
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(one) || !rustix::thread::capability_is_in_bounding_set(one).unwrap_or(false) {
            continue;
        }
        shrunk &= rustix::thread::remove_capability_from_bounding_set(one).is_ok();
    }
    if !shrunk {
        rustix::thread::set_no_new_privs(true)?;
    }
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: sets.effective.intersection(kept),
            permitted: sets.permitted.intersection(kept),
            inheritable: sets.inheritable.intersection(kept),
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(file: &str) -> CapabilitySet {
        Rights::for_files(std::iter::once(file.as_bytes())).0
    }

    #[test]
    fn what_the_files_do_not_mention_is_given_up() {
        let plain = rights("listen a\n bind :80\n source 0.0.0.0 usesrc clientip\n default_backend users\n");
        assert_eq!(plain, ALWAYS);
        let other_user = rights("global\n\tuser haproxy\n");
        assert!(other_user.contains(CapabilitySet::SETUID | CapabilitySet::KILL));
        assert!(!other_user.contains(CapabilitySet::SYS_CHROOT));
        assert!(rights("global\n chroot /var/lib/haproxy").contains(CapabilitySet::SYS_CHROOT));
        assert!(rights(" bind :80 namespace blue").contains(CapabilitySet::SYS_ADMIN));
    }

    #[test]
    fn nothing_brings_net_admin_in() {
        assert!(!rights("user uid group gid chroot namespace net_admin").contains(CapabilitySet::NET_ADMIN));
    }
}
