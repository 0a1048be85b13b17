//! Starting HAProxy: what it inherits and what it does not.
//!
//! | the child gets | why |
//! |---|---|
//! | descriptors 0, 1 as they are | `log stdout` needs the container's real standard output |
//! | descriptor 2: a pipe to us | its words are passed on unchanged, and the last ones are remembered |
//! | what Clearway itself was given at its start | `bind fd@N` in a configuration means just that |
//! | [`Descriptors`] | overlay, private sockets, custody; nothing else: all that Clearway opens is close-on-exec |
//! | its own process group | Ctrl-C at a terminal reaches Clearway alone |
//! | `SIGKILL` at our death | the master stays root and keeps it, and it takes its worker along (knowledge H3) |
//! | no NET_ADMIN, no SYS_MODULE | HAProxy needs at most NET_RAW to be transparent |
//! | no `CLEARWAY_*` variable | they are none of its business |

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use clearway_haproxy::command_line::ChildFd;
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::Signal;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// What HAProxy must not have: with host networking `NET_ADMIN` owns the host's network, and nothing that
/// HAProxy does needs either of them.
const TAKEN: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::SYS_MODULE);

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
}

impl Descriptors {
    /// To be called before anything is opened: what is open now was given to us. Without `/proc` nothing
    /// is known to be.
    pub fn beside_inherited() -> Self {
        let given: Vec<u16> = std::fs::read_dir("/proc/self/fd")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        let mut free = (3..).filter(|number| !given.contains(number)).map(ChildFd);
        let mut next = || free.next().unwrap_or(ChildFd(u16::MAX));
        Self { stats: next(), overlay: next(), master_cli: next(), sockets: next() }
    }
}

/// Starts `program` with these arguments and descriptors, each with its number in the child.
///
/// Must be called on the main thread: the death signal fires when the *thread* that forked ends.
pub fn spawn(
    program: &OsStr,
    arguments: Vec<OsString>,
    descriptors: Vec<(ChildFd, OwnedFd)>,
) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).stderr(Stdio::piped()).process_group(0);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"CLEARWAY_") {
            command.env_remove(name);
        }
    }
    let mappings = descriptors
        .into_iter()
        .map(|(number, parent_fd)| FdMapping { parent_fd, child_fd: i32::from(number.0) });
    command.fd_mappings(mappings.collect()).map_err(io::Error::other)?;
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec the closure makes plain system calls only (capget, capset, prctl,
    // getppid): no allocation, no lock, nothing that another thread of the parent might have held.
    unsafe {
        command.pre_exec(move || {
            give_rights_up()?;
            // After the rights: a change of credentials clears it.
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            if rustix::process::getppid() == Some(parent) {
                Ok(())
            } else {
                // We died before the line above: nobody will ever send the signal.
                Err(io::ErrorKind::BrokenPipe.into())
            }
        });
    }
    command.spawn()
}

/// Takes [`TAKEN`] from this process for good: also a later exec as root does not bring it back.
fn give_rights_up() -> io::Result<()> {
    let sets = rustix::thread::capabilities(None)?;
    let had_any = sets.permitted.intersects(TAKEN);
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: sets.effective.difference(TAKEN),
            permitted: sets.permitted.difference(TAKEN),
            inheritable: sets.inheritable.difference(TAKEN),
        },
    )?;
    if !had_any {
        return Ok(());
    }
    // Root gets everything of the bounding set back at exec. With SETPCAP the set is made smaller;
    // without it `no_new_privs` has the same effect (knowledge H5), at the price that set-user-id
    // programs which HAProxy might start (`external-check`) gain nothing either.
    for capability in [CapabilitySet::NET_ADMIN, CapabilitySet::SYS_MODULE] {
        if rustix::thread::remove_capability_from_bounding_set(capability).is_err() {
            rustix::thread::set_no_new_privs(true)?;
            break;
        }
    }
    Ok(())
}
