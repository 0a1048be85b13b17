//! Starting a generation and letting it prove itself.
//!
//! ```text
//!   Clearway                                  HAProxy (one generation)
//!      | fork, exec: -W -db ... -S sockpair@M -x sockpair@N -f /proc/self/fd/O
//!      |                                         |
//!      |   N  <---------- _getsocks ------------ |   before it binds, if custody has anything
//!      |   N  ----------- sockets -------------> |
//!      |                                         |   binds what is new, forks its worker
//!      |   S  ---------- show info ------------> |   waits in the socket until the worker polls:
//!      |   S  <------- the worker's pid -------- |   the answer is the proof that it accepts
//!      |   S  ---------- _getsocks ------------> |
//!      |   S  <---------- sockets -------------- |   whose inodes tell what was adopted
//!      v                                         v
//! ```
//!
//! | descriptor in the child | what |
//! |---|---|
//! | S | HAProxy's end of the private stats socket: a socket pair, so that there is no name to connect to |
//! | O | the overlay, a sealed memfd: nothing has to be written, a read-only root will do |
//! | M | HAProxy's end of the master CLI, which answers while a generation drains |
//! | N | HAProxy's end of the pair over which it asks for its listening sockets, if there are any |
//! | L | the script that tells Lua code the names of the user's files, if that loads some |
//!
//! The two conversations block, so each has a thread of its own that lives as long as the proof; if
//! HAProxy dies, both see the end of their connection. Neither thread ever forks.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::settings::LogFormat;
use clearway_core::strategy::Strategy;
use clearway_haproxy::command_line::{ChildFd, GenerationFiles};
use clearway_haproxy::configuration::{BindLines, Configuration};
use clearway_haproxy::drift::Imprint;
use clearway_haproxy::inventory::SocketIdentity;
use clearway_haproxy::overlay::Overlay;
use clearway_haproxy::runtime::{Channel, CliCommand, CliResponse};
use clearway_haproxy::sockpair;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::Shutdown;
use rustix::process::{Pid, PidfdFlags};
use tracing::{debug, info, warn};

use crate::custody::backlog;
use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::cutover::redirection::Private;
use crate::fleet::News;
use crate::fleet::carry;
use crate::fleet::child::{self, Streams};
use crate::fleet::hand_over::{Beside, hand_over};
use crate::fleet::master::Master;
use crate::fleet::memory::FirstToGo;
use crate::fleet::named::NamedFiles;
use crate::fleet::prepare::{Hears, Prepared, shown};
use crate::fleet::prove::{Expected, prove, tell};
use crate::fleet::reading::Files;
use crate::fleet::standard_error::StandardError;
use crate::ground::aside;
use crate::shell::Shell;
use crate::tell::output;
use crate::tell::voice::{Speaker, Stream, Voice};

/// The process that accepts connections: not our child, so it has a handle that no other process can
/// come to stand behind.
#[derive(Debug)]
pub struct Worker {
    /// Its number.
    pub pid: u32,
    /// Its handle (pidfd, Linux 5.3).
    pub handle: OwnedFd,
}

/// A generation that has a process.
#[derive(Debug)]
pub struct Running {
    /// HAProxy's master, our child.
    pub pid: u32,
    /// The process that accepts connections, once it has proved itself.
    pub worker: Option<Worker>,
    /// What it says on standard error.
    pub words: StandardError,
    /// What it was started with, until it accepts: what helps if it does not come to that depends on it.
    pub configuration: Option<Arc<Configuration>>,
    /// What tells whether the files on disk still say that.
    pub imprint: Arc<Imprint>,
    /// The same for what it names.
    pub named: Option<Arc<NamedFiles>>,
    /// Our end of the master CLI.
    master_cli: OwnedFd,
    /// Our end of the private stats socket, which nobody uses after the proof. If it were closed, HAProxy would find
    /// its own always ready to accept from, and spin (docs/decisions/0001).
    _stats: OwnedFd,
    /// Its private ports, if it has some.
    pub private: Option<Private>,
    /// What it has proved to use; custody at the commit.
    pub proved: Option<Arc<Sockets>>,
    /// Our end of the `_getsocks` pair, closed as soon as the question is settled: a conversation that
    /// never comes must not hold sockets.
    handover: Option<OwnedFd>,
    /// How many bytes it had when it had just proved itself.
    pub needed: Option<u64>,
    /// Lets the thread go on that carries the state of the servers over, once.
    pub carry: Option<carry::Go>,
    /// Set as long as the kernel shall kill it before any other, if memory runs out.
    first_to_go: Option<FirstToGo>,
}

