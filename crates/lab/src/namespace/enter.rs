//! Entering a namespace: a thread of this process, or a child between `fork` and `exec`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::restore_descriptor_limit;

/// Moves the calling thread, and nothing else of the process, into the namespace. There is no way back: use a
/// thread that ends.
pub(super) fn this_thread(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Lets the command start inside the namespace and die with us.
///
/// The parent's death signal fires when the *thread* that forked ends. Long-lived children are therefore started
/// by [`crate::process::Process`], on a thread that lives as long as the process.
pub(super) fn on_start(command: &mut Command, namespace: &Arc<File>) {
    let namespace = Arc::clone(namespace);
    let parent = getpid();
    // SAFETY: between fork and exec only system calls are made, on a descriptor that this closure keeps open;
    // nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || {
            this_thread(&namespace)?;
            restore_descriptor_limit()?;
            die_with(parent)
        });
    }
}

fn die_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}
