//! The one place that waits for children, also for those that are not ours: PID 1 inherits the orphans of
//! its container, which would fill the process table.
//!
//! Those of other threads are left to them ([`crate::fleet::executable`] asks questions from a thread and waits for the end of what
//! answers): `__WNOTHREAD`. A thread that ends leaves its children to the first thread, where orphans go as well.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use clearway_core::signal::Signal;
use clearway_core::supervisor::{End, Unclean};
use rustix::process::{Pid, WaitOptions};

/// `__WNOTHREAD` of `include/uapi/linux/wait.h`: only children of the calling thread. Rustix has no name for it.
const OWN_THREAD: WaitOptions = WaitOptions::from_bits_retain(0x2000_0000);

/// Every child of this thread that has ended since the last call, with how it ended; orphans belong to the main thread.
pub fn reap() -> Vec<(u32, ExitStatus)> {
    let mut ended = Vec::new();
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG.union(OWN_THREAD)) {
        ended.push((number(pid), ExitStatus::from_raw(status.as_raw())));
    }
    ended
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// How a child has ended, for the core.
pub fn end(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(0), _) => End::Clean,
        (Some(code), _) => End::Unclean(Unclean::Code(code)),
        // A child that was waited for has ended: with a code, or by a signal.
        (None, signal) => End::Unclean(Unclean::Signal(Signal(signal.unwrap_or_default()))),
    }
}

#[cfg(test)]
mod tests;
