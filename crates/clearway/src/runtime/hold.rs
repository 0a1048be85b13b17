//! `clearway hold`: the loop of a holder. Signals, its admin socket, balancers and the clock: each becomes an event for the
//! core ([`Keeping`]), and what the core answers is carried out here, in order.

use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::hints::Hints;
use clearway_core::names::InstanceName;
use clearway_core::peers::hold::{HoldAction, HoldEvent, Keeping};
use clearway_core::settings::Settings;
use clearway_haproxy::runtime::state::Remembered;
use clearway_kernel::capabilities::{self, Capability};
use clearway_kernel::plumbing::{Closing, Swept};
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli;
use crate::custody::held::Held;
use crate::fleet::open_files::OpenFiles;
use crate::front::admin;
use crate::front::api::{Ended, Holding};
use crate::front::clients::Clients;
use crate::ground::due;
use crate::ground::notice::tell;
use crate::ground::settle::settle;
use crate::peers::admin_socket::AdminSocket;
use crate::peers::door::Door;
use crate::peers::hold::Balancers;
use crate::peers::names;
use crate::peers::notices::HolderNotice;
use crate::runtime::notices::RuntimeNotice;
use crate::tell::{log, output};

mod asked;

use asked::Ask;

/// How long the last lines of the log may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How many requests over the admin socket may wait for the loop.
const ASKS: usize = 16;

/// Holds until it is told to end.
pub fn hold(settings: &Settings) -> Result<ExitCode, Failure> {
    let Some(name) = settings.instance.clone() else {
        return Err(Failure::new(ExitCode::Usage, "a holder serves one instance only, and was told none")
            .hint("give it and its balancer the same CLEARWAY_INSTANCE, or `--instance NAME`"));
    };
    let open_files = OpenFiles::raise();
    log::init(settings.log, None);
    cli::tell_strays();
    open_files.tell();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .map_err(|error| Failure::new(ExitCode::Internal, format!("starting the event loop: {error}")))
        .and_then(|runtime| runtime.block_on(serve(settings, &name)));
    output::flush(LAST_WORDS);
    outcome
}

async fn serve(settings: &Settings, name: &InstanceName) -> Result<ExitCode, Failure> {
    let mut stops = Stops::install().map_err(|error| internal("signals", &error))?;
    let listener = listen(settings, name)?;
    tell(&RuntimeNotice::HoldBegun {
        instance: name.clone(),
        after_stop: settings.hold_after_stop.as_secs(),
        after_loss: settings.hold_after_loss.as_secs(),
    });
    let clients = Clients::default();
    let (asks, mut asked) = mpsc::channel(ASKS);
    let admin = be_asked(settings, name, asks, &clients);
    let mut holder = HolderLoop {
        settings,
        name,
        begun: Instant::now(),
        keeping: Keeping::new(settings.hold_after_stop, settings.hold_after_loss),
        balancers: Balancers::new(),
    };
    holder.take(HoldEvent::TimePassed);
    let to_be_told = loop {
        let wake = holder.keeping.due().map(|due| holder.begun + due);
        tokio::select! {
            biased;
            () = stops.next() => break None,
            Some(ask) = asked.recv() => match ask {
                Ask::Status(sender) => {
                    let _ = sender.send(holder.status());
                }
                Ask::Stop(sender) => {
                    tell(&RuntimeNotice::HoldStopRequested);
                    break Some(sender);
                }
            },
            event = holder.balancers.next() => holder.take(event),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => holder.balancers.admit(&stream),
                Err(error) => {
                    tell(&HolderNotice::NotAccepted { error: error.to_string() });
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            () = due::at(wake) => holder.take(HoldEvent::TimePassed),
        }
    };
    tell(&RuntimeNotice::HoldEnded { sockets: holder.keeping.sockets().len() });
    drop((asked, holder, admin));
    if let Some(sender) = to_be_told {
        let _ = sender.send(Ended { code: ExitCode::Done.number() });
    }
    clients.let_go().await;
    Ok(ExitCode::Done)
}

fn internal(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(ExitCode::Internal, format!("{what}: {error}"))
}

/// Where balancers come to.
fn listen(settings: &Settings, name: &InstanceName) -> Result<UnixListener, Failure> {
    let door = Door::of_holder(name, settings);
    let socket = door.listen().map_err(|error| {
        let message = format!("listening as the holder of `{name}` at {door}: {error}");
        Failure::new(ExitCode::InstanceTaken, message)
            .hint("one holder is enough for an instance; end the other one")
    })?;
    UnixListener::from_std(socket.into()).map_err(|error| internal("listening as a holder", &error))
}

/// Makes the admin socket. Without one it holds all the same.
fn be_asked(
    settings: &Settings,
    name: &InstanceName,
    asks: mpsc::Sender<Ask>,
    clients: &Clients,
) -> Option<AdminSocket> {
    let made =
        AdminSocket::aside(&names::holder(name), &settings.run_directory).and_then(|(admin, listener)| {
            listener.set_nonblocking(true)?;
            Ok((admin, UnixListener::from_std(listener)?))
        });
    match made {
        Ok((admin, listener)) => {
            tokio::spawn(admin::serve(listener, None, asked::router(asks), clients.clone()));
            Some(admin)
        }
        Err(error) => {
            tell(&RuntimeNotice::HoldNoAdminSocket { error: error.to_string() });
            None
        }
    }
}

/// The core and its conversations together.
struct HolderLoop<'a> {
    settings: &'a Settings,
    name: &'a InstanceName,
    begun: Instant,
    keeping: Keeping<Held, Remembered>,
    balancers: Balancers,
}