impl Running {
    /// Takes note of the worker. It has told its number itself, so that is believed only if the process is
    /// a child of our child: a worker that lies must not make us signal somebody else.
    pub fn know_worker(&mut self, pid: u32) {
        self.configuration = None;
        let named = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let handle = named.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        // Looked at while the handle keeps the number from being used again.
        let parent = parent_of(pid);
        self.worker = handle.filter(|_| parent == Some(self.pid)).map(|handle| Worker { pid, handle });
        if self.worker.is_none() {
            warn!("process {pid} says that it is the worker of {}, which is not its parent", self.pid);
        }
    }

    /// Its master, to be looked after, once its worker is known.
    pub fn master(&self, generation: Generation) -> Option<Master> {
        let worker = self.worker.as_ref()?.pid;
        let cli = self.master_cli.try_clone().ok()?;
        Some(Master { generation, pid: self.pid, worker, cli, heard: self.words.heard() })
    }

    /// Its master and its worker.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        [Some(self.pid), self.worker.as_ref().map(|worker| worker.pid)].into_iter().flatten()
    }

    /// It serves: from now on it is as dear as any other.
    pub fn keep(&mut self) {
        if let Some(mark) = self.first_to_go.take() {
            mark.take_back(self.processes());
        }
    }

    /// It will not be committed: it keeps no socket open that nobody will accept on.
    pub fn give_up(&mut self) {
        self.settle();
        self.proved = None;
        self.end_carrying();
    }

    /// Ends the handing over of sockets, whether it was used or not.
    pub fn settle(&mut self) {
        if let Some(end) = self.handover.take() {
            let _ = rustix::net::shutdown(end, Shutdown::Both);
        }
    }
}

impl Shell {
    /// Starts a prepared generation; what comes of it arrives as events.
    pub fn launch(&mut self, generation: Generation, mut prepared: Prepared) -> Result<Running, Failure> {
        let cannot = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(ExitCode::Internal, format!("starting HAProxy: {what}: {error}"))
        };
        let (stats, stats_child) = sockpair::pair().map_err(|error| cannot("private socket", &error))?;
        let to_prove = stats.try_clone().map_err(|error| cannot("private socket", &error))?;
        let (master_cli, master_child) = sockpair::pair().map_err(|error| cannot("master CLI", &error))?;
        let numbers = self.fleet.descriptors;
        let mut descriptors = vec![(numbers.stats, stats_child), (numbers.master_cli, master_child)];
        descriptors.extend(self.overlay(&prepared.overlay).map_err(|error| cannot("overlay", &error))?);
        let (sockets, selection) = (self.custody.sockets(), std::mem::take(&mut prepared.selection));
        // Only the identities: to keep them must not keep a socket open that everybody else lets go.
        let held: Vec<SocketIdentity> = selection.of(&sockets).map(|held| held.identity.clone()).collect();
        let limits = backlog::known(selection.of(&sockets));
        let (shuffled, hears) = (sockets.shuffled().clone(), prepared.hears);
        self.look_who_listens(hears);
        let handover = if held.is_empty() {
            None
        } else {
            let (ours, theirs) = sockpair::pair().map_err(|error| cannot("handover", &error))?;
            descriptors.push((numbers.sockets, theirs));
            Some(ours)
        };
        let files = GenerationFiles {
            overlay: numbers.overlay.path(),
            master_cli: Some(numbers.master_cli),
            sockets_from: handover.is_some().then_some(numbers.sockets),
            told: self.predecessor_of(&prepared.configuration, hears),
            copies: self.copies(&prepared.files, &mut descriptors).map_err(|error| cannot("copy", &error))?,
        };
        let arguments: Vec<OsString> = self.fleet.invocation.supervised_arguments(&files);
        debug!("exec {} {}", self.fleet.executable.name().display(), shown(&arguments));
        let names = names_of_copies(&prepared.files, files.copies.as_deref());
        let (words, streams) = self
            .streams(generation, names)
            .map_err(|error| cannot("its standard output and error", &error))?;
        let to_hand_over = handover.as_ref().map(OwnedFd::try_clone).transpose();
        let to_hand_over = to_hand_over.map_err(|error| cannot("handover", &error))?;
        let program = self.fleet.executable.name();
        let process =
            child::spawn(program, arguments, descriptors, streams, prepared.rights, numbers.limit, hears)
                .map_err(|error| Failure { code: ExitCode::NoHaproxy, ..cannot("exec", &error) })?;
        // From here on there is a process, which may serve: nothing may fail until it is known.
        let first_to_go = FirstToGo::make(process.id(), self.fleet.running.is_empty());

