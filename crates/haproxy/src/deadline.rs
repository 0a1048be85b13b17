//! A point in time by which something must be over, and waiting for a descriptor until then.
//!
//! Every read and write of this crate waits here first and then does not block, so that no timeout has to be set
//! on a socket and left behind on it.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

/// The moment at which a limit runs out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// None: so far away that the clock cannot say it.
    at: Option<Instant>,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        Self { at: Instant::now().checked_add(limit) }
    }

    /// Returns once the descriptor can be read without blocking (an end counts), `ETIMEDOUT` after the deadline.
    pub(crate) fn readable(self, fd: impl AsFd) -> Result<(), Errno> {
        self.wait(&fd, PollFlags::IN)
    }

    /// Sends a few bytes: so few go whole or not at all.
    pub(crate) fn send(self, fd: impl AsFd, bytes: &[u8]) -> Result<(), Errno> {
        loop {
            self.writable(&fd)?;
            match send(&fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns once the descriptor can be written, `ETIMEDOUT` after the deadline.
    pub(crate) fn writable(self, fd: impl AsFd) -> Result<(), Errno> {
        self.wait(&fd, PollFlags::OUT)
    }

    fn wait(self, fd: &impl AsFd, flags: PollFlags) -> Result<(), Errno> {
        loop {
            let left = self.at.map(|at| at.saturating_duration_since(Instant::now()));
            // What does not fit is longer than any wait.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(fd, flags)], left.as_ref()) {
                Ok(0) => return Err(Errno::TIMEDOUT),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
