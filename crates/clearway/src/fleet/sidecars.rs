//! The programs of `program` sections as processes: started, told, reaped. When is decided in the core
//! ([`clearway_core::programs`]).
//!
//! ```text
//!   prepare   what the sections say is read, and users and groups are looked up: HAProxy does not see the sections
//!   commit    the worker is asked for the variables that only HAProxy knows, on a thread; then the core hears of them
//!   start     fork, exec: as HAProxy's master does it, with what HAProxy may do, and no more
//!   end       reaped with everything else ([`Shell::reap`])
//! ```
//!
//! | a program gets | from |
//! |---|---|
//! | the environment that Clearway was given, without what is Clearway's own | as HAProxy |
//! | `setenv` and its like in `global` | the configuration |
//! | `HAPROXY_CFGFILES`, the user's own paths, and `HAPROXY_MWORKER` | the command line |
//! | `HAPROXY_CLI`, without Clearway's private socket, `HAPROXY_LOCALPEER`, `HAPROXY_BRANCH`, `HAPROXY_STARTUP_VERSION` | the worker (`show env`): it knows the conditions, and only these are believed |
//! | standard input, output and error | Clearway's own; where the log is JSON, output and error are pipes to Clearway |
//! | `user` and `group` | `/etc/passwd` and `/etc/group` |
//! | a process group of its own, and `SIGKILL` when Clearway dies | nothing is to be left behind |

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::programs::{
    OnDeath, OnReload, ProgramAction, ProgramEnd, ProgramEvent as Happened, ProgramId, ProgramSignal,
    ProgramSpec,
};
use clearway_core::settings::{LogFormat, LogSetting};
use clearway_core::supervisor::Event;
use clearway_haproxy::command_line::ChildFd;
use clearway_haproxy::configuration::{Changes, Configuration, Guard, ProgramSection, ProgramSections};
use clearway_haproxy::version::Version;
use clearway_kernel::capabilities::{self, Capability};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal};
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::fleet::child::{self, Rights};
use crate::fleet::{reaper, words};
use crate::ground::aside;
use crate::fleet::News;
use crate::shell::Shell;
use crate::tell::voice::{Speaker, Stream, Voice};

mod accounts;

/// How long the worker may take to say its environment. A program waits for it, nothing else.
const ASKING: Duration = Duration::from_secs(2);

/// What only HAProxy knows of a program's environment.
const FROM_THE_WORKER: [&str; 4] =
    ["HAPROXY_CLI", "HAPROXY_LOCALPEER", "HAPROXY_BRANCH", "HAPROXY_STARTUP_VERSION"];

/// What a configuration says about programs.
#[derive(Clone, Debug)]
pub struct Declared {
    sections: Vec<ProgramSpec>,
    on_death: OnDeath,
    environment: Environment,
    rights: Rights,
}

/// What a program finds in its environment, beside what Clearway was given.
#[derive(Clone, Debug, Default)]
struct Environment {
    /// What the configuration sets and unsets.
    changes: Changes,
    /// `HAPROXY_CFGFILES`
    files: OsString,
    /// What HAProxy has said.
    said: Vec<(String, String)>,
}

/// All programs.
#[derive(Debug, Default)]
pub struct Sidecars {
    /// Of generations that do not serve yet.
    declared: BTreeMap<Generation, Declared>,
    /// By process.
    running: BTreeMap<u32, ProgramId>,
    /// With what the next ones are started.
    current: Option<Declared>,
    /// What listens to them, where the log is JSON: until the last process that has such a pipe is gone.
    listening: Vec<JoinHandle<()>>,
}

impl Declared {
    /// Reads the sections that count. What HAProxy would refuse of them is refused.
    pub fn read(
        configuration: &Configuration,
        version: Version,
        counts: &mut dyn FnMut(&[Guard]) -> bool,
    ) -> Result<Option<Self>, Failure> {
        let programs = &configuration.programs;
        if programs.is_empty() || !ProgramSections::known_to(version) {
            return Ok(None);
        }
        let refused = |error: &dyn std::fmt::Display| {
            Failure::new(ExitCode::ConfigurationRefused, format!("reading the `program` sections: {error}"))
        };
        let found = programs.that_count(counts).map_err(|error| refused(&error))?;
        let sections = found.into_iter().map(section).collect::<Result<Vec<_>, String>>();
        let sections = sections.map_err(|error| refused(&error))?;
        check_signals(&sections)?;
        let on_death = if programs.may_die(counts) { OnDeath::Nothing } else { OnDeath::Restart };
        let (changes, files) = (configuration.environment.clone(), configuration.names());
        let rights = Rights::for_files(configuration.files.iter().map(|file| &*file.bytes));
        let environment = Environment { changes, files, said: Vec::new() };
        Ok(Some(Self { sections, on_death, environment, rights }))
    }
}

