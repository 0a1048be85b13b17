//! `clearway run`: the supervising loop.
//!
//! Signals, ended children, the admin socket, the threads that prove a generation, and the clock: each
//! becomes an event for the core, and what the core answers is carried out by the shell, in order.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use clearway_core::arrival::{Arrival, Heard};
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::settings::{LogFormat, Settings};
use clearway_core::supervisor::{Asker, Event, Limits, Supervisor, longest_reload};
use clearway_haproxy::command_line::{Invocation, InvocationPurpose};
use clearway_kernel::capabilities::{self, Capability};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::custody::Custody;
use crate::cutover::strategies;
use crate::fleet::Fleet;
use crate::fleet::child::Descriptors;
use crate::fleet::open_files::OpenFiles;
use crate::front::Front;
use crate::ground::notice::tell;
use crate::ground::{aside, due, steps};
use crate::path;
use crate::peers::place::{self, Place};
use crate::peers::succession::{Succession, door};
use crate::peers::takeover::{self, Inheritance, Kept, NotGiven};
use crate::peers::wire::{Door, Wire};
use crate::peers::{Peers, hold};
use crate::shell::{self, Outcome, Shell};
use crate::tell::systemd::{Stored, Systemd};
use crate::tell::{Tell, log, output};
use crate::{command, execute};

mod notices;

pub use notices::RuntimeNotice;

/// The volume of images that had the kernel bind addresses of clients by a sysctl.
const VOLUME: &str = "/var/proc/sys/net/ipv4/ip_nonlocal_bind";

/// How long the last lines of the log may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Supervises HAProxy until a stop; or executes HAProxy in place if it is only asked for something.
pub fn run(settings: Settings, arguments: Vec<OsString>) -> ExitCode {
    let invocation = match command::invocation(arguments) {
        Ok(invocation) => invocation,
        Err(failure) => {
            let code = failure.code;
            refuse(&settings, failure);
            return code;
        }
    };
    if invocation.purpose == InvocationPurpose::AskOnly {
        return execute::in_place(&invocation.program, &invocation.arguments);
    }
    let stored = Stored::take(|name| std::env::var_os(name));
    let open_files = OpenFiles::raise();
    let descriptors = Descriptors::beside_inherited(&stored.numbers, open_files.given);
    log::init(settings.log);
    open_files.tell();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(ExitCode::Internal, format!("starting the event loop: {error}"));
            tell(&RuntimeNotice::Failed { failure });
            return ExitCode::Internal;
        }
    };
    let code =
        runtime.block_on(supervise(settings, invocation, descriptors, stored)).unwrap_or_else(|failure| {
            let code = failure.code;
            tell(&RuntimeNotice::Failed { failure });
            code
        });
    // A thread that waits for another Clearway must not hold up the end.
    runtime.shutdown_background();
    output::wait_for_stdout(LAST_WORDS);
    output::flush(LAST_WORDS);
    code
}

/// Says why nothing is begun: to a person, or to what reads the log if that is to be JSON.
fn refuse(settings: &Settings, failure: Failure) {
    if settings.log.format == LogFormat::Text {
        return command::complain(&failure);
    }
    log::init(settings.log);
    tell(&RuntimeNotice::Failed { failure });
    output::flush(LAST_WORDS);
}

