//! The shell's side of a takeover: whom this Clearway talks to, and the name that it holds.
//!
//! The name is two listening sockets: the lock, which is the admin socket that everybody in the network namespace
//! sees, and the door, where the next Clearway knocks. They are handed over like the listening sockets of HAProxy,
//! so that no moment is left in which somebody else could take the name. A Clearway that was relieved keeps
//! duplicates while it might come back, and accepts nobody: its *gate* is closed. When it is known that it will not come
//! back it lets go of them, as it may drain for hours: a name that is kept behind a closed gate is one that no other
//! Clearway can take, and the one that serves may be killed.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clearway_core::arrival::{DOOR, NAME_OF_THE_DEAD};
use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::fence::{Fence, TurnedAway};
use clearway_core::names::InstanceName;
use clearway_core::patience::{Again, Persistence};
use clearway_core::settings::Settings;
use clearway_core::supervisor::{Declined, Event, Peer};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use crate::custody::sockets::Sockets;
use crate::custody::subscription::Subscription;
use crate::custody::usable::Unusable;
use crate::fleet::state::{Snapshot, StateQuestion};
use crate::front::admin::{self, Wishes};
use crate::front::clients::Clients;
use crate::ground::aside;
use crate::peers::keeper::Keeper;
use crate::peers::message::{Former, Message, PROTOCOL};
use crate::peers::origin;
use crate::peers::place::{self, Place};
use crate::peers::takeover::{self, Inheritance, News, PROMPT};
use crate::peers::wire::{Door, Wire};
use crate::shell::Inner;
use crate::tell::log;

/// How many conversations may wait to be accepted; the same as at the beginning.
const BACKLOG: i32 = 128;

/// From so many takeovers in a row on they are warned of.
const MANY: usize = 4;

/// Whom we talk to, and what our name is.
#[derive(Debug)]
pub struct Succession {
    begun: Instant,
    inner: UnboundedSender<Inner>,
    wishes: Wishes,
    /// Who asks something over an admin socket.
    clients: Clients,
    /// Where the next one knocks; unset for a private instance.
    door: Option<Door>,
    /// Duplicates of the lock and of the door, in this order. Without the door as long as it could not be opened.
    name: Vec<OwnedFd>,
    /// The admin socket beside the name, while that is a successor's; and who serves it.
    aside: Option<(Place, AbortHandle)>,
    instance: Option<InstanceName>,
    run_directory: PathBuf,
    /// How many of those, from the first, are listened to.
    served: usize,
    /// What listens to them.
    tasks: Vec<AbortHandle>,
    /// Whether whoever knocks is let in.
    gate: watch::Sender<bool>,
    fence: Fence,
    own_origin: Option<String>,
    peers: HashMap<Peer, Conversation>,
    /// Who was given our sockets last.
    given: Option<Peer>,
    predecessor: Option<Arc<Wire>>,
    /// When the name of a predecessor that has died is tried again.
    taking: Persistence,
    /// When it is tried again to listen under the name.
    opening: Persistence,
    holder: Option<Keeper>,
    /// Set from a stop on: nothing is held for this one any more.
    stops: bool,
    /// What a holder holds.
    custody: Subscription,
    /// Whom the predecessor knew to be superseded, itself included.
    inherited: Vec<Former>,
}

#[derive(Debug)]
struct Conversation {
    wire: Arc<Wire>,
    origin: Option<String>,
}

impl Succession {
    /// Nobody is there yet.
    pub fn new(
        settings: &Settings,
        wishes: Wishes,
        inner: UnboundedSender<Inner>,
        custody: Subscription,
    ) -> Self {
        let door = settings.instance.as_ref().map(|name| door(name.as_str(), settings));
        Self {
            begun: Instant::now(),
            inner,
            wishes,
            clients: Clients::default(),
            door,
            name: Vec::new(),
            aside: None,
            instance: settings.instance.clone(),
            run_directory: settings.run_directory.clone(),
            served: 0,
            tasks: Vec::new(),
            gate: watch::Sender::new(true),
            fence: Fence::new(settings.takeover_back, settings.takeover_most),
            own_origin: origin::of_this_container(),
            peers: HashMap::new(),
            given: None,
            predecessor: None,
            taking: NAME_OF_THE_DEAD,
            opening: DOOR,
            holder: None,
            stops: false,
            custody,
            inherited: Vec::new(),
        }
    }

