//! A process is forked here and becomes its program by itself. The kernel may take any time to execute a file, which may be
//! on a machine that does not answer, and the loop does not wait for that.
//!
//! ```text
//!   Clearway               the child
//!      | fork -------------->|
//!      |                     | rights, limits, descriptors, exec
//!      |<-- end of a pipe ---|   the pipe is close-on-exec: it has become its program
//!      |<-- or an errno -----|   or it could not, and ends
//! ```

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use nix::unistd::ForkResult;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::Pid;
use tokio::net::unix::pipe::Receiver;

/// A child of ours, which becomes its program or ends.
#[derive(Debug)]
pub struct Forked {
    /// Its number.
    pub pid: u32,
    /// What becomes of it.
    pub exec: Exec,
}

/// What becomes of a child's `exec`.
#[derive(Clone, Debug)]
pub struct Exec(Arc<Receiver>);

impl Exec {
    /// Whether it has become its program, or why it could not; unset as long as that is not known. The reason is told once.
    pub fn outcome(&self) -> Option<io::Result<()>> {
        let mut errno = [0; 4];
        match rustix::io::read(self.0.as_fd(), &mut errno) {
            Ok(0) => Some(Ok(())),
            Ok(_) => Some(Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))),
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Waits until it is known.
    pub async fn settled(self) {
        let _ = self.0.readable().await;
    }
}

/// Forks, and waits for nothing. `above`: the highest number that a descriptor has in the child, unless it has its own.
///
/// Must be called on the main thread: a death signal fires when the *thread* that forked ends.
pub fn fork(mut command: Command, above: i32) -> io::Result<Forked> {
    let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // Out of the way of the numbers that descriptors get in the child.
    let theirs = rustix::io::fcntl_dupfd_cloexec(theirs, above.saturating_add(1))?;
    let exec = Exec(Arc::new(Receiver::from_owned_fd(ours)?));
    // SAFETY: the child executes its program or ends, in `become_the_program`. Until then it allocates: the C library
    // keeps its allocator usable after a fork, and no other thread of Clearway changes the environment.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => become_the_program(&mut command, &theirs),
        ForkResult::Parent { child } => {
            let pid = child.as_raw();
            // The child does the same; which of both is first does not matter.
            let _ = rustix::process::setpgid(Pid::from_raw(pid), Pid::from_raw(pid));
            Ok(Forked { pid: pid.unsigned_abs(), exec })
        }
    }
}

fn become_the_program(command: &mut Command, report: &OwnedFd) -> ! {
    let error = command.exec();
    let errno = error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error());
    let _ = rustix::io::write(report, &errno.to_ne_bytes());
    // SAFETY: it ends this process, and nothing of Clearway's is run before that.
    unsafe { nix::libc::_exit(127) }
}
