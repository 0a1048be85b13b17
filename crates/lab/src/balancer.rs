//! The balancer under test, seen from outside: Clearway, or plain HAProxy as the one to compare with.

mod kind;

use std::fmt::Display;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use kind::path_text;
pub use kind::{Kind, clearway_program, haproxy_program};

use crate::load::{Ask, Class, ask_once};
use crate::log;
use crate::namespace::Namespace;
use crate::process::{self, Facts, Process};
use crate::wait::{eventually, eventually_because};

/// A running balancer. Dropped, it is killed; the namespace takes care of what it leaves.
#[derive(Debug)]
pub struct Balancer {
    kind: Kind,
    process: Process,
    logs: TempDir,
    reloads: usize,
}

impl Balancer {
    /// Starts it on a configuration; `args` come after `-f FILE`. It may not serve yet.
    pub fn start(
        host: &Namespace,
        kind: Kind,
        config: &Path,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut words = kind.words()?;
        words.extend(["-f".into(), path_text(config)?]);
        words.extend(args.iter().map(|word| (*word).to_owned()));
        Self::start_words(host, kind, &words, environment)
    }

    /// Starts any command line as the balancer: for tests of the command line itself.
    pub fn start_words(
        host: &Namespace,
        kind: Kind,
        words: &[String],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let Some((program, args)) = words.split_first() else { bail!("an empty command line") };
        let mut command = host.command(program);
        command.args(args).envs(environment.iter().copied());
        Self::start_command(kind, command)
    }

    /// Starts a command of [`Namespace::command`] as the balancer: for tests of what it is started with.
    pub fn start_command(kind: Kind, mut command: Command) -> Result<Self> {
        let logs = tempfile::Builder::new().prefix("clearway-lab-").tempdir()?;
        command.stdout(File::create(logs.path().join("stdout"))?);
        command.stderr(File::create(logs.path().join("stderr"))?);
        Ok(Self { kind, process: Process::spawn(command)?, logs, reloads: 0 })
    }

    /// Which balancer it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The process id of the first process: Clearway, or HAProxy's master.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until a connection from inside `from` is answered; ends early, with the log, when the balancer ends.
    pub fn wait_ready(
        &mut self,
        from: &Namespace,
        to: SocketAddr,
        ask: Ask,
        deadline: Duration,
    ) -> Result<()> {
        self.wait_for_answer(from, to, ask, |_| true, deadline).map(|_| ())
    }

    /// Waits for an answer that `wanted` accepts, such as that of a new configuration.
    pub fn wait_for_answer(
        &mut self,
        from: &Namespace,
        to: SocketAddr,
        ask: Ask,
        wanted: impl Fn(&str) -> bool + Sync,
        deadline: Duration,
    ) -> Result<String> {
        let answered = from.enter(|| {
            eventually_because(deadline, &format!("an answer of {to}"), || {
                if let Some(status) = self.process.try_wait()? {
                    return Ok(Err(status));
                }
                match ask_once(to, ask, Duration::from_secs(1)) {
                    Ok(answer) if wanted(&answer) => Ok(Ok(answer)),
                    Ok(answer) => bail!("the answer was {answer:?}"),
                    Err(Class::Refused) => bail!("the connection was refused"),
                    Err(class) => bail!("the connection ended with {class:?}"),
                }
            })
        })?;
        let ended = answered.with_context(|| self.log_for_people())?;
        ended.map_err(|status| anyhow::anyhow!("the balancer ended with {status}\n{}", self.log_for_people()))
    }

    /// Asks for a reload and does not wait for it, except as [`Balancer::settle`] does.
    pub fn reload(&mut self) -> Result<()> {
        self.settle()?;
        self.reloads += 1;
        self.signal(self.kind.reload_signal())
    }

    /// Waits until a reload signal will not be lost: a plain master loses one that comes while it executes itself
    /// anew, which it does after each start and reload.
    pub fn settle(&self) -> Result<()> {
        match self.kind {
            Kind::Clearway => Ok(()),
            Kind::PlainMasterWorker => self.wait_for_master(),
        }
    }

    /// Waits until nothing of a start or a reload is under way any more: the new generation is committed, and the
    /// processes of the former one have ended. For loads that leave no session behind, and reloads that were not
    /// asked for while another one was under way.
    pub fn wait_for_rest(&self, deadline: Duration) -> Result<()> {
        self.settle()?;
        // Below the first process: a master and its worker, or a worker alone.
        let (serving, processes) = match self.kind {
            Kind::Clearway => (" serves, worker ", 2),
            Kind::PlainMasterWorker => ("Loading success.", 1),
        };
        let rest = eventually(deadline, "the reload to be over", || {
            let over = self.stderr().ok()?.matches(serving).count() > self.reloads
                && self.haproxy_processes().len() == processes;
            over.then_some(())
        });
        rest.with_context(|| self.log_for_people())
    }