    /// The name is ours: whoever knocks is let in. Without a lock (a private instance) there is nothing to knock at.
    pub fn hold_the_name(&mut self, lock: UnixListener) {
        self.take_the_name(vec![lock.into()]);
    }

    /// Lock and door, made or handed over.
    fn take_the_name(&mut self, sockets: Vec<OwnedFd>) {
        self.taking.renew();
        self.name = sockets;
        self.served = 0;
        self.listen_anew();
        self.open_the_name();
    }

    /// Listens under the name, as far as that is not done yet; if it cannot be done, again and again.
    fn open_the_name(&mut self) {
        // Another one serves under it, and opens what there is to open.
        if !*self.gate.borrow() {
            return;
        }
        match self.try_to_open_the_name() {
            Ok(()) if self.opening.renew() => {
                info!("other Clearways can take over from this one from now on");
            }
            Ok(()) => {}
            Err(error) => {
                let Again { pause, say } = self.opening.again();
                if say {
                    warn!("no other Clearway can take over from this one yet, it goes on trying: {error}");
                }
                self.try_again_in(pause);
            }
        }
    }

    fn try_to_open_the_name(&mut self) -> Result<(), String> {
        let Some(lock) = self.name.first() else { return Ok(()) };
        if self.served == 0 {
            let listener = duplicate(lock).map_err(|error| format!("the abstract admin socket: {error}"))?;
            let served = self.serve_admin(listener, Some(self.gate.subscribe()));
            self.tasks.push(served);
            self.served = 1;
        }
        let Some(door) = &self.door else { return Ok(()) };
        let cannot = |error: std::io::Error| format!("listening at {door}: {error}");
        if self.name.len() < 2 {
            self.name.push(door.listen().map_err(cannot)?);
        }
        if let Some(socket) = self.name.get(1).filter(|_| self.served == 1) {
            let listener = duplicate(socket).map_err(cannot)?;
            let served = takeover::serve(listener, self.gate.subscribe(), self.inner.clone());
            self.tasks.push(tokio::spawn(served).abort_handle());
            self.served = 2;
        }
        Ok(())
    }

