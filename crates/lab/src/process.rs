//! Processes: starting one that surely dies with us, and looking at any through `/proc`.

mod deaths;
mod executable;
mod facts;
mod limits;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

pub use deaths::{Death, about_to_die, deaths, forget_deaths};
pub use executable::{copy_executable, write_executable};
pub use facts::{Facts, catches, children, command_line, descendants, is_alive};

pub(crate) use limits::{raise_descriptor_limit, restore_descriptor_limit};

use crate::wait::eventually;

/// A child process. Dropped, it is killed and waited for.
#[derive(Debug)]
pub struct Process {
    child: Child,
    what: String,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts the command from a thread that lives as long as we do: a parent's death signal fires when the
    /// forking thread ends, not the process.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        let what = command.get_program().to_string_lossy().into_owned();
        let (answer, answered): (Sender<std::io::Result<Child>>, Receiver<_>) = channel();
        starter()
            .send(Box::new(move || drop(answer.send(command.spawn()))))
            .map_err(|_| anyhow!("the thread that starts processes is gone"))?;
        let child = answered
            .recv()
            .context("the thread that starts processes is gone")?
            .with_context(|| format!("starting `{what}` (is it installed?)"))?;
        Ok(Self { child, what, status: None })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, if it was piped and not taken yet.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.try_wait()?.is_some() {
            return Err(anyhow!("`{}` has already ended", self.what));
        }
        let pid = Pid::from_child(&self.child);
        if signal == Signal::KILL {
            about_to_die(self.child.id());
        }
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to `{}`", self.what))
    }

    /// The exit status, once there is one.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait().with_context(|| format!("waiting for `{}`", self.what))?;
        }
        Ok(self.status)
    }

    /// Waits for the end, at most for `deadline`.
    pub fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("`{}` (pid {}) to end", self.what, self.pid());
        eventually(deadline, &what, || self.try_wait().transpose())?
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The thread that forks for all others.
fn starter() -> Sender<Job> {
    static STARTER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (send, receive) = channel::<Job>();
        std::thread::spawn(move || receive.into_iter().for_each(|job| job()));
        Mutex::new(send)
    });
    starter.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The processes in the network namespace with this inode, except this one.
pub fn in_namespace(inode: u64) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let path = format!("/proc/{pid}/ns/net");
            std::fs::metadata(Path::new(&path)).is_ok_and(|namespace| namespace.ino() == inode)
        })
        .collect()
}

/// Sends SIGKILL to a process that was found in one of our namespaces.
pub fn kill(pid: u32) {
    about_to_die(pid);
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
}
