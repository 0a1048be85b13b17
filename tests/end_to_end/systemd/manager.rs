//! A socket that plays systemd: it keeps descriptors, and starts the next process with them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind, clearway_program};
use clearway_lab::wait::eventually;
use command_fds::{CommandFdExt, FdMapping};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::stage::{EVENTS, SOON, Stage};

/// The manager.
pub struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    /// Sockets of a socket unit, which come first, and their names.
    pub socket_unit: Vec<(String, OwnedFd)>,
    /// The store.
    pub store: Vec<(String, OwnedFd)>,
    /// All messages so far.
    pub heard: Vec<String>,
}

impl Manager {
    /// One with an empty store.
    pub fn new(stage: &Stage) -> Result<Self> {
        let path = stage.path("notify");
        let socket = UnixDatagram::bind(&path).context("the socket of the manager")?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path, socket_unit: Vec::new(), store: Vec::new(), heard: Vec::new() })
    }

    /// Starts Clearway as the main process of a unit.
    pub fn start(&mut self, stage: &Stage, environment: &[(&str, &str)]) -> Result<Balancer> {
        self.read()?;
        // It is in the shell that the process has its number before it is Clearway.
        let mut command = stage.hosts.balancer.command("sh");
        command.args(["-c", "export LISTEN_PID=$$; exec \"$@\"", "sh"]);
        command.arg(clearway_program()?).args(["haproxy", "-f"]).arg(stage.file());
        let passed: Vec<_> = self.socket_unit.iter().chain(&self.store).collect();
        let names: Vec<&str> = passed.iter().map(|(name, _)| name.as_str()).collect();
        command
            .env("NOTIFY_SOCKET", &self.path)
            .env("FDSTORE", "16")
            .env("LISTEN_FDS", passed.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .env("CLEARWAY_RUN_DIRECTORY", stage.run_directory())
            .env(EVENTS.0, EVENTS.1)
            .envs(environment.iter().copied());
        let mappings = (3..)
            .zip(&passed)
            .map(|(child_fd, (_, socket))| Ok(FdMapping { parent_fd: socket.try_clone()?, child_fd }));
        command.fd_mappings(mappings.collect::<Result<_>>()?)?;
        Balancer::start_command(Kind::Clearway, command)
    }

    /// Listens until a message has this line, or one that begins so; gives the message.
    pub fn wait_for(&mut self, line: &str) -> Result<String> {
        let has = |message: &&String| message.lines().any(|one| one.starts_with(line));
        let found = eventually(SOON, "systemd to be told", || {
            self.read().ok()?;
            self.heard.iter().rfind(has).cloned()
        });
        found.with_context(|| format!("{line}: {:?}", self.heard))
    }

    /// The names in the store.
    pub fn names(&self) -> Vec<String> {
        self.store.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The inodes of what is in the store.
    pub fn inodes(&self) -> Result<BTreeSet<u64>> {
        self.store.iter().map(|(_, socket)| inode(socket)).collect()
    }

    /// Hears what has been said.
    fn read(&mut self) -> Result<()> {
        loop {
            let mut text = vec![0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC;
            let length = match recvmsg(&self.socket, &mut [IoSliceMut::new(&mut text)], &mut control, flags) {
                Ok(received) => received.bytes,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let rights = control.drain().filter_map(|part| match part {
                RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                _ => None,
            });
            let descriptors: Vec<OwnedFd> = rights.flatten().collect();
            text.truncate(length);
            self.take(String::from_utf8(text)?, descriptors)?;
        }
    }

    fn take(&mut self, message: String, descriptors: Vec<OwnedFd>) -> Result<()> {
        let has = |line: &str| message.lines().any(|one| one == line);
        let name = message.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored");
        // What systemd would take for no name at all.
        let valid = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b':';
        ensure!(name.len() <= 255 && name.bytes().all(valid), "no name for systemd: {message}");
        if has("FDSTOREREMOVE=1") {
            self.store.retain(|(one, _)| one != name);
        } else if has("FDSTORE=1") {
            ensure!(!descriptors.is_empty(), "nothing to store: {message}");
            for socket in descriptors {
                // One that is there already is not taken again, under whatever name.
                if !self.inodes()?.contains(&inode(&socket)?) {
                    self.store.push((name.to_owned(), socket));
                }
            }
        }
        self.heard.push(message);
        Ok(())
    }
}

fn inode(socket: impl AsFd) -> Result<u64> {
    Ok(File::from(socket.as_fd().try_clone_to_owned()?).metadata()?.ino())
}
