//! The programs of `program` sections as processes: started, told, reaped. When is decided in the core
//! ([`clearway_core::programs`]).
//!
//! ```text
//!   prepare   what the sections say is read, and users and groups are looked up: HAProxy does not see the sections
//!   commit    the worker is asked for the variables that only HAProxy knows, on a thread; then the core hears of them
//!   start     fork, exec, which is not waited for: as HAProxy's master does it, with what HAProxy may do, and no more
//!   end       reaped with everything else ([`Fleet::reap`])
//! ```
//!
//! | a program gets | from |
//! |---|---|
//! | the environment that Clearway was given, without what is Clearway's own | as HAProxy |
//! | `setenv` and its like in `global` | the configuration |
//! | `HAPROXY_CFGFILES`, the user's own paths, `HAPROXY_MWORKER`, and `HAPROXY_MASTER_CLI`, Clearway's own | the command line |
//! | `HAPROXY_CLI`, without Clearway's private socket, `HAPROXY_LOCALPEER`, `HAPROXY_BRANCH`, `HAPROXY_STARTUP_VERSION` | the worker (`show env`): it knows the conditions, and only these are believed |
//! | standard input, output and error | Clearway's own; where the log is JSON, output and error are pipes to Clearway |
//! | `user` and `group` | `/etc/passwd` and `/etc/group` |
//! | a process group of its own, and `SIGKILL` when Clearway dies | nothing is to be left behind |

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use clearway_core::names::Generation;
use clearway_core::programs::{
    OnDeath, ProgramAction, ProgramEnd, ProgramEvent as Happened, ProgramId, ProgramSpec,
};
use clearway_core::settings::{LogFormat, LogSetting};
use clearway_core::supervisor::Event;
use clearway_haproxy::command_line::{ChildFd, Invocation};
use clearway_haproxy::master_cli::address;
use rustix::process::Rlimit;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::fleet::child::{self, Descriptors, Exec, Forked};
use crate::fleet::news::News;
use crate::fleet::{reaper, standard_error};

mod declared;
mod environment;
mod process;

pub use declared::Declared;

/// A process of a program.
#[derive(Debug)]
struct Sidecar {
    id: ProgramId,
    command: String,
    /// Until it is known what became of that.
    exec: Option<Exec>,
}

/// All programs.
#[derive(Debug)]
pub struct Sidecars {
    news: UnboundedSender<News>,
    /// Of generations that do not serve yet.
    declared: BTreeMap<Generation, Declared>,
    /// By process.
    running: BTreeMap<u32, Sidecar>,
    /// With what the next ones are started.
    current: Option<Declared>,
    /// What listens to them, where the log is JSON: until the last process that has such a pipe is gone.
    listening: Vec<JoinHandle<()>>,
    log: LogSetting,
    local_peer: Option<OsString>,
    /// Where the master CLI listens, if there is one.
    master_cli: Option<String>,
    /// The limit of open files that Clearway was given.
    open_files: Rlimit,
    /// HAProxy's end of the private stats socket.
    private: ChildFd,
}

impl Sidecars {
    /// There is no program yet.
    pub fn new(
        news: UnboundedSender<News>,
        log: LogSetting,
        invocation: &Invocation,
        descriptors: Descriptors,
    ) -> Self {
        Self {
            news,
            declared: BTreeMap::new(),
            running: BTreeMap::new(),
            current: None,
            listening: Vec::new(),
            log,
            local_peer: invocation.local_peer.clone(),
            master_cli: address::listed(&invocation.master_cli),
            open_files: descriptors.limit,
            private: descriptors.stats,
        }
    }

    /// A generation with these sections is about to be started.
    pub fn prepare(&mut self, generation: Generation, declared: Option<Declared>) {
        match declared {
            Some(declared) => self.declared.insert(generation, declared),
            None => self.declared.remove(&generation),
        };
    }

    /// Whether a generation with sections is about to serve.
    pub fn has_declared(&self, generation: Generation) -> bool {
        self.declared.contains_key(&generation)
    }

    /// It will never serve.
    pub fn forget(&mut self, generation: Generation) {
        self.declared.remove(&generation);
    }

    /// The generation serves: its sections.
    pub fn declared_by(&mut self, generation: Generation) -> Option<Declared> {
        let declared = self.declared.remove(&generation);
        self.declared.retain(|one, _| *one > generation);
        declared
    }