        let asked = Arc::new(OnceLock::new());
        if let Some(end) = to_hand_over {
            let (limit, asked) = (self.settings.ready_timeout, Arc::clone(&asked));
            let beside = self.beside(&prepared.configuration, hears);
            aside::spawn("handing the listening sockets over", move || {
                let offer: Vec<&Held> = selection.of(&sockets).collect();
                hand_over(&end, &offer, &sockets, &beside, limit, &asked);
            });
        }
        let carry = self.begin_to_carry(generation, &stats, &prepared);
        let (limit, news) = (self.settings.ready_timeout, self.fleet.news.clone());
        let publics =
            self.cutover.redirection.names(prepared.private.as_ref().map_or(&[], |private| &private.ways));
        let configuration = prepared.configuration;
        let started_with = Some(Arc::clone(&configuration));
        let frontend_maxconn = self.fleet.invocation.frontend_maxconn.filter(|number| *number > 0);
        let master = process.id();
        let begun = aside::spawn("letting a generation prove itself", move || {
            let lines = BindLines::of(&configuration);
            let expected = Expected {
                publics: &publics,
                held: &held,
                limits: &limits,
                shuffled: &shuffled,
                lines: &lines,
                frontend_maxconn,
            };
            let mut outcome = prove(&to_prove, &expected, limit, &|worker| {
                let _ = news.send(News::Answered { generation, worker });
            });
            if let Ok(proven) = &mut outcome {
                proven.remember(asked.get(), &lines);
                proven.tidy(hears, master);
            }
            tell(&news, generation, outcome);
        });
        if !begun || (carry.is_none() && prepared.overlay.rate_limit.is_some()) {
            let message = "HAProxy was started, and cannot be asked whether it is ready";
            tell(&self.fleet.news, generation, Err(Failure::new(ExitCode::Internal, message)));
        }
        Ok(Running {
            pid: process.id(),
            worker: None,
            words,
            configuration: started_with,
            imprint: prepared.imprint,
            named: prepared.named,
            master_cli,
            _stats: stats,
            private: prepared.private,
            proved: None,
            handover,
            needed: None,
            carry,
            first_to_go,
        })
    }
}

impl Shell {
    /// What listens to a generation, and where that goes for HAProxy.
    pub fn streams(
        &self,
        generation: Generation,
        names: Vec<(String, String)>,
    ) -> io::Result<(StandardError, Streams)> {
        let log = self.settings.log;
        let voice = |stream| Voice::of(Speaker::Haproxy(generation), stream, log);
        let (words, stderr) = StandardError::listen(voice(Stream::Stderr), names)?;
        let stdout = match log.format {
            LogFormat::Text => None,
            LogFormat::Json => output::pass_to_stdout(voice(Stream::Stdout))?,
        };
        Ok((words, Streams { stdout, stderr }))
    }

    /// Begins to carry the state of the servers over, if there is any. Without the thread nothing would lift the limit.
    pub fn begin_to_carry(
        &self,
        generation: Generation,
        stats: &OwnedFd,
        prepared: &Prepared,
    ) -> Option<carry::Go> {
        if !prepared.carries {
            return None;
        }
        let carry = carry::Carry {
            generation,
            private: carry::PrivateSocket::of(stats.try_clone().ok()?, carry::QUESTIONS),
            configuration: Arc::clone(&prepared.configuration),
            rate_limit: prepared.overlay.rate_limit,
            ready: self.settings.ready_timeout,
            news: self.fleet.news.clone(),
        };
        carry.begin(self.question())
    }

    /// Who listens beside us before HAProxy does.
    pub fn look_who_listens(&self, hears: Hears) {
        if hears == Hears::Nothing {
            return;
        }
        let sockets = self.custody.sockets();
        if sockets.is_empty() {
            self.cutover.others.begin();
        } else if !self.peers.succession.has_predecessor() {
            self.cutover.others.begin_with(&sockets);
        }
    }

    /// The pid that a generation from these files is told of as its predecessor, if one drains for it that may have
    /// stick tables to pass on.
    pub fn predecessor_of(&mut self, configuration: &Configuration, hears: Hears) -> Option<u32> {
        let drains = self.fleet.serving.is_some() || self.peers.succession.has_predecessor();
        if hears == Hears::Clients && drains && configuration.has_peers() {
            self.fleet.stand_in.pid()
        } else {
            None
        }
    }

    /// What a generation from these files is to bind beside the one that serves.
    pub fn beside(&self, configuration: &Configuration, hears: Hears) -> Beside {
        let alone = configuration.global.noreuseport.is_some()
            || self.fleet.invocation.passed.iter().any(|word| word == "-dR");
        // Without a listening socket nobody waits that it would have to take over.
        let strategy = if hears == Hears::Nothing { Strategy::Handoff } else { self.settings.strategy };
        Beside::of(strategy, self.fleet.serving.as_ref(), !alone)
    }

