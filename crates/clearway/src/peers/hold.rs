//! `clearway hold`: keeps duplicates of an instance's listening sockets while no balancer runs at all.
//!
//! Whoever connects meanwhile waits in the kernel's queue; the next balancer of that name begins with these sockets.
//! The holder starts nothing, serves nothing and accepts nobody. A socket that is held completes handshakes, so the
//! TCP checks of a balancer in front stay green although nobody answers: the hold ends by itself ([`store`]).
//!
//! Balancer and holder find each other whichever comes first: the balancer knocks at the holder's door when it
//! begins, the holder at the balancer's, at the pace of a [`Lookout`]. After each commit the balancer sends all that it listens on.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::lookout::Lookout;
use clearway_core::names::InstanceName;
use clearway_core::settings::Settings;
use clearway_haproxy::getsocks::ReceivedSocket;
use clearway_kernel::capabilities::{self, Capability};
use clearway_kernel::plumbing::Closing;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedSender};
use tracing::{debug, info, warn};

use crate::custody::held::Held;
use crate::fleet::open_files::OpenFiles;
use crate::fleet::state::Snapshot;
use crate::front::admin;
use crate::front::api::{Ended, Holding};
use crate::front::clients::Clients;
use crate::ground::credentials::Credentials;
use crate::ground::{aside, due};
use crate::peers::message::{self, Message, PROTOCOL, Role};
use crate::peers::place::{self, Place};
use crate::peers::state::Collector;
use crate::peers::takeover::{PROMPT, knock};
use crate::peers::wire::{Door, Wire, WireError};
use crate::tell::{log, output};

mod asked;
mod starts;
mod store;

use asked::Ask;
use starts::Starts;
use store::{Balancer, Store};

/// How long the last lines of the log may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How many requests over the admin socket may wait for the loop.
const ASKS: usize = 16;

/// Where the holder of an instance is.
pub fn door(name: &str, settings: &Settings) -> Door {
    Door::of(name, "hold", settings.takeover_directory.as_deref())
}

/// What the threads that listen to balancers tell.
enum News {
    /// A balancer is there.
    Hello(Balancer, Arc<Wire>),
    /// All that it listens on from now on.
    Keep(Balancer, Vec<ReceivedSocket>),
    /// What it knows of its servers.
    State(Balancer, Snapshot),
    /// It stops as planned; let go in a while, or now.
    Release(Balancer, bool),
    /// It is gone.
    Gone(Balancer),
}

/// Holds until it is told to end.
pub fn hold(settings: &Settings) -> Result<ExitCode, Failure> {
    let Some(name) = settings.instance.clone() else {
        return Err(Failure::new(ExitCode::Usage, "a holder serves one instance only, and was told none")
            .hint("give it and its balancer the same CLEARWAY_INSTANCE, or `--instance NAME`"));
    };
    let open_files = OpenFiles::raise();
    log::init(settings.log);
    log::strays();
    open_files.tell();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .map_err(|error| Failure::new(ExitCode::Internal, format!("starting the event loop: {error}")))
        .and_then(|runtime| runtime.block_on(serve(settings, &name)));
    output::flush(LAST_WORDS);
    outcome
}

