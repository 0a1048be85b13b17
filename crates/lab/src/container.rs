//! A container of a real engine, seen from outside: started with a command line as people write it, and removed
//! when it is dropped.
//!
//! Its name is `cw<pid of the maker>-<n>-<role>`, as that of a namespace, and [`Engine::sweep`] removes those
//! of dead makers. What it says is read from `docker logs --follow`, which
//! runs as long as the container does; what it is, from `docker inspect`. A Clearway in it writes events (JSON),
//! which tests look for.

mod engine;
mod state;

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tempfile::TempDir;

pub use engine::Engine;
pub use state::State;

use crate::log;
use crate::namespace::unique_name;
use crate::process::{self, Process};
use crate::wait::eventually;

/// All our containers carry this label.
const LABEL: &str = "clearway-lab";

/// What makes a Clearway write events.
const EVENTS: &str = "CLEARWAY_LOG=json";

/// How long a log may come after the end of its container.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A container. Dropped, it is removed, running or not.
#[derive(Debug)]
pub struct Container {
    engine: Engine,
    name: String,
    logs: TempDir,
    follower: Option<Process>,
}

impl Container {
    /// `docker run -d OPTIONS IMAGE WORDS`; `role` (a short word) becomes part of the name.
    pub fn run(engine: &Engine, role: &str, options: &[&str], image: &str, words: &[&str]) -> Result<Self> {
        let mut container = Self::named(engine, role)?;
        let begin = ["run", "-d", "--env", EVENTS, "--label", LABEL, "--name", &container.name];
        container.engine.done(&[&begin, options, &[image], words].concat())?;
        container.follow()?;
        Ok(container)
    }

    /// `docker run OPTIONS IMAGE WORDS` without `-d`, to the end of the container.
    pub fn run_to_end(
        engine: &Engine,
        role: &str,
        options: &[&str],
        image: &str,
        words: &[&str],
    ) -> Result<Output> {
        let container = Self::named(engine, role)?;
        engine
            .ask(&[&["run", "--label", LABEL, "--name", &container.name], options, &[image], words].concat())
    }

    fn named(engine: &Engine, role: &str) -> Result<Self> {
        let name = format!("{}-{role}", unique_name());
        let logs = tempfile::Builder::new().prefix("clearway-lab-").tempdir()?;
        Ok(Self { engine: engine.clone(), name, logs, follower: None })
    }

