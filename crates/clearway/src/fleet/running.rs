//! A generation that has a process: HAProxy's master, our child, and its worker.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use clearway_core::names::Generation;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::drift::Imprint;
use clearway_kernel::memory::resident;
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use tokio::sync::watch;
use tracing::{error, warn};

use crate::custody::sockets::Sockets;
use crate::fleet::carry;
use crate::fleet::master::Master;
use crate::fleet::memory::FirstToGo;
use crate::fleet::standard_error::StandardError;
use crate::fleet::worker_cli::WorkerCli;

/// The process that accepts connections: not our child, so it has a handle that no other process can
/// come to stand behind.
#[derive(Debug)]
struct Worker {
    pid: u32,
    /// Its handle (pidfd, Linux 5.3).
    handle: OwnedFd,
}

/// Our ends of what a generation has inherited.
#[derive(Debug)]
pub struct OurEnds {
    /// Of the private stats socket, which is of no use after the proof. If it were closed, HAProxy would find its own always
    /// ready to accept from, and spin (docs/decisions/0001).
    pub stats: OwnedFd,
    /// Of the master CLI.
    pub master_cli: OwnedFd,
    /// Of the `_getsocks` pair, closed as soon as the question is settled: a conversation that never comes must not hold
    /// sockets.
    pub handover: Option<OwnedFd>,
}

/// A generation that has a process.
#[derive(Debug)]
pub struct Running {
    generation: Generation,
    /// HAProxy's master, our child.
    master: u32,
    /// The process that accepts connections, once it has answered.
    worker: Option<Worker>,
    ends: OurEnds,
    said: StandardError,
    /// Until it accepts: what helps if it does not come to that depends on it.
    configuration: Option<Arc<Configuration>>,
    imprint: Arc<Imprint>,
    /// What it has proved to use; custody at the commit.
    proved: Option<Arc<Sockets>>,
    /// How many bytes it had when it had just proved itself.
    needed: Option<u64>,
    /// Lets the thread go on that carries the state of the servers over, once.
    carry: Option<carry::Go>,
    /// Set as long as the kernel shall kill it before any other, if memory runs out.
    first_to_go: Option<FirstToGo>,
}

impl Running {
    /// It has just been started.
    pub fn begins(
        (generation, master): (Generation, u32),
        (configuration, imprint): (Arc<Configuration>, Arc<Imprint>),
        ends: OurEnds,
        said: StandardError,
        carry: Option<carry::Go>,
        first_to_go: Option<FirstToGo>,
    ) -> Self {
        let configuration = Some(configuration);
        let (worker, proved, needed) = (None, None, None);
        Self {
            generation,
            master,
            worker,
            ends,
            said,
            configuration,
            imprint,
            proved,
            needed,
            carry,
            first_to_go,
        }
    }

    /// HAProxy's master, our child.
    pub fn pid(&self) -> u32 {
        self.master
    }

    /// The process that accepts connections, as far as it is known.
    pub fn worker(&self) -> Option<u32> {
        self.worker.as_ref().map(|worker| worker.pid)
    }

    /// Its master and its worker.
    pub fn processes(&self) -> impl Iterator<Item = u32> + use<> {
        [Some(self.master), self.worker()].into_iter().flatten()
    }

    /// Its worker, if that can be asked.
    pub fn worker_cli(&self) -> Option<WorkerCli> {
        Some(WorkerCli::of(self.ends.master_cli.try_clone().ok()?, self.worker()?))
    }

    /// Changes whenever it says something from now on.
    pub fn heard(&self) -> watch::Receiver<()> {
        self.said.heard()
    }

    /// Takes note of the worker. It has told its number itself, so that is believed only if the process is
    /// a child of our child: a worker that lies must not make us signal another process.
    pub fn know_worker(&mut self, pid: u32) {
        self.configuration = None;
        let named = process(pid);
        let handle = named.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        // Looked at while the handle keeps the number from being used again.
        let parent = parent_of(pid);
        self.worker = handle.filter(|_| parent == Some(self.master)).map(|handle| Worker { pid, handle });
        if self.worker.is_none() {
            warn!("process {pid} says that it is the worker of {}, which is not its parent", self.master);
        }
    }