impl HolderLoop<'_> {
    /// Tells the core, and carries out what it answers, until there is nothing more to do.
    fn take(&mut self, event: HoldEvent<Held, Remembered>) {
        let step = |holder: &mut Self, event| holder.keeping.step(event, holder.begun.elapsed());
        settle(self, event, step, Self::carry_out);
    }

    fn carry_out(&mut self, action: HoldAction<Held, Remembered>) -> Option<HoldEvent<Held, Remembered>> {
        match action {
            HoldAction::Give { to, sockets, servers, says } => {
                self.balancers.give(to, sockets, servers, says);
            }
            HoldAction::Look => return self.balancers.look(self.name, self.settings).map(HoldEvent::Found),
            HoldAction::Sweep => sweep(),
            HoldAction::Report(report) => tell(&report),
        }
        None
    }

    /// How the holder is.
    fn status(&self) -> Holding {
        let until = self.keeping.until();
        Holding {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            instance: self.name.to_string(),
            state: "holding".to_owned(),
            balancer_serves: self.keeping.owner().is_some(),
            failed_starts: self.keeping.failed_starts(),
            sockets: self.keeping.sockets().iter().map(|held| held.identity.to_string()).collect(),
            seconds_left: until.map(|until| until.saturating_sub(self.begun.elapsed()).as_secs()),
        }
    }
}

/// Signals that end a holder.
struct Stops {
    ends: [Signal; 3],
    reloads: [(Signal, &'static str); 2],
}

impl Stops {
    fn install() -> std::io::Result<Self> {
        let [term, int, usr1] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::user_defined1()];
        Ok(Self {
            ends: [signal(term)?, signal(int)?, signal(usr1)?],
            reloads: [
                (signal(SignalKind::hangup())?, "SIGHUP"),
                (signal(SignalKind::user_defined2())?, "SIGUSR2"),
            ],
        })
    }

    /// Waits for one; of the others it is said that they mean nothing. Can be cancelled.
    async fn next(&mut self) {
        let ([term, int, usr1], [(hup, first), (usr2, second)]) = (&mut self.ends, &mut self.reloads);
        loop {
            let name = tokio::select! {
                biased;
                _ = term.recv() => return,
                _ = int.recv() => return,
                _ = usr1.recv() => return,
                _ = hup.recv() => *first,
                _ = usr2.recv() => *second,
            };
            tell(&RuntimeNotice::NothingToReload { signal: name.to_string() });
        }
    }
}

/// What a balancer that was killed left in the kernel goes, if we may; but what it has closed stays closed until the next
/// one begins.
fn sweep() {
    if !capabilities::has(Capability::NetAdmin) {
        return;
    }
    match clearway_kernel::plumbing::sweep_but(Closing::Stays) {
        Ok(swept) if swept.removed.is_empty() => {}
        Ok(Swept { removed }) => tell(&RuntimeNotice::HoldSwept { removed }),
        Err(errors) => {
            tell(&RuntimeNotice::HoldNotSwept { error: errors.to_string(), hints: errors.hints() });
        }
    }
}