    fn wait_for_master(&self) -> Result<()> {
        let loaded = eventually(Duration::from_secs(5), "the master to have loaded", || {
            let log = self.stderr().ok()?;
            let ends = ["Loading success.", "Loading failure!"];
            let loads: usize = ends.into_iter().map(|end| log.matches(end).count()).sum();
            (loads > self.reloads && process::catches(self.pid(), Signal::USR2)).then_some(())
        });
        loaded.with_context(|| self.log_for_people())
    }

    /// Asks it to drain and end, and does not wait for it.
    pub fn drain(&mut self) -> Result<()> {
        self.settle()?;
        self.signal(self.kind.drain_signal())
    }

    /// Sends a signal to the first process.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal).with_context(|| self.log_for_people())
    }

    /// Sends a signal and waits for the end.
    pub fn stop(&mut self, signal: Signal, deadline: Duration) -> Result<ExitStatus> {
        self.signal(signal)?;
        self.wait_exit(deadline)
    }

    /// Waits for the end.
    pub fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.process.wait_exit(deadline).with_context(|| self.log_for_people())
    }

    /// Whether the first process runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// Memory, wake-ups and processor time of the first process.
    pub fn facts(&self) -> Result<Facts> {
        Facts::of(self.pid())
    }

    /// The HAProxy processes below it (masters and workers), oldest first.
    pub fn haproxy_processes(&self) -> Vec<u32> {
        let is_haproxy = |pid: &u32| {
            let line = process::command_line(*pid);
            line.first().is_some_and(|word| Path::new(word).ends_with("haproxy"))
        };
        let mut found: Vec<u32> = process::descendants(self.pid()).into_iter().filter(is_haproxy).collect();
        found.sort_unstable();
        found
    }

    /// Kills one of its own descendants; any other pid is refused.
    pub fn kill_descendant(&self, pid: u32) -> Result<()> {
        ensure!(process::descendants(self.pid()).contains(&pid), "{pid} does not belong to this balancer");
        process::kill(pid);
        Ok(())
    }

    /// Everything that it has written to standard output.
    pub fn stdout(&self) -> Result<String> {
        self.read("stdout", 0)
    }

    /// Everything that it has written to standard error, for people: events are written as lines of text.
    pub fn stderr(&self) -> Result<String> {
        self.stderr_since(0)
    }

    /// The same since `position`.
    pub fn stderr_since(&self, position: u64) -> Result<String> {
        Ok(log::as_text(&self.read("stderr", position)?))
    }

    /// Everything that it has written to standard error, as it was written.
    pub fn raw_stderr(&self) -> Result<String> {
        self.read("stderr", 0)
    }

    /// All events of this name, with these fields, that a Clearway with `CLEARWAY_LOG=json` has written so far.
    pub fn events(&self, name: &str, fields: &[(&str, &dyn Display)]) -> Result<Vec<Value>> {
        self.events_since(0, name, fields)
    }

    /// The same since `position`.
    pub fn events_since(
        &self,
        position: u64,
        name: &str,
        fields: &[(&str, &dyn Display)],
    ) -> Result<Vec<Value>> {
        Ok(log::events(&self.read("stderr", position)?, name, fields))
    }

    /// Waits for an event among what was written since `position` (0: since the start), and gives it.
    pub fn wait_for_event(
        &self,
        position: u64,
        name: &str,
        fields: &[(&str, &dyn Display)],
        deadline: Duration,
    ) -> Result<Value> {
        let found = eventually(deadline, &log::words(name, fields), || {
            self.events_since(position, name, fields).ok()?.into_iter().next()
        });
        found.with_context(|| self.log_for_people())
    }

    /// Where standard error ends now, for [`Balancer::wait_for_log`].
    pub fn log_position(&self) -> Result<u64> {
        Ok(self.logs.path().join("stderr").metadata()?.len())
    }

    /// Waits for `text` in what it has written to standard error since `position` (0: since its start), and
    /// gives the line.
    pub fn wait_for_log(&self, position: u64, text: &str, deadline: Duration) -> Result<String> {
        let found = eventually(deadline, &format!("the log to say `{text}`"), || {
            let log = self.stderr_since(position).ok()?;
            log.lines().find(|line| line.contains(text)).map(str::to_owned)
        });
        found.with_context(|| self.log_for_people())
    }

    fn read(&self, name: &str, position: u64) -> Result<String> {
        let mut file = File::open(self.logs.path().join(name))?;
        file.seek(SeekFrom::Start(position))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The end of the log, for an error message.
    fn log_for_people(&self) -> String {
        let log = self.stderr().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
        format!("{:?} had said:\n{}", self.kind, last.join("\n"))
    }
}
