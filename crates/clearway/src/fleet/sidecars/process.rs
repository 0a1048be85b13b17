//! The process of a program: what it is told, and what it says.

use std::io;
use std::os::fd::OwnedFd;

use clearway_core::programs::ProgramSignal;
use clearway_core::settings::LogSetting;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal};
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;

use crate::fleet::notices::FleetNotice;
use crate::fleet::standard_error;
use crate::ground::notice;
use crate::tell::voice::{Speaker, Stream, Voice};

/// Tells a program something. It is a child of ours that is not reaped, so its pid is right.
pub fn tell(pid: u32, told: ProgramSignal) {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let (signal, outcome) = match told {
        // By default the signal would end it.
        ProgramSignal::Reloaded if !catches(pid, Signal::USR1) => return,
        ProgramSignal::Reloaded | ProgramSignal::Finish => {
            (Signal::USR1, rustix::process::kill_process(process, Signal::USR1))
        }
        ProgramSignal::Terminate => (Signal::TERM, rustix::process::kill_process(process, Signal::TERM)),
        ProgramSignal::Kill => (Signal::KILL, rustix::process::kill_process_group(process, Signal::KILL)),
    };
    if let Err(error) = outcome {
        let signal = clearway_core::signal::Signal(signal.as_raw()).to_string();
        notice::tell(&FleetNotice::ProgramNotSignalled { signal, pid, error: error.to_string() });
    }
}

/// Whether a process has a handler for a signal (`SigCgt` in `/proc/PID/status`).
fn catches(pid: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    caught >> (signal.as_raw() - 1) & 1 == 1
}

/// Pipes for what a program says on standard output and on standard error, and what reads them.
pub fn listen(name: &str, log: LogSetting, listening: &mut Vec<JoinHandle<()>>) -> io::Result<[OwnedFd; 2]> {
    listening.retain(|one| !one.is_finished());
    let mut pipe = |stream| {
        let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let ours = Receiver::from_owned_fd(ours)?;
        let mut voice = Voice::of(Speaker::Program(name.to_owned()), stream, log);
        listening.push(tokio::spawn(async move { standard_error::follow(ours, &mut voice, |_| ()).await }));
        io::Result::Ok(theirs)
    };
    Ok([pipe(Stream::Stdout)?, pipe(Stream::Stderr)?])
}