    /// Its master, to be looked after, once its worker is known.
    pub fn to_be_watched(&self) -> Option<Master> {
        let cli = self.ends.master_cli.try_clone().ok()?;
        Some(Master {
            generation: self.generation,
            pid: self.master,
            worker: self.worker()?,
            cli,
            heard: self.heard(),
        })
    }

    /// It has proved to use these sockets.
    pub fn prove(&mut self, sockets: Sockets) {
        self.settle();
        self.needed = self.processes().map(resident).sum();
        self.proved = Some(Arc::new(sockets));
    }

    /// What it has proved to use, until it is committed or given up.
    pub fn proved(&self) -> Option<&Arc<Sockets>> {
        self.proved.as_ref()
    }

    /// It serves: from now on it is as dear as any other. Gives what it has proved to use.
    pub fn commit(&mut self) -> Option<Arc<Sockets>> {
        if let Some(mark) = self.first_to_go.take() {
            mark.take_back(self.processes());
        }
        self.proved.take()
    }

    /// Whether it was started from these files.
    pub fn is_from(&self, imprint: &Imprint) -> bool {
        self.imprint.is_same(imprint)
    }

    /// How many bytes it had when it had just proved itself: by now it may have a million connections.
    pub fn needed(&self) -> Option<u64> {
        self.needed
    }

    /// It will not be committed: it keeps no socket open that nothing will accept on.
    pub fn give_up(&mut self) {
        self.settle();
        self.proved = None;
        self.end_carrying();
    }

    /// Ends the handing over of sockets, whether it was used or not.
    pub fn settle(&mut self) {
        if let Some(end) = self.ends.handover.take() {
            let _ = rustix::net::shutdown(end, Shutdown::Both);
        }
    }

    /// The thread that carries the state of the servers over goes on. False if there is none.
    pub fn go_on_carrying(&mut self) -> bool {
        self.carry.as_ref().is_some_and(carry::Go::on)
    }

    /// It drains: that thread ends, and its connections with it.
    pub fn end_carrying(&mut self) {
        self.carry = None;
    }

    /// `SIGUSR1` to the worker, which drains and takes its master along when it is done. Not to the master, which is deaf
    /// for a moment up to 3.0. A generation that has not proved itself has no known worker yet: the core lets it be told
    /// again until it has.
    pub fn drain(&self) {
        let Some(worker) = &self.worker else { return self.signal(Signal::USR1) };
        match rustix::process::pidfd_send_signal(&worker.handle, Signal::USR1) {
            Ok(()) => {}
            // The master was signalled instead of Clearway and has replaced its worker: it knows the new one.
            Err(Errno::SRCH) => self.signal(Signal::USR1),
            Err(error) => self.cannot_signal(Signal::USR1, worker.pid, error),
        }
    }

    /// A signal to the master. It is a child of ours that is not reaped, so its pid is right.
    pub fn signal(&self, signal: Signal) {
        if let Some(Err(error)) = process(self.master).map(|pid| rustix::process::kill_process(pid, signal)) {
            self.cannot_signal(signal, self.master, error);
        }
    }

    fn cannot_signal(&self, signal: Signal, pid: u32, error: Errno) {
        let advice = if error == Errno::PERM { " (add --cap-add=KILL to `docker run`)" } else { "" };
        let signal = clearway_core::signal::Signal(signal.as_raw());
        error!("{signal} to generation {}, pid {pid}: {error}{advice}", self.generation);
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

    /// It has ended: what it says, and its configuration if it has not accepted.
    pub fn gone(mut self) -> (StandardError, Option<Arc<Configuration>>) {
        self.settle();
        (self.said, self.configuration)
    }
}

/// A process id as system calls take it.
fn process(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// The parent of a process, from `/proc/PID/stat`, whose second field may hold anything in parentheses.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(1)?.parse().ok()
}
