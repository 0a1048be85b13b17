//! The process that accepts connections: not our child, so it has a handle that no other process can come to stand behind.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

/// The process that accepts connections.
#[derive(Debug)]
pub struct Worker {
    pid: u32,
    /// Its handle (pidfd, Linux 5.3).
    handle: OwnedFd,
}

impl Worker {
    /// The process with this number, which it has told itself: that is believed only if it is a child of our child. A worker
    /// that lies must not make us signal another process.
    pub fn of(master: u32, pid: u32) -> Option<Self> {
        let handle = rustix::process::pidfd_open(process(pid)?, PidfdFlags::empty()).ok()?;
        // Looked at while the handle keeps the number from being used again.
        (parent_of(pid) == Some(master)).then_some(Self { pid, handle })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        rustix::process::pidfd_send_signal(&self.handle, signal)
    }
}

/// The parent of a process, from `/proc/PID/stat`, whose second field may hold anything in parentheses.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(1)?.parse().ok()
}

/// A process id as system calls take it.
pub fn process(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}
