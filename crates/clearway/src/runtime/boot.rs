//! The start: what must be done before the loop runs, in this order.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::settings::{LogFormat, Settings};
use clearway_core::supervisor::{Limits, Supervisor};
use clearway_haproxy::command_line::{Invocation, InvocationPurpose};
use clearway_kernel::capabilities::{self, Capability};

use crate::cli::{self, invocation::invocation};
use crate::custody::Custody;
use crate::cutover::strategies;
use crate::fleet::Fleet;
use crate::fleet::child::Descriptors;
use crate::fleet::open_files::OpenFiles;
use crate::front::Front;
use crate::front::master_cli::socket::MasterCliPlace;
use crate::front::public::PublicPlaces;
use crate::ground::notice::tell;
use crate::ground::{aside, execute, print};
use crate::path;
use crate::peers::beginning::arrive;
use crate::peers::{Peers, admin_socket, names};
use crate::runtime::event_loop::EventLoop;
use crate::runtime::notices::RuntimeNotice;
use crate::runtime::signals::{SignalNews, Signals};
use crate::shell::Shell;
use crate::tell::events::Events;
use crate::tell::systemd::{Stored, Systemd};
use crate::tell::{Tell, log, output};

/// The volume of images that had the kernel bind addresses of clients by a sysctl.
const VOLUME: &str = "/var/proc/sys/net/ipv4/ip_nonlocal_bind";

/// How long the last lines of the log may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Supervises HAProxy until a stop; or executes HAProxy in place if it is only asked for something.
pub fn run(settings: Settings, arguments: Vec<OsString>) -> ExitCode {
    let invocation = match invocation(arguments) {
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
    let addresses = match MasterCliPlace::take(&invocation.master_cli) {
        Ok(addresses) => addresses,
        Err(failure) => {
            let code = failure.code;
            refuse(&settings, failure);
            return code;
        }
    };
    let open_files = OpenFiles::raise();
    let descriptors = Descriptors::beside_inherited(&stored.numbers, open_files.given);
    let events = Events::new(names::nonce());
    log::init(settings.log, Some(events.clone()));
    open_files.tell();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(ExitCode::Internal, format!("starting the event loop: {error}"));
            tell(&RuntimeNotice::Failed { failure });
            return ExitCode::Internal;
        }
    };
    let code = runtime
        .block_on(supervise(settings, invocation, addresses, events, descriptors, stored))
        .unwrap_or_else(|failure| {
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
        return print::complain(&failure);
    }
    log::init(settings.log, None);
    tell(&RuntimeNotice::Failed { failure });
    output::flush(LAST_WORDS);
}

async fn supervise(
    settings: Settings,
    invocation: Invocation,
    addresses: Vec<MasterCliPlace>,
    events: Events,
    descriptors: Descriptors,
    stored: Stored,
) -> Result<ExitCode, Failure> {
    // Before anything is started: PID 1 has no default actions, and nothing may be missed.
    let mut signals = Signals::install()
        .map_err(|error| Failure::new(ExitCode::Internal, format!("installing signal handlers: {error}")))?;
    introduce(&settings, &invocation);
    strategies::check(settings.strategy)?;
    // HAProxy without `-W` dies by the signal, which what looks at it takes as well as 0, but not for 130.
    let interrupted = if invocation.asks_for_a_master() { ExitCode::Interrupted } else { ExitCode::Done };
    let places = tokio::select! {
        biased;
        code = stopped(&mut signals, interrupted) => return Ok(code),
        places = places(&settings) => places?,
    };
    let fleet = Fleet::new(&settings, invocation, descriptors);
    let newcomer = tokio::select! {
        biased;
        code = stopped(&mut signals, interrupted) => return Ok(code),
        newcomer = arrive(&settings, || fleet.ask_version()) => newcomer?,
    };
    sweep(&settings);

    let front = Front::new(addresses, places, events);
    let custody = Custody::new();
    let systemd = Systemd::of_this_process(stored, |name| std::env::var_os(name), custody.subscribe());
    let peers = Peers::new(&settings, front.server(), custody.subscribe());
    let limits = Limits {
        stop_delay: settings.stop_delay,
        drain: settings.drain_timeout,
        takeover_drain: settings.takeover_drain,
        ready: settings.ready_timeout,
        settle: settings.settle,
        old: settings.old,
        apply: settings.apply,
        interrupted,
    };
    let tell = Tell::new(systemd, custody.subscribe());
    let mut shell = Shell::new(settings, custody, fleet, peers, front, tell);
    let mut core = Supervisor::new(limits);
    if shell.begin(newcomer)? {
        core = core.succeeding();
    }
    // It is large: everything that Clearway has is in it.
    Ok(Box::pin(EventLoop::new(core, shell, signals).run()).await)
}

/// Where the API listens. Its token stands in a file, which may hang.
async fn places(settings: &Settings) -> Result<PublicPlaces, Failure> {
    if settings.admin.is_empty() {
        return Ok(PublicPlaces::default());
    }
    let settings = settings.clone();
    let read = aside::outcome_of("reading the token of the API", move || PublicPlaces::of(&settings)).await;
    read.unwrap_or_else(|| {
        let failure =
            Failure::new(ExitCode::Internal, "reading the token of the API: no thread can be started");
        Err(failure.hint(aside::LIMIT_REACHED))
    })
}

/// A stop before anything has begun.
async fn stopped(signals: &mut Signals, interrupted: ExitCode) -> ExitCode {
    loop {
        if let SignalNews::Stop(name) = signals.next().await {
            tell(&RuntimeNotice::StoppedEarly { by: name.to_owned() });
            return if name == "SIGINT" { interrupted } else { ExitCode::Done };
        }
    }
}

/// The first lines of the log: what has started, and what becomes of what it was given.
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
    cli::tell_strays();
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
    let sockets = admin_socket::remove_dead(&settings.run_directory);
    if !sockets.is_empty() {
        tell(&RuntimeNotice::AdminSocketsRemoved { paths: sockets });
    }
    if !capabilities::has(Capability::NetAdmin) {
        return;
    }
    path::plumbing::sweep(&settings.interception);
}
