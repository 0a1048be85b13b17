//! What the processes of a generation are told.

use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::fleet::notices::FleetNotice;
use crate::ground::notice::tell;

use super::RunningGeneration;
use super::worker::process;

impl RunningGeneration {
    /// `SIGUSR1` to the worker, which drains and takes its master along when it is done. Not to the master, which is deaf
    /// for a moment up to 3.0. A generation that has not proved itself has no known worker yet: the core lets it be told
    /// again until it has.
    pub fn drain(&self) {
        let Some(worker) = &self.worker else { return self.signal(Signal::USR1) };
        match worker.signal(Signal::USR1) {
            Ok(()) => {}
            // The master was signalled instead of Clearway and has replaced its worker: it knows the new one.
            Err(Errno::SRCH) => self.signal(Signal::USR1),
            Err(error) => self.cannot_signal(Signal::USR1, worker.pid(), error),
        }
    }

    /// A signal to the master. It is a child of ours that is not reaped, so its pid is right.
    pub fn signal(&self, signal: Signal) {
        if let Some(Err(error)) = process(self.master).map(|pid| rustix::process::kill_process(pid, signal)) {
            self.cannot_signal(signal, self.master, error);
        }
    }

    fn cannot_signal(&self, signal: Signal, pid: u32, error: Errno) {
        let advice = (error == Errno::PERM).then(|| "add --cap-add=KILL to `docker run`".to_owned());
        tell(&FleetNotice::NotSignalled {
            generation: self.generation,
            signal: clearway_core::signal::Signal(signal.as_raw()).to_string(),
            pid,
            error: error.to_string(),
            hints: advice.into_iter().collect(),
        });
    }

    /// Kills what its master has left, if that has ended. A worker that outlives its master (it hangs in a system call and
    /// cannot hear that) would go on accepting beside its successor: it is in the master's process group, whose number is
    /// ours as long as the master is not reaped.
    pub fn kill_what_is_left(&self) {
        let Some(master) = process(self.master) else { return };
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if matches!(rustix::process::waitid(WaitId::Pid(master), ended), Ok(Some(_))) {
            // An error means that the group has no other process.
            let _ = rustix::process::kill_process_group(master, Signal::KILL);
        }
    }
}
