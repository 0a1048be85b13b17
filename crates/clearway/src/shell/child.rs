//! Starting HAProxy: what it inherits and what it does not.
//!
//! | the child gets | why |
//! |---|---|
//! | descriptors 0, 1 as they are | `log stdout` needs the container's real standard output |
//! | descriptor 2: a pipe to us | its words are passed on unchanged, and the last ones are remembered |
//! | descriptors 3 and up as listed by the caller | overlay, private sockets, custody; nothing else: all else is close-on-exec |
//! | its own process group | Ctrl-C at a terminal reaches Clearway alone |
//! | `SIGKILL` at our death | the master stays root and keeps it, and it takes its worker along (knowledge H3) |
//! | no NET_ADMIN, no SYS_MODULE | HAProxy needs at most NET_RAW to be transparent |
//! | no `CLEARWAY_*` variable | they are none of its business |

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::Signal;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// What HAProxy must not have: with host networking NET_ADMIN owns the host's network, and nothing that
/// HAProxy does needs either of them.
const TAKEN: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::SYS_MODULE);

/// Starts `program` with these arguments and descriptors (`descriptors[0]` becomes 3, and so on).
///
/// Must be called on the main thread: the death signal fires when the *thread* that forked ends.
pub fn spawn(program: &OsStr, arguments: Vec<OsString>, descriptors: Vec<OwnedFd>) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).stderr(Stdio::piped()).process_group(0);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"CLEARWAY_") {
            command.env_remove(name);
        }
    }
    let mappings = (3..).zip(descriptors).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
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