async fn serve(settings: &Settings, name: &InstanceName) -> Result<ExitCode, Failure> {
    let internal = |what: &str, error: &dyn std::fmt::Display| {
        Failure::new(ExitCode::Internal, format!("{what}: {error}"))
    };
    let mut term = signal(SignalKind::terminate()).map_err(|error| internal("signals", &error))?;
    let mut int = signal(SignalKind::interrupt()).map_err(|error| internal("signals", &error))?;
    let mut usr1 = signal(SignalKind::user_defined1()).map_err(|error| internal("signals", &error))?;
    let mut hup = signal(SignalKind::hangup()).map_err(|error| internal("signals", &error))?;
    let mut usr2 = signal(SignalKind::user_defined2()).map_err(|error| internal("signals", &error))?;
    let door = door(name.as_str(), settings);
    let socket = door.listen().map_err(|error| {
        let message = format!("listening as the holder of `{name}` at {door}: {error}");
        Failure::new(ExitCode::InstanceTaken, message)
            .hint("one holder is enough for an instance; end the other one")
    })?;
    let listener =
        UnixListener::from_std(socket.into()).map_err(|error| internal("listening as a holder", &error))?;
    info!(
        "holding for the instance `{name}`: for {} s after a stop, for {} s after a loss",
        settings.hold_after_stop.as_secs(),
        settings.hold_after_loss.as_secs()
    );
    let (sender, mut news) = mpsc::unbounded_channel();
    let mut store = Store::new(settings.hold_after_stop, settings.hold_after_loss);
    let (mut lookout, mut starts) = (Lookout::default(), Starts::default());
    let begun = Instant::now();
    let clients = Clients::default();
    let (asks, mut asked) = mpsc::channel(ASKS);
    let place = be_asked(settings, name, asks, &clients);
    let mut to_be_told = None;
    loop {
        if lookout.look(begun.elapsed())
            && let Some(Balancer(number)) = look_for_a_balancer(settings, name, &sender)
        {
            lookout.begun(number);
        }
        let wake = [store.until(), lookout.due()].into_iter().flatten().min().map(|until| begun + until);
        tokio::select! {
            biased;
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = usr1.recv() => break,
            _ = hup.recv() => info!("SIGHUP: a holder has nothing to reload"),
            _ = usr2.recv() => info!("SIGUSR2: a holder has nothing to reload"),
            Some(ask) = asked.recv() => match ask {
                Ask::Status(sender) => {
                    let _ = sender.send(holding(name, &store, &starts, begun.elapsed()));
                }
                Ask::Stop(sender) => {
                    info!("stop asked for by `clearway drain`");
                    to_be_told = Some(sender);
                    break;
                }
            },
            Some(news) = news.recv() => {
                note(&news, &mut lookout, begun.elapsed());
                starts.hear(&news, store.sockets().len());
                hear(news, &mut store, &starts, begun.elapsed());
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(&stream, &sender),
                Err(error) => {
                    warn!("accepting a balancer: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            () = due::at(wake) => {}
        }
        if let Some(count) = store.look_at_the_clock(begun.elapsed()) {
            info!(
                "the hold is over: closed {}, new connections are refused from now on",
                Count(count, "listening socket")
            );
            sweep();
        }
    }
    info!("stopped: no longer holding {}", Count(store.sockets().len(), "listening socket"));
    drop((asked, store, place));
    if let Some(sender) = to_be_told {
        let _ = sender.send(Ended { code: ExitCode::Done.number() });
    }
    clients.let_go().await;
    Ok(ExitCode::Done)
}

/// Makes the admin socket. Without one it holds all the same.
fn be_asked(
    settings: &Settings,
    name: &InstanceName,
    asks: mpsc::Sender<Ask>,
    clients: &Clients,
) -> Option<Place> {
    let made = Place::aside(&place::holder(name), &settings.run_directory).and_then(|(place, listener)| {
        listener.set_nonblocking(true)?;
        Ok((place, UnixListener::from_std(listener)?))
    });
    match made {
        Ok((place, listener)) => {
            tokio::spawn(admin::serve(listener, None, asked::router(asks), clients.clone()));
            Some(place)
        }
        Err(error) => {
            warn!("the holder cannot be asked how it is: its admin socket: {error}");
            None
        }
    }
}

/// How the holder is.
fn holding(name: &InstanceName, store: &Store, starts: &Starts, now: Duration) -> Holding {
    Holding {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        instance: name.to_string(),
        state: "holding".to_owned(),
        balancer_serves: store.has_owner(),
        failed_starts: starts.failed(),
        sockets: store.sockets().iter().map(|held| held.identity.to_string()).collect(),
        seconds_left: store.until().map(|until| until.saturating_sub(now).as_secs()),
    }
}

/// Whom the holder talks to.
fn note(news: &News, lookout: &mut Lookout, now: Duration) {
    match news {
        News::Hello(Balancer(number), _) => lookout.begun(*number),
        News::Keep(Balancer(number), _) => lookout.kept(*number),
        News::State(..) => {}
        News::Release(Balancer(number), _) | News::Gone(Balancer(number)) => lookout.over(*number, now),
    }
}

fn hear(news: News, store: &mut Store, starts: &Starts, now: Duration) {
    match news {
        News::Hello(_, wire) => {
            let sockets = Arc::clone(store.sockets());
            let state = store.state(now).and_then(|(servers, age)| {
                Some(Snapshot { servers, taken: Instant::now().checked_sub(age)? })
            });
            // One that fails again and again has its line when it does.
            let say = starts.failed() == 0;
            aside::spawn("giving the listening sockets to a balancer", move || {
                let welcome = Message::Welcome {
                    protocol: PROTOCOL,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    sockets: sockets.len(),
                    origin: None,
                    superseded: Vec::new(),
                };
                let told = state.map_or(Ok(()), |state| crate::peers::state::send(&wire, &state, PROMPT));
                let sent = told.and_then(|()| wire.send(&welcome, &[], PROMPT));
                match sent.and_then(|()| wire.send_sockets(&sockets, PROMPT)) {
                    Ok(()) if sockets.is_empty() => {}
                    Ok(()) if say => info!(
                        "gave {} to a balancer that starts, and still holds them",
                        Count(sockets.len(), "listening socket")
                    ),
                    Ok(()) => debug!("gave {} to a balancer", Count(sockets.len(), "listening socket")),
                    Err(error) => warn!("giving the listening sockets to a balancer: {error}"),
                }
            });
        }
        News::Keep(balancer, sockets) => {
            let held: Result<Vec<Held>, _> = sockets.into_iter().map(Held::received).collect();
            match held {
                Ok(held) => {
                    debug!("keeping {} of a balancer that serves", Count(held.len(), "listening socket"));
                    store.keep(balancer, held);
                }
                Err(error) => warn!("what a balancer sent is not held: {error}"),
            }
        }
        News::State(balancer, snapshot) => {
            let (down, all) = (snapshot.servers.down(), snapshot.servers.count());
            debug!("{down} of {all} servers of a balancer are down");
            store.know(balancer, snapshot.servers, now);
        }
        News::Release(balancer, at_once) => {
            if store.release(balancer, at_once, now) && !at_once {
                info!("the balancer stops: its listening sockets are held a while longer");
            }
        }
        News::Gone(balancer) => {
            if store.gone(balancer, now) {
                warn!(
                    "the balancer is gone: holding {}, new connections wait for the next balancer",
                    Count(store.sockets().len(), "listening socket")
                );
                sweep();
            }
        }
    }
}

/// A balancer that was there first is told that somebody holds.
fn look_for_a_balancer(
    settings: &Settings,
    name: &InstanceName,
    sender: &UnboundedSender<News>,
) -> Option<Balancer> {
    let wire = match knock(&crate::peers::succession::door(name.as_str(), settings)) {
        Ok(wire) => wire?,
        Err(failure) => {
            debug!("{}", failure.message);
            return None;
        }
    };
    wire.say(&Message::hello(Role::Holder), &[]).ok()?;
    listen_to(Arc::new(wire), sender.clone(), false)
}

fn admit(stream: &UnixStream, sender: &UnboundedSender<News>) {
    match stream.peer_cred().map(Credentials::from) {
        Ok(caller) if caller.is_trusted() => {}
        Ok(Credentials { uid, .. }) => {
            return warn!("a process of uid {uid} was sent away: it asked for the listening sockets");
        }
        Err(error) => {
            return warn!("a process whose user cannot be told asked for the listening sockets: {error}");
        }
    }
    match stream.as_fd().try_clone_to_owned() {
        Ok(socket) => {
            listen_to(Arc::new(Wire::of(socket)), sender.clone(), true);
        }
        Err(error) => warn!("a balancer was not heard: {error}"),
    }
}

/// Hears a balancer to its end; one that came by itself greets first. Unset if there can be no thread for it.
fn listen_to(wire: Arc<Wire>, sender: UnboundedSender<News>, greets: bool) -> Option<Balancer> {
    static BALANCERS: AtomicU64 = AtomicU64::new(1);
    let balancer = Balancer(BALANCERS.fetch_add(1, Ordering::Relaxed));
    let begun = aside::spawn("listening to a balancer", move || {
        if greets && let Err(reason) = greet(&wire) {
            warn!("a process that asked for the listening sockets was sent away: {reason}");
            let _ = wire.say(&Message::Refused { reason, hints: Vec::new(), code: None, again: false }, &[]);
            return;
        }
        if greets {
            let _ = sender.send(News::Hello(balancer, Arc::clone(&wire)));
        }
        let mut collector = Collector::default();
        loop {
            let news = match wire.hear(None) {
                Ok((Message::Servers { part, more, age_ms }, _)) => {
                    match collector.hear(&part, more, age_ms) {
                        Some(snapshot) => News::State(balancer, snapshot),
                        None => continue,
                    }
                }
                Ok((Message::Keep { sockets }, _)) => match wire.hear_sockets(sockets, PROMPT) {
                    Ok(sockets) => News::Keep(balancer, sockets),
                    Err(error) => {
                        warn!("a balancer did not send what it announced: {error}");
                        wire.hang_up();
                        News::Gone(balancer)
                    }
                },
                Ok((Message::Release { at_once }, _)) => News::Release(balancer, at_once),
                Ok((Message::Refused { reason, .. }, _)) => {
                    debug!("a balancer wants no holder: {reason}");
                    News::Gone(balancer)
                }
                Ok(_) => continue,
                Err(error) => {
                    if error != WireError::Closed {
                        warn!("the conversation with a balancer: {error}");
                    }
                    News::Gone(balancer)
                }
            };
            let over = matches!(news, News::Gone(_));
            if sender.send(news).is_err() || over {
                return;
            }
        }
    });
    begun.then_some(balancer)
}

fn greet(wire: &Wire) -> Result<(), String> {
    match wire.hear(Some(PROMPT)) {
        Ok((Message::Hello { protocol, lowest, role: Role::Balancer, .. }, _)) => {
            message::agree(protocol, lowest).map(|_| ())
        }
        Ok(_) => Err("it did not greet as a balancer".to_owned()),
        Err(error) => Err(error.to_string()),
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
        Ok(swept) => info!("removed what it left in the kernel: {}", swept.removed.join(", ")),
        Err(errors) => warn!("{errors}"),
    }
}
