//! The process that a new HAProxy is told with `-sf` in place of the old one.
//!
//! A HAProxy that is told of no old process gives its local peer up at its first look, and asks for its stick tables
//! only the peers elsewhere. Where there are none, or none that can be reached, it counts as taught after five seconds;
//! asked to stop before that it teaches its successor nothing, and the tables are lost. Told of an old process
//! (`nb_oldpids` in `peers.c`, HAProxy 2.4 to 3.5) it waits for that one to connect to the local peer, which the old
//! one does when it drains, and is taught within milliseconds.
//!
//! The pids behind `-sf` get a `SIGUSR1` before Clearway knows whether the new process serves (up to 3.0 even before its
//! worker is forked), and `SIGTTOU` while an address is in use. So it must be the pid neither of the worker that serves
//! nor of Clearway. It is that of a child that does nothing at all, is started before the first reload that needs it, and
//! lives as long as Clearway: HAProxy may signal it at any time, and its number must not come to another process.
//!
//! It is told only where an old process drains afterwards and there are `peers`: at a reload and in a takeover, not
//! at a first start and not after a crash, in which there is no table left to be learned.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use clearway_core::exit::ExitCode;
use nix::sys::signal::{SigSet, Signal as Blocked};
use rustix::process::{Pid, Signal};

use crate::fleet::child::Rights;
use crate::fleet::notices::FleetNotice;
use crate::ground::notice::tell;

/// The name that the stand-in is started under, and that `ps` shows.
const NAME: &str = "clearway-stand-in";

/// What HAProxy sends to old processes, and what may be sent to every process of that name by hand.
const IGNORED: [Blocked; 7] = [
    Blocked::SIGUSR1,
    Blocked::SIGUSR2,
    Blocked::SIGHUP,
    Blocked::SIGINT,
    Blocked::SIGTTOU,
    Blocked::SIGTTIN,
    Blocked::SIGTSTP,
];

/// The stand-in, once there is one.
#[derive(Debug, Default)]
pub struct StandIn(Option<u32>);

impl StandIn {
    /// Its pid; it is started if there is none. Must be called on the main thread, which alone forks. Without one a
    /// generation is started as if nothing had served before.
    pub fn pid(&mut self) -> Option<u32> {
        if self.0.is_none() {
            match start() {
                Ok(pid) => self.0 = Some(pid),
                Err(error) => tell(&FleetNotice::NoStandIn { error: error.to_string() }),
            }
        }
        self.0
    }

    /// A child has been reaped: if it was the stand-in, the next generation that needs it gets another.
    pub fn reaped(&mut self, pid: u32) {
        self.0.take_if(|one| *one == pid);
    }

    /// Ends it. Without this the kernel does when Clearway has gone.
    pub fn end(&mut self) {
        // It is a child of ours that is not reaped, so its number is right.
        if let Some(pid) = self.0.take().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

fn start() -> io::Result<u32> {
    // What runs, also if the file has been replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.arg0(NAME).arg(std::process::id().to_string()).env_clear().process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ignored: SigSet = IGNORED.into_iter().collect();
    // SAFETY: between fork and exec the closure makes plain system calls only (sigprocmask, capget, capset, prctl): no
    // allocation, no lock, nothing that another thread of the parent might have held.
    unsafe {
        command.pre_exec(move || {
            // A mask outlives the exec, so there is no moment in which one of these would end it.
            ignored.thread_block()?;
            Rights::NONE.keep_only()
        });
    }
    // Dropped, not waited for: `reaper` is the one place that waits.
    command.spawn().map(|child| child.id())
}

/// Whether this process was started to be a stand-in: does nothing until Clearway is gone, and never returns then.
pub fn was_asked_for(arguments: &mut dyn Iterator<Item = std::ffi::OsString>) -> Option<ExitCode> {
    if arguments.next()? != NAME {
        return None;
    }
    let parent = arguments.next().and_then(|word| word.to_str()?.parse().ok());
    Some(stand(parent))
}

fn stand(parent: Option<i32>) -> ExitCode {
    let _ = rustix::thread::set_name(c"stand-in");
    let watched = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // Else it has died before that.
    let there =
        parent.is_some() && rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get()) == parent;
    if watched.is_err() || !there {
        return ExitCode::Internal;
    }
    keep_nothing_open();
    loop {
        std::thread::park();
    }
}

/// What Clearway was given at its start is not close-on-exec, and a listening socket must not stay open here.
fn keep_nothing_open() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // The one of the directory itself is closed already.
        let _ = nix::unistd::close(number);
    }
}