async fn supervise(
    settings: Settings,
    invocation: Invocation,
    descriptors: Descriptors,
    stored: Stored,
) -> Result<ExitCode, Failure> {
    // Before anything is started: PID 1 has no default actions, and nothing may be missed.
    let mut signals = Signals::install()
        .map_err(|error| Failure::new(ExitCode::Internal, format!("installing signal handlers: {error}")))?;
    introduce(&settings, &invocation);
    strategies::check(settings.strategy)?;
    let begun = tokio::select! {
        biased;
        code = stopped(&mut signals) => return Ok(code),
        begun = begin(&settings) => begun?,
    };
    let (mut place, inheritance) = begun;
    sweep(&settings);
    steps::at("asks", &"Holder");
    let holder = ask_holder(&settings).await;

    let front = Front::new();
    let fleet = Fleet::new(&settings, invocation, descriptors);
    let (inner_sender, inner) = mpsc::unbounded_channel();
    let custody = Custody::new();
    let systemd = Systemd::of_this_process(stored, |name| std::env::var_os(name), custody.subscribe());
    let mut succession =
        Succession::new(&settings, front.requests(), inner_sender.clone(), custody.subscribe());
    if let Some(file) = place.file() {
        succession.serve_file(file);
    }
    if let Some(lock) = place.lock() {
        succession.hold_the_name(lock);
    }
    let limits = Limits {
        stop_delay: settings.stop_delay,
        drain: settings.drain_timeout,
        takeover_drain: settings.takeover_drain,
        ready: settings.ready_timeout,
        settle: settings.settle,
        old: settings.old,
    };
    let mut clearway = Clearway {
        core: Supervisor::new(limits),
        shell: Shell::new(
            settings,
            (inner_sender, inner),
            custody,
            fleet,
            Peers::new(succession, place),
            front,
            Tell::new(systemd),
        ),
        begun: Instant::now(),
    };
    if let Some(inheritance) = inheritance {
        clearway.shell.inherit(inheritance)?;
        clearway.core = clearway.core.succeeding();
    }
    clearway.shell.begin_with(holder);
    let mut exit = clearway.take(Event::Begin);
    while exit.is_none() {
        let deadline = clearway.core.next_deadline().map(|at| clearway.begun + at);
        exit = tokio::select! {
            biased;
            news = clearway.shell.next() => clearway.take_news(news),
            news = signals.next() => clearway.take_signal(news),
            () = due::at(deadline) => clearway.take(Event::TimePassed),
        };
    }
    let code = exit.unwrap_or(ExitCode::Internal);
    clearway.shell.front.end(code);
    clearway.shell.peers.succession.finish().await;
    clearway.shell.fleet.hear_programs_out().await;
    Ok(code)
}

/// Takes the name, or the sockets of whoever has it: whoever dies meanwhile leaves it to us. How often that is tried, the
/// core says ([`Arrival`]).
async fn begin(settings: &Settings) -> Result<(Place, Option<Inheritance>), Failure> {
    let (instance, directory) = (settings.instance.as_ref(), &settings.run_directory);
    // It answers when its own reload is over.
    let patience = longest_reload(settings.ready_timeout, settings.settle);
    let mut arrival = Arrival::default();
    loop {
        let taken = match Place::take(instance, directory) {
            Ok(place) => return Ok((place, None)),
            Err(failure) => failure,
        };
        let Some(name) = instance.filter(|_| taken.code == ExitCode::InstanceTaken) else {
            return Err(taken);
        };
        let door = door(name.as_str(), settings);
        steps::at("asks", &"Predecessor");
        let (heard, failure) = match takeover::knock(&door)? {
            None => (Heard::Nobody, taken),
            Some(wire) => match ask(wire, door, patience).await {
                Ok(inheritance) => return Ok((Place::beside(name, directory), Some(inheritance))),
                Err(NotGiven::Gone(failure)) => (Heard::Gone, failure),
                Err(NotGiven::NotYet(failure)) => (Heard::NotYet, failure),
                Err(NotGiven::Refused(failure)) => return Err(failure),
            },
        };
        let Some(pause) = arrival.hear(heard) else { return Err(failure) };
        if heard != Heard::Nobody {
            tell(&RuntimeNotice::TakeoverRetried { error: failure.message });
        }
        tokio::time::sleep(pause).await;
    }
}

/// Asks for the sockets, beside the loop: it may be busy with a reload, which may take long.
async fn ask(wire: Wire, door: Door, limit: Duration) -> Result<Inheritance, NotGiven> {
    let without_a_thread =
        format!("taking over from the Clearway at {door}: no thread can be started for it");
    let asked = aside::outcome_of("taking over", move || takeover::ask(wire, &door, limit)).await;
    asked.unwrap_or_else(|| {
        let failure = Failure::new(ExitCode::Internal, without_a_thread);
        Err(NotGiven::Refused(failure.hint(aside::LIMIT_REACHED)))
    })
}