fn section(program: ProgramSection) -> Result<ProgramSpec, String> {
    let ProgramSection { name, command, user, group, starts_on_reload, .. } = program;
    let number = |what: &str, named: Option<_>, find: fn(&str) -> Option<u32>| {
        let Some((name, span)) = named else { return Ok(None) };
        let name: String = name;
        let unknown = || format!("parsing [{span}]: cannot find {what} id for '{name}'");
        find(&name).map(Some).ok_or_else(unknown)
    };
    let user = number("user", user, accounts::user)?;
    let group = number("group", group, accounts::group)?;
    let on_reload = if starts_on_reload { OnReload::Anew } else { OnReload::Keep };
    Ok(ProgramSpec { name, command, user, group, on_reload })
}

/// Without KILL a program of another user could not be told to end.
fn check_signals(sections: &[ProgramSpec]) -> Result<(), Failure> {
    let foreign = |one: &&ProgramSpec| one.user.is_some_and(|user| user != 0);
    let Some(section) = sections.iter().find(foreign) else { return Ok(()) };
    if !rustix::process::geteuid().is_root() || capabilities::has(Capability::Kill) {
        return Ok(());
    }
    let message = format!(
        "the program `{}` becomes another user, and without KILL it cannot be told to end at a reload or a stop",
        section.name
    );
    Err(Failure::new(ExitCode::Rights, message)
        .hint("add `--cap-add=KILL` to `docker run`, or leave `user` out of the section"))
}

impl Sidecars {
    /// A generation with these sections is about to be started.
    pub fn prepare(&mut self, generation: Generation, declared: Option<Declared>) {
        match declared {
            Some(declared) => self.declared.insert(generation, declared),
            None => self.declared.remove(&generation),
        };
    }

    /// It will never serve.
    pub fn forget(&mut self, generation: Generation) {
        self.declared.remove(&generation);
    }

    /// The process is gone, if it was one of ours.
    pub fn ended(&mut self, pid: u32, status: ExitStatus) -> Option<Event> {
        let id = self.running.remove(&pid)?;
        let how = reaper::end(status).to_string();
        // As HAProxy's master does it (`mworker_catch_sigchld`): 130 and 143 are SIGINT and SIGTERM.
        let wanted = matches!(status.code(), Some(0 | 130 | 143)) || matches!(status.signal(), Some(2 | 15));
        let ended = if wanted { ProgramEnd::Wanted(how) } else { ProgramEnd::Failed(how) };
        Some(Event::Program(Happened::Ended(id, ended)))
    }

    fn tell(&self, id: ProgramId, told: ProgramSignal) {
        let Some(pid) = self.running.iter().find(|(_, one)| **one == id).map(|(pid, _)| *pid) else { return };
        let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
        // The child is ours and not reaped, so its pid is right.
        let (signal, outcome) = match told {
            // By default the signal would end it.
            ProgramSignal::Reloaded if !catches(pid, Signal::USR1) => return,
            ProgramSignal::Reloaded | ProgramSignal::Finish => {
                (Signal::USR1, rustix::process::kill_process(process, Signal::USR1))
            }
            ProgramSignal::Terminate => (Signal::TERM, rustix::process::kill_process(process, Signal::TERM)),
            ProgramSignal::Kill => (Signal::KILL, rustix::process::kill_process_group(process, Signal::KILL)),
        };
        if let Err(error) = outcome {
            warn!(
                "{} to the program with pid {pid}: {error}",
                clearway_core::signal::Signal(signal.as_raw())
            );
        }
    }
}

/// Whether a process has a handler for a signal (`SigCgt` in `/proc/PID/status`).
fn catches(pid: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    caught >> (signal.as_raw() - 1) & 1 == 1
}

impl Shell {
    /// The generation serves. Where it has programs, or the former one had some, the core hears of it, as soon as HAProxy
    /// has said what only HAProxy knows.
    pub fn find_programs(&mut self, generation: Generation) -> Option<Event> {
        let declared = self.fleet.sidecars.declared.remove(&generation);
        self.fleet.sidecars.declared.retain(|one, _| *one > generation);
        let Some(mut declared) = declared else {
            self.fleet.sidecars.current.take()?;
            return Some(Event::Programs { generation, sections: Vec::new(), on_death: OnDeath::Restart });
        };
        let sessions = self.fleet.running.get(&generation).and_then(crate::fleet::launch::Running::sessions);
        let (news, private) = (self.fleet.news.clone(), self.fleet.descriptors.stats);
        let known = declared.clone();
        let begun = aside::spawn("asking HAProxy for the environment of programs", move || {
            let answer = sessions.and_then(|sessions| sessions.environment(ASKING));
            declared.environment.said = answer.map_or_else(Vec::new, |answer| said(&answer, private));
            let _ = news.send(News::Programs { generation, declared });
        });
        (!begun).then(|| self.programs_known(generation, known))
    }