    /// The overlay, and the script that it loads, if it does.
    pub fn overlay(&self, overlay: &Overlay) -> io::Result<Vec<(ChildFd, OwnedFd)>> {
        let text = memory_file("clearway-overlay", overlay.to_string().as_bytes())?;
        let mut files = vec![(self.fleet.descriptors.overlay, text)];
        if let Some(lua) = &overlay.lua {
            files.push((lua.script, memory_file("clearway-lua", &lua.text())?));
        }
        Ok(files)
    }

    /// Copies of the configuration files as descriptors of the child, and their paths there.
    pub fn copies(
        &self,
        files: &Files,
        descriptors: &mut Vec<(ChildFd, OwnedFd)>,
    ) -> io::Result<Option<Vec<PathBuf>>> {
        let Files::Copies(configuration) = files else { return Ok(None) };
        let numbers = (self.fleet.descriptors.copies.0..).map(ChildFd);
        let mut paths = Vec::new();
        for (file, number) in configuration.files.iter().zip(numbers) {
            info!("the copy of {} is {}", file.name.display(), number.path().display());
            descriptors.push((number, memory_file("clearway-configuration", &file.bytes)?));
            paths.push(number.path());
        }
        Ok(Some(paths))
    }
}

/// What HAProxy calls the copies, and the files that they are copies of.
fn names_of_copies(files: &Files, copies: Option<&[PathBuf]>) -> Vec<(String, String)> {
    let Files::Copies(configuration) = files else { return Vec::new() };
    let names = configuration.files.iter().zip(copies.unwrap_or_default());
    names.map(|(file, copy)| (copy.display().to_string(), file.name.display().to_string())).collect()
}

/// The parent of a process, from `/proc/PID/stat`, whose second field may hold anything in parentheses.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(1)?.parse().ok()
}

/// A file that only we and the child can see, and that nobody can change any more.
fn memory_file(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = std::fs::File::from(rustix::fs::memfd_create(name, flags)?);
    // It may hold passwords.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file.into())
}

/// How long a generation may take to say how many sessions it has: for a status, and before it is cut.
pub const QUESTIONS: Duration = Duration::from_millis(300);

/// The same for one of several generations. One that does not answer is cut first, so a busy machine must be no reason.
pub const ONE_OF_SEVERAL: Duration = Duration::from_secs(1);

/// What is needed to ask how many sessions a generation has: sent to a thread, away from the loop.
#[derive(Debug)]
pub struct Sessions {
    master_cli: OwnedFd,
    worker: u32,
}

impl Running {
    /// The question to this generation, if it has a worker that can be asked.
    pub fn sessions(&self) -> Option<Sessions> {
        let worker = self.worker.as_ref()?.pid;
        Some(Sessions { master_cli: self.master_cli.try_clone().ok()?, worker })
    }
}

impl Sessions {
    /// Asks the worker for its environment (`show env`), one variable a line. Blocks, for so long at most.
    pub fn environment(&self, limit: Duration) -> Option<String> {
        self.tell(&CliCommand::show_env(), limit).map(|answer| answer.text)
    }

    /// Asks the worker for the state of its servers. Blocks likewise.
    pub fn servers_state(&self, limit: Duration) -> Option<CliResponse> {
        self.tell(&CliCommand::show_servers_state(), limit)
    }

    /// Asks which sessions it has. Blocks, until `deadline` at most.
    pub fn list(&self, deadline: Instant) -> Option<Vec<clearway_haproxy::runtime::SessionLine>> {
        let limit = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        self.tell(&CliCommand::show_sessions(), limit).map(|answer| answer.sessions())
    }

    fn tell(&self, command: &CliCommand, limit: Duration) -> Option<CliResponse> {
        let connection = sockpair::dial(&self.master_cli).ok()?;
        let answer = command.at_worker(self.worker).ask(&connection, Channel::Master, limit);
        answer.inspect_err(|error| debug!("{error}")).ok()
    }

    /// Asks the master CLI, which answers also while the worker drains. Blocks, until `deadline` at most.
    pub fn ask(&self, deadline: Instant) -> Option<u64> {
        let limit = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        let connection = sockpair::dial(&self.master_cli).ok()?;
        let answer = CliCommand::show_info().at_worker(self.worker).ask(&connection, Channel::Master, limit);
        match answer.and_then(|answer| answer.info()) {
            Ok(info) => Some(info.current_connections),
            Err(error) => {
                debug!("the master CLI did not say how many sessions worker {} has: {error}", self.worker);
                None
            }
        }
    }
}

/// The generation that was committed last, as long as its process lives.
#[derive(Debug)]
pub struct Serving {
    pub generation: Generation,
    /// Cleared when it is gone: seen by the thread that hands its sockets over.
    pub alive: Arc<AtomicBool>,
}

impl Serving {
    pub fn begins(generation: Generation) -> Self {
        Self { generation, alive: Arc::new(AtomicBool::new(true)) }
    }

    pub fn ends(self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}