/// The holder of this instance, and what it has. Whatever is wrong with it, we begin without.
async fn ask_holder(settings: &Settings) -> Option<Kept> {
    let name = settings.instance.as_ref()?;
    let door = hold::door(name.as_str(), settings);
    let asked = aside::outcome_of("asking the holder", move || takeover::ask_holder(&door)).await?;
    asked.map_err(|failure| tell(&RuntimeNotice::HolderUnusable { error: failure.message })).ok().flatten()
}

/// A stop before anything has begun.
async fn stopped(signals: &mut Signals) -> ExitCode {
    loop {
        if let News::Stop(name) = signals.next().await {
            tell(&RuntimeNotice::StoppedEarly { by: name.to_owned() });
            return ExitCode::Done;
        }
    }
}

/// The core and the shell together.
struct Clearway {
    core: Supervisor,
    shell: Shell,
    begun: Instant,
}

impl Clearway {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Tells the core, and carries out what it answers, until there is nothing more to do.
    fn take(&mut self, event: Event) -> Option<ExitCode> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            steps::at("takes", &event);
            for action in self.core.step(event, self.now()) {
                steps::at("does", &action);
                match self.shell.carry_out(action) {
                    Outcome::Nothing => {}
                    Outcome::Event(event) => events.push_back(event),
                    Outcome::Exit(code) => return Some(code),
                }
            }
        }
        None
    }

    fn take_news(&mut self, news: shell::News) -> Option<ExitCode> {
        let now = self.now();
        let event = self.shell.hear(news, &self.core, now);
        self.take(event)
    }

    fn take_signal(&mut self, news: News) -> Option<ExitCode> {
        match news {
            News::Children => self.shell.reap().into_iter().find_map(|event| self.take(event)),
            News::Reload(name) => self.take(Event::ReloadAsked(Asker::Signal(name))),
            News::Stop(name) => self.take(Event::StopAsked(Asker::Signal(name))),
        }
    }
}

/// What a signal means.
#[derive(Clone, Copy)]
enum News {
    Children,
    Reload(&'static str),
    Stop(&'static str),
}

struct Signals {
    child: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> News {
        tokio::select! {
            Some(()) = self.child.recv() => News::Children,
            Some(()) = self.term.recv() => News::Stop("SIGTERM"),
            Some(()) = self.int.recv() => News::Stop("SIGINT"),
            Some(()) = self.usr1.recv() => News::Stop("SIGUSR1"),
            Some(()) = self.hup.recv() => News::Reload("SIGHUP"),
            Some(()) = self.usr2.recv() => News::Reload("SIGUSR2"),
            else => std::future::pending().await,
        }
    }
}

/// The first lines of the log: who this is, and what becomes of what it was given.
fn introduce(settings: &Settings, invocation: &Invocation) {
    tell(&RuntimeNotice::Starting {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        instance: settings.instance.clone(),
        strategy: settings.strategy,
    });
    for handled in &invocation.handled {
        tell(&RuntimeNotice::ArgumentReplaced { detail: handled.to_string() });
    }
    log::strays();
    // A root shell on a host has everything; SYS_MODULE without SYS_ADMIN was given on purpose.
    let given = |held: capabilities::Set| held.has(Capability::SysModule) && !held.has(Capability::SysAdmin);
    if capabilities::effective().is_ok_and(given) {
        tell(&RuntimeNotice::SysModuleNotNeeded);
    }
    if Path::new(VOLUME).exists() {
        tell(&RuntimeNotice::VolumeNotNeeded { path: VOLUME.to_owned() });
    }
}

/// What a dead predecessor left in the kernel goes now; what a living one uses stays.
fn sweep(settings: &Settings) {
    let sockets = place::remove_dead(&settings.run_directory);
    if !sockets.is_empty() {
        tell(&RuntimeNotice::AdminSocketsRemoved { paths: sockets });
    }
    if !capabilities::has(Capability::NetAdmin) {
        return;
    }
    path::plumbing::sweep(&settings.interception);
}