    /// The same, with HAProxy's answer. An older generation's comes too late.
    pub fn programs_known(&mut self, generation: Generation, declared: Declared) -> Event {
        if self.fleet.committed != Some(generation) {
            return Event::TimePassed;
        }
        let (sections, on_death) = (declared.sections.clone(), declared.on_death);
        self.fleet.sidecars.current = Some(declared);
        Event::Programs { generation, sections, on_death }
    }

    /// Does something with a program.
    pub fn do_with_program(&mut self, action: ProgramAction) -> Option<Event> {
        match action {
            ProgramAction::Start(id, section) => Some(Event::Program(self.start_program(id, &section))),
            ProgramAction::Tell(id, told) => {
                self.fleet.sidecars.tell(id, told);
                None
            }
            // Those come as reports of the supervisor.
            ProgramAction::Report(_) => None,
        }
    }

    /// What programs have said before they ended is written; what they have started may go on saying something.
    pub async fn hear_programs_out(&mut self) {
        let until = tokio::time::Instant::now() + words::REST;
        for one in std::mem::take(&mut self.fleet.sidecars.listening) {
            let _ = tokio::time::timeout_at(until, one).await;
        }
    }

    pub fn start_program(&mut self, id: ProgramId, section: &ProgramSpec) -> Happened {
        let Some(current) = &self.fleet.sidecars.current else {
            return Happened::NotStarted(id, "its section is gone".to_owned());
        };
        let environment = current.environment.variables(self.fleet.invocation.local_peer.as_deref());
        let log = self.settings.log;
        let streams = match log.format {
            LogFormat::Text => Ok(None),
            LogFormat::Json => listen(&section.name, log, &mut self.fleet.sidecars.listening).map(Some),
        };
        let started = streams.and_then(|streams| {
            child::spawn_program(section, environment, current.rights, self.fleet.descriptors.limit, streams)
        });
        match started {
            Ok(process) => {
                self.fleet.sidecars.running.insert(process.id(), id);
                Happened::Started(id, process.id())
            }
            Err(error) => {
                let command = section.command.first().map_or("", String::as_str);
                Happened::NotStarted(id, format!("executing `{command}`: {error}"))
            }
        }
    }
}

/// Pipes for what a program says on standard output and on standard error, and what reads them.
fn listen(name: &str, log: LogSetting, listening: &mut Vec<JoinHandle<()>>) -> io::Result<[OwnedFd; 2]> {
    listening.retain(|one| !one.is_finished());
    let mut pipe = |stream| {
        let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let ours = Receiver::from_owned_fd(ours)?;
        let mut voice = Voice::of(Speaker::Program(name.to_owned()), stream, log);
        listening.push(tokio::spawn(async move { words::follow(ours, &mut voice, |_| ()).await }));
        io::Result::Ok(theirs)
    };
    Ok([pipe(Stream::Stdout)?, pipe(Stream::Stderr)?])
}

/// What HAProxy has said, as far as it is believed: a worker may be in the wrong hands, and programs may be root.
fn said(answer: &str, private: ChildFd) -> Vec<(String, String)> {
    let variables = answer.lines().filter_map(|line| line.split_once('='));
    let believed = variables.filter(|(name, _)| FROM_THE_WORKER.contains(name));
    let private = private.sockpair();
    let without_ours = |(name, value): (&str, &str)| {
        let sockets = value.split(';').filter(|socket| name != "HAPROXY_CLI" || *socket != private);
        (name.to_owned(), sockets.collect::<Vec<_>>().join(";"))
    };
    believed.map(without_ours).collect()
}

impl Environment {
    /// All variables.
    fn variables(&self, local_peer: Option<&OsStr>) -> BTreeMap<OsString, OsString> {
        let mut all: BTreeMap<OsString, OsString> = child::inherited_variables().collect();
        for (name, value) in &self.changes {
            match value {
                Some(value) => all.insert(name.into(), value.into()),
                None => all.remove(OsStr::new(name)),
            };
        }
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned().into();
        let peer = local_peer.map_or_else(host, OsStr::to_owned);
        all.insert("HAPROXY_LOCALPEER".into(), peer);
        all.insert("HAPROXY_MWORKER".into(), "1".into());
        all.insert("HAPROXY_CFGFILES".into(), self.files.clone());
        all.extend(self.said.iter().map(|(name, value)| (name.into(), value.into())));
        all
    }
}

#[cfg(test)]
mod tests;
