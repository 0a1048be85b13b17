//! A HAProxy as Clearway starts it: `-W -db`, private stats socket, master CLI and `-x`, all without names.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use clearway_haproxy::command_line::{ChildFd, GenerationFiles, Invocation};
use clearway_haproxy::complaint::Complaint;
use clearway_haproxy::configuration::{Configuration, SourceFile};
use clearway_haproxy::getsocks::{self, OfferedSocket, ReceivedSocket};
use clearway_haproxy::inventory::SocketIdentity;
use clearway_haproxy::overlay::{Overlay, WorkerCapability};
use clearway_haproxy::runtime::{Channel, CliCommand, Info};
use clearway_haproxy::sockpair;
use command_fds::{CommandFdExt, FdMapping};
use libtest_mimic::Failed;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process};

use crate::binary::Binary;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

const STATS: ChildFd = ChildFd(3);
const MASTER: ChildFd = ChildFd(4);
const SOCKETS: ChildFd = ChildFd(5);
const USER_FILE: ChildFd = ChildFd(6);
const OVERLAY: ChildFd = ChildFd(7);

/// What to start.
#[derive(Default)]
pub(crate) struct Start<'a> {
    pub(crate) text: &'a str,
    pub(crate) flags: &'a [&'a str],
    /// `-x`: what to serve.
    pub(crate) sockets: Option<&'a [OfferedSocket<'a>]>,
    /// `-x`, but nothing answers.
    pub(crate) silent: bool,
}

/// One that runs. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    stderr: File,
    pub(crate) stats: OwnedFd,
    pub(crate) master: OwnedFd,
}

impl Start<'_> {
    pub(crate) fn run(&self, binary: &Binary) -> Result<Running, Failed> {
        let (stats, their_stats) = sockpair::pair()?;
        let (master, their_master) = sockpair::pair()?;
        let (sockets, their_sockets) = sockpair::pair()?;
        let asks = self.sockets.is_some() || self.silent;

        let mut words: Vec<OsString> = vec!["haproxy".into()];
        words.extend(self.flags.iter().map(OsString::from));
        words.extend(["-f".into(), USER_FILE.path().into_os_string()]);
        let invocation = Invocation::parse(words)?;
        let source = SourceFile { name: USER_FILE.path(), path: USER_FILE.path(), bytes: self.text.into() };
        let configuration = Configuration::scan(vec![source], &|name| std::env::var(name).ok());
        let overlay = Overlay::new(STATS, &configuration, binary.version, &[WorkerCapability::NetRaw], None);
        let files = GenerationFiles {
            overlay: OVERLAY.path(),
            master_cli: Some(MASTER),
            sockets_from: asks.then_some(SOCKETS),
            told: None,
            copies: None,
            pid_file: None,
        };

        let stderr = File::from(memfd("stderr", "")?);
        let mut process = binary.process();
        process.args(invocation.supervised_arguments(&files)).stdin(Stdio::null());
        process.stdout(stderr.try_clone()?).stderr(stderr.try_clone()?);
        process.fd_mappings(
            [
                (their_stats, STATS),
                (their_master, MASTER),
                (their_sockets, SOCKETS),
                (memfd("user", self.text)?, USER_FILE),
                (memfd("overlay", &overlay.to_string())?, OVERLAY),
            ]
            .map(|(parent_fd, child)| FdMapping { parent_fd, child_fd: i32::from(child.0) })
            .into(),
        )?;
        let child = process.spawn()?;
        // Our copies of its ends go with the command.
        drop(process);
        let running = Running { child, stderr, stats, master };
        if let Some(offered) = self.sockets {
            let connection = sockpair::accept(&sockets, LIMIT)?;
            getsocks::serve(&connection, offered, LIMIT)?;
        } else if self.silent {
            // The connection stays open, and nothing is said.
            let connection = sockpair::accept(&sockets, LIMIT)?;
            running.info()?;
            drop(connection);
        }
        Ok(running)
    }
}

impl Running {
    /// Waits until it serves.
    pub(crate) fn info(&self) -> Result<Info, Failed> {
        let connection = sockpair::dial(&self.stats)?;
        Ok(CliCommand::show_info().ask(&connection, Channel::Worker, LIMIT)?.info()?)
    }

    pub(crate) fn fetch(&self) -> Result<Vec<ReceivedSocket>, Failed> {
        Ok(getsocks::fetch(sockpair::dial(&self.stats)?, LIMIT)?)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failed> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// What it wrote so far.
    pub(crate) fn words(&mut self) -> Result<Complaint, Failed> {
        let mut text = Vec::new();
        let mut file = self.stderr.try_clone()?;
        file.rewind()?;
        file.read_to_end(&mut text)?;
        file.seek(std::io::SeekFrom::End(0))?;
        Ok(Complaint::read(&text))
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> Result<Option<i32>, Failed> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err("it does not end".into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The worker goes with its master (docs/facts E17).
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn identities<'a>(
    fds: impl IntoIterator<Item = &'a (impl AsFd + 'a)>,
) -> Result<Vec<SocketIdentity>, Failed> {
    Ok(fds.into_iter().map(SocketIdentity::of).collect::<Result<_, _>>()?)
}

fn memfd(name: &str, text: &str) -> Result<OwnedFd, Failed> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    Ok(file.into())
}
