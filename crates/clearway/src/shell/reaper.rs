//! The one place that waits for children, also for those that are not ours: PID 1 inherits the orphans of
//! its container, and whoever does not reap them fills the process table.
//!
//! Those of other threads are left to them ([`super::program`] asks questions from a thread and waits for the end of what
//! answers): `__WNOTHREAD`. A thread that ends leaves its children to the first thread, where orphans go as well.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use clearway_core::supervisor::End;
use rustix::process::{Pid, Signal, WaitOptions};

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

/// An end in words: `exit code 1`, `killed by SIGSEGV`.
fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => match Signal::from_named_raw(signal) {
            Some(named) => format!("killed by {}", name(named)),
            None => format!("killed by signal {signal}"),
        },
        (None, None) => format!("{status}"),
    }
}

/// The same for the core, which wants to know whether all was well.
pub fn end(status: ExitStatus) -> End {
    if status.success() { End::Clean } else { End::Unclean(in_words(status)) }
}

/// `SIGTERM`, where `Debug` says `"Signal::TERM"`, and the long names of rustix as everybody knows them.
pub fn name(signal: Signal) -> String {
    let debug = format!("{signal:?}");
    let short = debug.trim_matches('"').trim_start_matches("Signal::");
    let known = if short == "ABORT" { "ABRT" } else { short };
    format!("SIG{known}")
}

#[cfg(test)]
mod tests;