    /// It has no program: that is for the core if the former generation had some.
    pub fn none(&mut self, generation: Generation) -> Option<Event> {
        self.current.take()?;
        Some(Event::Programs { generation, sections: Vec::new(), on_death: OnDeath::Restart })
    }

    /// It has these, which are started from now on.
    pub fn some(&mut self, generation: Generation, declared: Declared) -> Event {
        let (sections, on_death) = (declared.sections.clone(), declared.on_death);
        self.current = Some(declared);
        Event::Programs { generation, sections, on_death }
    }

    /// Nothing is said of one that is forked: [`News::Executed`] follows, or its end.
    fn start(&mut self, id: ProgramId, section: &ProgramSpec) -> Option<Happened> {
        let Some(current) = &self.current else {
            return Some(Happened::NotStarted(id, "its section is gone".to_owned()));
        };
        let environment =
            current.environment.variables(self.local_peer.as_deref(), self.master_cli.as_deref());
        let streams = match self.log.format {
            LogFormat::Text => Ok(None),
            LogFormat::Json => process::listen(&section.name, self.log, &mut self.listening).map(Some),
        };
        let command = section.command.first().cloned().unwrap_or_default();
        let started = streams.and_then(|streams| {
            child::spawn_program(section, environment, current.rights, self.open_files, streams)
        });
        match started {
            Ok(Forked { pid, exec }) => {
                let (settled, news) = (exec.clone().settled(), self.news.clone());
                self.running.insert(pid, Sidecar { id, command, exec: Some(exec) });
                tokio::spawn(async move {
                    settled.await;
                    let _ = news.send(News::Executed(pid));
                });
                None
            }
            Err(error) => Some(not_started(id, &command, &error)),
        }
    }

    /// Whether it is known by now what became of a process, if that has not been said.
    fn known(&mut self, pid: u32) -> Option<Happened> {
        let one = self.running.get_mut(&pid)?;
        match one.exec.as_ref()?.outcome()? {
            Ok(()) => {
                one.exec = None;
                Some(Happened::Started(one.id, pid))
            }
            Err(error) => {
                let one = self.running.remove(&pid)?;
                Some(not_started(one.id, &one.command, &error))
            }
        }
    }

    /// It is known what became of a process.
    pub fn executed(&mut self, pid: u32) -> Option<Event> {
        self.known(pid).map(Event::Program)
    }

    /// The process is gone, if it was one of ours. It may be that nothing was said of its beginning.
    pub fn ended(&mut self, pid: u32, status: ExitStatus) -> impl Iterator<Item = Event> {
        let begun = self.known(pid);
        let ended = self.running.remove(&pid).map(|one| end(one.id, status));
        begun.into_iter().chain(ended).map(Event::Program)
    }

    /// Does something with a program.
    pub fn carry_out(&mut self, action: ProgramAction) -> Option<Event> {
        match action {
            ProgramAction::Start(id, section) => self.start(id, &section).map(Event::Program),
            ProgramAction::Tell(id, told) => {
                if let Some((pid, _)) = self.running.iter().find(|(_, one)| one.id == id) {
                    process::tell(*pid, told);
                }
                None
            }
            // Those come as reports of the supervisor.
            ProgramAction::Report(_) => None,
        }
    }

    /// HAProxy's end of the private stats socket, which is none of a program's.
    pub fn private(&self) -> ChildFd {
        self.private
    }

    /// What programs have said before they ended is written; what they have started may go on saying something.
    pub async fn hear_out(&mut self) {
        let until = tokio::time::Instant::now() + standard_error::REST;
        for one in std::mem::take(&mut self.listening) {
            let _ = tokio::time::timeout_at(until, one).await;
        }
    }
}

fn not_started(id: ProgramId, command: &str, error: &io::Error) -> Happened {
    Happened::NotStarted(id, format!("executing `{command}`: {error}"))
}

fn end(id: ProgramId, status: ExitStatus) -> Happened {
    let how = reaper::end(status).to_string();
    // As HAProxy's master does it (`mworker_catch_sigchld`): 130 and 143 are SIGINT and SIGTERM.
    let wanted = matches!(status.code(), Some(0 | 130 | 143)) || matches!(status.signal(), Some(2 | 15));
    Happened::Ended(id, if wanted { ProgramEnd::Wanted(how) } else { ProgramEnd::Failed(how) })
}
