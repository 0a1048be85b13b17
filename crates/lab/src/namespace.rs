//! A host: a named network namespace that takes everything with it when it is dropped.
//!
//! Programs enter by `setns` between `fork` and `exec`, not through `ip netns exec`: that one makes a mount
//! namespace and mounts `/sys` anew, which the process under test would notice. `/proc/sys/net` needs no help, it
//! shows the namespace of the process that looks.
//!
//! Names are `cw<pid of the maker>-<n>-<role>`: unique on the machine, and [`sweep`] knows which maker is dead.
//!
//! One value stands for a namespace that is not ours: [`Namespace::host`]. It changes no setting there, kills no
//! process, and leaves everything as it is when it is dropped.

mod enter;
mod sweep;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

pub(crate) use sweep::is_orphan;
pub use sweep::sweep;

use crate::process::{self, Process};
use crate::wait::eventually;

/// Where `ip netns` keeps its names.
const NAMED: &str = "/run/netns";

/// A network namespace. One of our own kills, by pid, every process inside and removes the name when it is
/// dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: Arc<File>,
    owner: Owner,
}

/// Whether it is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Made by [`Namespace::create`], and taken away by us.
    Lab,
    /// The one that we were started in: we are a guest.
    Host,
}

/// A unique name: `cw<pid>-<n>`.
pub(crate) fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("cw{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Namespace {
    /// Makes a namespace for `role` with its loopback up, and quiet: no duplicate address detection.
    pub fn create(role: &str) -> Result<Self> {
        let name = format!("{}-{role}", unique_name());
        ip(&["netns", "add", &name])?;
        let path = format!("{NAMED}/{name}");
        let handle = File::open(&path).with_context(|| format!("opening the namespace {path}"))?;
        let namespace = Self { name, handle: Arc::new(handle), owner: Owner::Lab };
        // A kernel may run without IPv6.
        let families = ["all", "default"].map(|family| format!("net/ipv6/conf/{family}/accept_dad"));
        for name in families.iter().filter(|name| Path::new("/proc/sys").join(name).exists()) {
            namespace.sysctl(name, "0")?;
        }
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The namespace that this process was started in, where `--network=host` is. Nothing happens to it when
    /// the value is dropped.
    pub fn host() -> Result<Self> {
        // Of the process, not of the thread: only our own threads go elsewhere.
        let handle = File::open("/proc/self/ns/net").context("opening the namespace of this process")?;
        Ok(Self { name: "the host".to_owned(), handle: Arc::new(handle), owner: Owner::Host })
    }

    /// The name under `/run/netns`, if it is one of our own.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The inode that names this namespace in `/proc/PID/ns/net`.
    pub fn inode(&self) -> Result<u64> {
        Ok(self.handle.metadata().context("asking for the inode of the namespace")?.ino())
    }

    /// A command that will run inside and die with us. Standard input is empty.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        enter::on_start(&mut command, &self.handle);
        command
    }

    /// Starts a command inside, any one. The process ends when the value is dropped.
    pub fn spawn(&self, mut command: Command) -> Result<Process> {
        enter::on_start(&mut command, &self.handle);
        Process::spawn(command)
    }

    /// Runs a program inside to its end and gives its standard output; anything but success is an error.
    pub fn output(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = self.command(program);
        command.args(args);
        checked(command.output(), program, args)
    }

    /// Runs a command line without quotes inside, as [`Namespace::output`] does.
    pub fn run(&self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (program, args) = words.split_first().context("an empty command line")?;
        self.output(program, args)
    }

    /// Runs `ip` inside.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        self.output("ip", args)
    }

    /// Loads an nft script inside.
    pub fn nft(&self, script: &str) -> Result<()> {
        let mut file = tempfile::tempfile().context("making room for an nft script")?;
        file.write_all(script.as_bytes()).and_then(|()| file.rewind()).context("writing an nft script")?;
        let mut command = self.command("nft");
        command.args(["-f", "-"]).stdin(file);
        checked(command.output(), "nft", &["-f", "-"]).map(|_| ())
    }

    /// Writes a setting of this namespace, such as `net/ipv4/ip_forward`.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        ensure!(self.owner == Owner::Lab, "{name} of the host is not ours to set");
        self.enter(|| std::fs::write(format!("/proc/sys/{name}"), value))?
            .with_context(|| format!("setting {name} to {value} in {}", self.name))
    }

    /// Does something on a thread that is inside. Sockets made there stay inside and may be used from anywhere.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let handle = Arc::clone(&self.handle);
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || enter::this_thread(&handle).map(|()| work()));
            match inside.join() {
                Ok(outcome) => outcome.with_context(|| format!("entering the namespace {}", self.name)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Starts a thread of its own inside, for work that goes on.
    pub fn thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<io::Result<T>> {
        let handle = Arc::clone(&self.handle);
        std::thread::spawn(move || enter::this_thread(&handle).map(|()| work()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if self.owner == Owner::Host {
            return;
        }
        let Ok(inode) = self.inode() else { return };
        let gone = eventually(Duration::from_secs(5), "the processes of the namespace to end", || {
            let left = process::in_namespace(inode);
            left.iter().copied().for_each(process::kill);
            left.is_empty().then_some(())
        });
        let removed = ip(&["netns", "del", &self.name]);
        for error in [gone.err(), removed.err()].into_iter().flatten() {
            eprintln!("clearway-lab: leaving {} behind: {error:#}", self.name);
        }
    }
}

/// Runs `ip` outside: only for what makes and removes namespaces and their cables.
pub(crate) fn ip(args: &[&str]) -> Result<String> {
    checked(Command::new("ip").args(args).stdin(Stdio::null()).output(), "ip", args)
}

fn checked(output: io::Result<Output>, program: &str, args: &[&str]) -> Result<String> {
    let output = output.with_context(|| format!("starting `{program}` (is it installed?)"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`{program} {}` failed with {}: {}", args.join(" "), output.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