    /// Collects what it says from now on, which includes all that it has said.
    fn follow(&mut self) -> Result<()> {
        let mut command = self.engine.command(&["logs", "--follow", &self.name]);
        command.stdout(File::create(self.logs.path().join("stdout"))?);
        command.stderr(File::create(self.logs.path().join("stderr"))?);
        self.follower = Some(self.engine.spawn(command)?);
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything that it has written to standard error so far, for people: events are written as lines of text. After
    /// its end, all of it.
    pub fn stderr(&self) -> Result<String> {
        Ok(log::as_text(&self.read("stderr")?))
    }

    /// All events of this name, with these fields, that a Clearway in it has written so far.
    pub fn events(&self, name: &str, fields: &[(&str, &dyn Display)]) -> Result<Vec<Value>> {
        Ok(log::events(&self.read("stderr")?, name, fields))
    }

    /// Everything that it has written to standard output so far.
    pub fn stdout(&self) -> Result<String> {
        self.read("stdout")
    }

    fn read(&self, name: &str) -> Result<String> {
        let mut bytes = Vec::new();
        File::open(self.logs.path().join(name))?.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// How much it has written to standard error, for [`Container::wait_for_event`].
    pub fn log_position(&self) -> Result<usize> {
        Ok(self.read("stderr")?.len())
    }

    /// Waits for an event among what was written after `position` (0: since the first start), and gives it. Ends early
    /// when the container does.
    pub fn wait_for_event(
        &mut self,
        position: usize,
        name: &str,
        fields: &[(&str, &dyn Display)],
        deadline: Duration,
    ) -> Result<Value> {
        let find = |log: &str| log::events(log, name, fields).into_iter().next();
        self.wait_for(position, &log::words(name, fields), find, deadline)
    }

    /// The same for a line that is no event, because HAProxy or a program beside Clearway has written it.
    pub fn wait_for_log(&mut self, position: usize, text: &str, deadline: Duration) -> Result<String> {
        let find = |log: &str| log::as_text(log).lines().find(|line| line.contains(text)).map(str::to_owned);
        self.wait_for(position, &format!("the container to say `{text}`"), find, deadline)
    }

    fn wait_for<T>(
        &mut self,
        position: usize,
        what: &str,
        find: impl Fn(&str) -> Option<T>,
        deadline: Duration,
    ) -> Result<T> {
        let found = eventually(deadline, what, || {
            // Asked before the log is read: what came before its end is in the log by now.
            let ended = self.has_ended();
            let log = self.read("stderr").ok()?;
            let found = find(log.get(position..)?);
            found.map(Ok).or_else(|| ended.then(|| Err(anyhow!("it ended before {what}"))))
        });
        found.and_then(|found| found).with_context(|| self.log_for_people())
    }

    /// Whether it has ended, as far as its log is concerned.
    pub fn has_ended(&mut self) -> bool {
        self.follower.as_mut().is_none_or(|follower| follower.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// Runs a program inside to its end.
    pub fn exec(&self, words: &[&str]) -> Result<Output> {
        let mut line = vec!["exec", &self.name];
        line.extend(words);
        self.engine.ask(&line)
    }

    /// `docker kill -s SIGNAL`: `HUP`, `KILL` and so on.
    pub fn signal(&self, signal: &str) -> Result<()> {
        self.engine
            .done(&["kill", "-s", signal, &self.name])
            .map(|_| ())
            .with_context(|| self.log_for_people())
    }

    /// `docker stop --time=SECONDS`, to the end, and the exit code.
    pub fn stop(&mut self, seconds: u32) -> Result<i64> {
        self.engine.done(&["stop", &format!("--time={seconds}"), &self.name])?;
        self.wait_exit(LAST_WORDS)
    }

    /// Waits for the end of the container and of its log, and gives the exit code.
    pub fn wait_exit(&mut self, deadline: Duration) -> Result<i64> {
        let code = self.engine.done_within(deadline, &["wait", &self.name]);
        let code = code.with_context(|| self.log_for_people())?;
        eventually(LAST_WORDS, "the end of the log", || self.has_ended().then_some(()))?;
        code.trim().parse().with_context(|| format!("an exit code: {code}"))
    }

    /// `docker start` of a container that has ended; its log goes on.
    pub fn start(&mut self) -> Result<()> {
        self.engine.done(&["start", &self.name])?;
        self.follow()
    }

    /// `docker restart --time=SECONDS`; its log goes on.
    pub fn restart(&mut self, seconds: u32) -> Result<()> {
        self.engine.done(&["restart", &format!("--time={seconds}"), &self.name])?;
        self.follow()
    }

    /// Waits until the engine has started it again by itself, with another first process; its log goes on.
    pub fn wait_for_restart(&mut self, former: u32, deadline: Duration) -> Result<()> {
        let restarted = eventually(deadline, "the engine to start the container again", || {
            let state = self.state().ok()?;
            (state.running && state.pid != former).then_some(())
        });
        restarted.with_context(|| self.log_for_people())?;
        // `docker logs --follow` that begins at this moment may take the former end for one of now.
        eventually(deadline, "the log to go on", || {
            self.follow().ok()?;
            std::thread::sleep(Duration::from_millis(100));
            (!self.has_ended()).then_some(())
        })
    }

    /// What `docker inspect` says.
    pub fn state(&self) -> Result<State> {
        State::of(&self.engine, &self.name)
    }

    /// The process id of its first process, outside.
    pub fn pid(&self) -> Result<u32> {
        match self.state()?.pid {
            0 => bail!("{} does not run\n{}", self.name, self.log_for_people()),
            pid => Ok(pid),
        }
    }

    /// The process ids of its first process and all below it, outside.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let first = self.pid()?;
        Ok(std::iter::once(first).chain(process::descendants(first)).collect())
    }

    /// The HAProxy processes in it, outside: for each generation its master and its worker.
    pub fn haproxies(&self) -> Result<Vec<(u32, u32)>> {
        let is_haproxy = |pid: &u32| {
            process::command_line(*pid).first().is_some_and(|word| Path::new(word).ends_with("haproxy"))
        };
        let masters = process::children(self.pid()?).into_iter().filter(is_haproxy);
        let pairs = masters.flat_map(|master| {
            process::children(master).into_iter().filter(is_haproxy).map(move |worker| (master, worker))
        });
        Ok(pairs.collect())
    }

    /// The end of the log, for an error message.
    pub fn log_for_people(&self) -> String {
        let log = self.stderr().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
        format!("{} had said:\n{}", self.name, last.join("\n"))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Without an error where it does not exist: with `--rm`, or when it was never made.
        if let Err(error) = self.engine.done(&["rm", "--force", "--volumes", &self.name])
            && !format!("{error:#}").contains("No such container")
        {
            eprintln!("clearway-lab: leaving the container {} behind: {error:#}", self.name);
        }
    }
}
