//! HAProxy as scripts ran it before there was a master: `haproxy -D -p PIDFILE`, and the next one with `-sf`.
//!
//! Without a `stats socket` nothing hands the listening sockets over: the next process binds beside the former
//! one (`SO_REUSEPORT`) and tells it to finish. The processes are no children of the benchmark; their namespace ends them.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::rig::Rig;
use crate::balancer::haproxy_program;
use crate::namespace::Namespace;
use crate::process::is_alive;
use crate::wait::eventually;

/// As the scripts had it.
const SECOND: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(10);

/// What the rule says behind `-I` and `-D`.
const DROP_SYNS: [&str; 8] = ["INPUT", "-p", "tcp", "--dport", "80", "--syn", "-j", "DROP"];

/// The process that serves.
#[derive(Debug)]
pub(super) struct Daemon {
    pid: u32,
}

impl Daemon {
    /// Starts the first one; returns when it listens.
    pub(super) fn start(rig: &Rig) -> Result<Self> {
        Ok(Self { pid: launch(rig, &[])? })
    }

    /// Starts the next one, which tells this one to finish.
    pub(super) fn reload(&mut self, rig: &Rig) -> Result<()> {
        self.pid = launch(rig, &["-sf", &self.pid.to_string()])?;
        Ok(())
    }

    /// The same, step by step as the scripts did it.
    pub(super) fn reload_behind_dropped_syns(&mut self, rig: &Rig) -> Result<()> {
        let rule = DroppedSyns::begin(&rig.lab.balancer)?;
        sleep(SECOND);
        self.reload(rig)?;
        rule.end()
    }

    /// Ends this one with that signal, and only then starts the next one.
    pub(super) fn restart(&mut self, rig: &Rig, signal: Signal) -> Result<()> {
        end("HAProxy", self.pid, signal)?;
        self.pid = launch(rig, &[])?;
        Ok(())
    }

    /// The process that serves.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }
}

/// Ends a process that is no child of ours with a signal, and waits until it has ended.
pub(super) fn end(what: &str, pid: u32, signal: Signal) -> Result<()> {
    tell(what, pid, signal)?;
    eventually(DEADLINE, &format!("{what} to end"), || (!is_alive(pid)).then_some(()))
}

/// Sends it a signal.
pub(super) fn tell(what: &str, pid: u32, signal: Signal) -> Result<()> {
    let words = || format!("sending {signal:?} to {what}, pid {pid}");
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).with_context(words)?;
    kill_process(pid, signal).with_context(words)
}

/// The process whose number is in this file.
pub(super) fn pid_in(file: &Path) -> Result<u32> {
    let said = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    said.trim().parse().with_context(|| format!("{} has {said:?}, which is no process id", file.display()))
}

/// Its first process ends when the one that stays is ready. Gives that one.
fn launch(rig: &Rig, more: &[&str]) -> Result<u32> {
    let file: PathBuf = rig.folder().join("haproxy.pid");
    let [config, pid] = [rig.config(), file.clone()].map(|path| path.display().to_string());
    let words = [&["-D", "-f", &config, "-p", &pid], more].concat();
    rig.lab.balancer.output(&haproxy_program(), &words)?;
    pid_in(&file)
}

/// A rule that is taken out, whatever happens.
#[derive(Debug)]
struct DroppedSyns<'a> {
    host: &'a Namespace,
    ended: bool,
}

impl<'a> DroppedSyns<'a> {
    fn begin(host: &'a Namespace) -> Result<Self> {
        host.output("iptables", &[&["-I"], &DROP_SYNS[..]].concat())?;
        Ok(Self { host, ended: false })
    }

    fn end(mut self) -> Result<()> {
        self.ended = true;
        remove(self.host)
    }
}

impl Drop for DroppedSyns<'_> {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = remove(self.host)
        {
            eprintln!("clearway-lab: leaving a rule behind until its namespace ends: {error:#}");
        }
    }
}

fn remove(host: &Namespace) -> Result<()> {
    host.output("iptables", &[&["-D"], &DROP_SYNS[..]].concat()).map(|_| ())
}

/// Why this machine cannot drop SYNs as the scripts did, if so.
pub(super) fn missing() -> Result<Option<String>> {
    let host = Namespace::create("xtables")?;
    let tried = DroppedSyns::begin(&host).and_then(DroppedSyns::end).err();
    Ok(tried.map(|error| format!("{error:#}")))
}