    fn try_again_in(&self, pause: Duration) {
        let inner = self.inner.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = inner.send(Inner::Takeover(News::TryAgain));
        });
    }

    /// Who listened last is who a client sees at the other end (`SO_PEERCRED`, unix(7)).
    fn listen_anew(&self) {
        for socket in &self.name {
            if let Err(error) = rustix::net::listen(socket, BACKLOG) {
                warn!("listening under the name of this instance: {error}");
            }
        }
    }

    /// Begins with so many sockets that a predecessor gave, and listens to it.
    pub fn inherit(&mut self, inheritance: Inheritance, sockets: usize) -> Result<(), Failure> {
        let Inheritance { wire, superseded, version, .. } = inheritance;
        info!(
            "taking over from the Clearway {version} that serves under this name: {}",
            Count(sockets, "listening socket")
        );
        if !takeover::listen_to_predecessor(Arc::clone(&wire), self.inner.clone()) {
            return Err(cannot_take_over(&"it cannot be listened to"));
        }
        self.predecessor = Some(wire);
        self.inherited = superseded;
        Ok(())
    }

    /// Whether a holder is there; unset for a private instance, which none can hold for.
    pub fn has_holder(&self) -> Option<bool> {
        self.door.as_ref().map(|_| self.holder.as_ref().is_some_and(Keeper::is_there))
    }

    /// A holder is there: it holds what serves, now or after the next commit.
    pub fn talk_to(&mut self, wire: Arc<Wire>) {
        self.holder = Keeper::of(wire);
        if let (Some(holder), Some(sockets)) = (&self.holder, self.custody.serving()) {
            holder.keep(sockets);
        }
    }

    /// Waits for a set of sockets that serves, and has the holder hold it. Never ends without; can be cancelled.
    pub async fn keep_up(&mut self) {
        self.custody.changed().await;
        self.keep();
    }

    /// Before anything else is said to the holder.
    fn keep(&mut self) {
        if let (Some(sockets), Some(holder)) = (self.custody.news(), &self.holder) {
            holder.keep(sockets);
        }
    }

    /// What is known of the servers now: the holder knows it too.
    pub fn keep_state(&mut self, state: &Snapshot) {
        self.keep();
        if let Some(holder) = &self.holder {
            holder.keep_state(state);
        }
    }

    /// A stop: the holder lets go in a while, or at once. The name stays with the one that has superseded this one.
    pub fn release(&mut self, at_once: bool) {
        self.stops = true;
        self.keep();
        if !*self.gate.borrow() {
            self.let_go_of_the_name();
        }
        if let Some(holder) = &self.holder {
            holder.release(at_once);
        }
    }

    /// Nothing more is said to the holder, nor to whoever asks: waits until they have heard all, not for long.
    pub async fn finish(&mut self) {
        let holder = self.holder.take();
        let told = async {
            if let Some(holder) = holder {
                holder.finish().await;
            }
        };
        tokio::join!(told, self.clients.let_go());
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What was heard, as an event for the core.
    pub fn hear(&mut self, news: News) -> Event {
        match news {
            News::Asked { peer, wire, version, origin } => {
                if let Some(refusal) = self.turn_away(origin.as_deref()) {
                    warn!("a takeover was refused: {}", refusal.message);
                    let _ = wire.say(&Message::refused(&refusal), &[]);
                    wire.hang_up();
                    return Event::TimePassed;
                }
                info!("takeover {} was asked for by a Clearway {version}", peer.0);
                self.peers.insert(peer, Conversation { wire, origin });
                Event::TakeoverAsked(peer)
            }
            News::Serving(peer) => Event::Superseded(peer),
            News::Settled(peer) => Event::SuccessorSettled(peer),
            News::Gone(peer) => {
                self.peers.remove(&peer);
                Event::PeerGone(peer)
            }
            News::Holder(wire) => {
                self.hear_a_holder(wire);
                Event::TimePassed
            }
            News::TryAgain => {
                self.open_the_name();
                Event::TimePassed
            }
            News::Relieved(sockets) => {
                // Its word and our parting may have crossed.
                if self.predecessor.is_some() {
                    self.take_the_name(sockets);
                }
                Event::TimePassed
            }
            News::Withdrawn(failure) => Event::Withdrawn(failure),
            News::PredecessorGone => {
                self.predecessor = None;
                Event::PredecessorGone
            }
        }
    }

    /// A holder that has come gets what there is to hold, now or after the next commit. One that comes during a stop is
    /// sent away, so that it looks for whom the name belongs to next.
    fn hear_a_holder(&mut self, wire: Arc<Wire>) {
        if self.stops {
            debug!("a holder has come, and was sent away: this Clearway stops");
            let reason = "it stops".to_owned();
            let _ = wire.say(&Message::Refused { reason, hints: Vec::new(), code: None, again: true }, &[]);
            return wire.hang_up();
        }
        if self.holder.is_none() {
            info!("a holder has come: it keeps the listening sockets open when no balancer does");
        } else {
            debug!("a holder has come, in the place of the one that was there");
        }
        self.talk_to(wire);
    }

    /// Serves the admin socket's file.
    pub fn serve_file(&self, listener: UnixListener) {
        match unblocked(listener) {
            Ok(listener) => drop(self.serve_admin(listener, None)),
            Err(error) => warn!("the admin socket cannot be served: {error}"),
        }
    }

    fn serve_admin(
        &self,
        listener: tokio::net::UnixListener,
        gate: Option<watch::Receiver<bool>>,
    ) -> AbortHandle {
        let router = admin::router(self.wishes.clone());
        tokio::spawn(admin::serve(listener, gate, router, self.clients.clone())).abort_handle()
    }

    /// Whether another Clearway, which would come back, has the sockets that we began with.
    pub fn has_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Whether we hold the name.
    pub fn has_the_name(&self) -> bool {
        !self.name.is_empty()
    }

    /// Whether the name is held by nobody that we know of: the predecessor has died before it could hand it over.
    pub fn has_no_name(&self) -> bool {
        self.door.is_some() && self.name.is_empty() && self.predecessor.is_none() && !self.stops
    }

    /// A process that is killed closes its descriptors one after the other: the end of the conversation may be seen
    /// before the name is free.
    pub fn try_again_for_the_name(&mut self, failure: &Failure) {
        let Again { pause, say } = self.taking.again();
        if say {
            log::failure(failure);
        }
        self.try_again_in(pause);
    }

    /// Many takeovers in a row look like two containers that are both kept running.
    fn warn_of_many(&self, now: Duration) {
        let takeovers = self.fence.takeovers(now);
        if takeovers >= MANY {
            warn!(
                "{} under this name within CLEARWAY_TAKEOVER_BACK: two containers that are both kept running replace each \
                 other for ever (docs/how-to/swarm.md)",
                Count(takeovers, "takeover")
            );
        }
    }

    /// Whether a container has to stay away, and why.
    fn turn_away(&mut self, origin: Option<&str>) -> Option<Failure> {
        // Nothing tells them apart: two processes of one host, outside of containers and units.
        let origin = origin.filter(|origin| Some(*origin) != self.own_origin.as_deref())?;
        let now = self.now();
        Some(match self.fence.ask(origin, now)? {
            TurnedAway::Superseded(wait) => Failure::new(
                ExitCode::InstanceTaken,
                format!(
                    "this container was superseded by the one that serves, and does not take over back by itself for {} s",
                    wait.as_secs()
                ),
            )
            .hint(
                "to go back to its image now, start a new container of that image; a shorter CLEARWAY_TAKEOVER_BACK of the \
                 one that serves lets this one in sooner",
            ),
            TurnedAway::TooMany { takeovers, within } => Failure::new(
                ExitCode::TakeoversTooMany,
                format!(
                    "containers of this name replace each other for ever ({} within {} s): no other one takes over until \
                     none has tried for {} s",
                    Count(takeovers, "takeover"),
                    within.as_secs(),
                    within.as_secs()
                ),
            )
            .hint(
                "keep one container of this name on a host: with Swarm `mode: global`, or one replica \
                 (docs/how-to/swarm.md); CLEARWAY_TAKEOVER_MOST=0 of the one that serves allows any number of takeovers",
            ),
        })
    }

    /// Gives the sockets in custody to a successor, on a thread: it may read slowly.
    pub fn hand_over(&mut self, peer: Peer, sockets: Arc<Sockets>, state: StateQuestion) {
        self.given = Some(peer);
        let Some(conversation) = self.peers.get(&peer) else { return };
        let wire = Arc::clone(&conversation.wire);
        let former = self.fence.list(self.now()).into_iter().map(|(origin, ago)| Former {
            origin,
            ago_ms: u64::try_from(ago.as_millis()).unwrap_or(u64::MAX),
        });
        let welcome = Message::Welcome {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sockets: sockets.all().len(),
            origin: self.own_origin.clone(),
            superseded: former.collect(),
        };
        let hang_up = Arc::clone(&wire);
        let begun = aside::spawn("handing the listening sockets over to another Clearway", move || {
            let told = state.now().map_or(Ok(()), |state| crate::peers::state::send(&wire, &state, PROMPT));
            let sent = told
                .and_then(|()| wire.send(&welcome, &[], PROMPT))
                .and_then(|()| wire.send_sockets(sockets.all(), PROMPT));
            if let Err(error) = sent {
                warn!("handing the listening sockets over to another Clearway: {error}");
                wire.hang_up();
            }
        });
        if !begun {
            hang_up.hang_up();
        }
    }

    /// Whether a successor has been given our sockets.
    pub fn has_given_to(&self, peer: Peer) -> bool {
        self.given == Some(peer)
    }

    /// A successor does not get the sockets, or may not use them any longer.
    pub fn decline(&mut self, peer: Peer, why: Declined) {
        let Some(conversation) = self.peers.remove(&peer) else { return };
        let reason = match why {
            Declined::Busy => "another takeover is under way",
            Declined::Superseded => {
                "another Clearway serves by now; it is asked when this one is started again"
            }
            Declined::NotServing => "this one has not taken over itself yet",
            Declined::TooLate => "it took too long: this one is still serving",
        };
        info!("takeover {} was declined: {reason}", peer.0);
        let again = matches!(why, Declined::Busy | Declined::Superseded | Declined::NotServing);
        let refused = Message::Refused { reason: reason.to_owned(), hints: Vec::new(), code: None, again };
        let _ = conversation.wire.say(&refused, &[]);
        conversation.wire.hang_up();
    }

    /// A successor serves: the name is its own.
    pub fn relieve(&mut self, peer: Peer) {
        self.gate.send_replace(false);
        self.stand_aside();
        let now = self.now();
        let Some(conversation) = self.peers.get(&peer) else { return };
        if let Some(origin) = &conversation.origin {
            debug!("superseded by the container {origin} at {} s", now.as_secs());
        }
        let name: Vec<BorrowedFd<'_>> = self.name.iter().map(AsFd::as_fd).collect();
        if let Err(error) = conversation.wire.say(&Message::Relieved, &name) {
            warn!("handing the name over to another Clearway: {error}");
        }
        if self.stops {
            self.let_go_of_the_name();
        }
    }

    /// The name is another Clearway's, and this one does not come back: nothing of it is kept open here.
    fn let_go_of_the_name(&mut self) {
        self.gate.send_replace(false);
        self.name.clear();
        self.served = 0;
        self.tasks.drain(..).for_each(|task| task.abort());
    }

    /// The name is a successor's: makes a socket of our own beside it, so that this container can go on asking us.
    fn stand_aside(&mut self) {
        let Some(instance) = &self.instance else { return };
        let made = Place::aside(&place::superseded(instance), &self.run_directory)
            .and_then(|(place, listener)| Ok((place, unblocked(listener)?)));
        match made {
            Ok((place, listener)) => self.aside = Some((place, self.serve_admin(listener, None))),
            Err(error) => warn!("this Clearway cannot be asked any more, how it is: {error}"),
        }
    }

    /// Removes the socket beside the name.
    pub fn leave_aside(&mut self) {
        if let Some((mut place, _)) = self.aside.take() {
            place.leave();
        }
    }

    /// The successor has come to nothing: the name is ours again.
    pub fn take_back(&mut self) {
        if let Some((_place, served)) = self.aside.take() {
            served.abort();
        }
        self.listen_anew();
        self.gate.send_replace(true);
        self.open_the_name();
    }

    /// We serve: the predecessor may drain.
    pub fn supersede(&mut self) {
        let now = self.now();
        for Former { origin, ago_ms } in std::mem::take(&mut self.inherited) {
            self.fence.keep_out(origin, Duration::from_millis(ago_ms), now);
        }
        self.warn_of_many(now);
        self.tell_predecessor(&Message::Serving);
    }

    /// We serve well: the predecessor may forget us.
    pub fn settled(&mut self) {
        self.tell_predecessor(&Message::Settled);
        // What was said is heard before the end.
        self.part();
    }

    /// Ends the conversation with the predecessor, which serves again as it has not heard that we have settled: it has
    /// the name, too.
    pub fn give_back(&mut self) {
        self.let_go_of_the_name();
        self.part();
    }

    fn part(&mut self) {
        if let Some(wire) = self.predecessor.take() {
            wire.hang_up();
        }
    }

    /// Without waiting: it hears three words in all, for which there is always room.
    fn tell_predecessor(&self, message: &Message) {
        if let Some(Err(error)) = self.predecessor.as_ref().map(|wire| wire.say(message, &[])) {
            warn!("telling the Clearway before this one: {error}");
        }
    }
}

/// A takeover that ends before it has begun.
fn cannot_take_over(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(ExitCode::Internal, format!("taking over: {why}"))
}

/// The sockets of the predecessor are of no use here.
pub fn unusable(why: &Unusable) -> Failure {
    let failure = cannot_take_over(why);
    match why {
        Unusable::Elsewhere(_) => {
            failure.hint("both need the same network namespace: --network host, or the same pod")
        }
        Unusable::Unknown(_) => failure,
    }
}

/// A duplicate of a listening socket that does not block.
fn duplicate(socket: &OwnedFd) -> std::io::Result<tokio::net::UnixListener> {
    unblocked(socket.try_clone()?.into())
}

fn unblocked(listener: UnixListener) -> std::io::Result<tokio::net::UnixListener> {
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

/// Where a Clearway of this name is asked to give way.
pub fn door(name: &str, settings: &Settings) -> Door {
    Door::of(name, "takeover", settings.takeover_directory.as_deref())
}
