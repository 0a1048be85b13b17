//! What the canary says of the transparent servers: who is asked, and what is made of the answers.
//!
//! They are asked when a server is new or has moved, when a generation or the plumbing has changed, again and again while
//! something is wrong (after 5 s, 10 s, and so on up to 5 min), and at the pace of the setting: when that is, and which
//! answers count, is the core's ([`clearway_core::canary::schedule`]). A round is asked on a thread of its own, at the pace
//! of [`clearway_core::canary::pace`]; one that is not awaited any more is told to end. Each change is one line in the log,
//! of many servers at once only the first; nothing else depends on it, unless `CLEARWAY_CANARY=ready`.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clearway_core::canary::schedule::{Round, Schedule, Seen};
use clearway_core::count::Count;
use clearway_core::settings::{CanaryMode, ProbeAddresses, Settings};
use clearway_kernel::canary::{self, CanaryVerdict, ProbeOutcome, ProbeRun};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

use crate::ground::{aside, due};
use crate::path::obstacles::{self, Bits, Known, Obstacle};
use crate::path::{News, Path};
use crate::tell::log;

mod status;

pub use status::{CanaryAsks, SeenByCanary};

/// Of how many servers a round's news are written into the log, one line each; the others are in the status.
const MOST_LINES: usize = 50;

/// What the thread of a round and the loop tell each other while it goes on.
#[derive(Debug, Default)]
struct UnderWay {
    done: AtomicUsize,
    of: AtomicUsize,
    given_up: AtomicBool,
}

impl UnderWay {
    /// On the thread: says how far it is, and hears whether to go on.
    fn look(&self, mut look: ProbeRun<'_>) -> ControlFlow<()> {
        let progress = look.progress();
        self.done.store(progress.done, Ordering::Relaxed);
        if self.given_up.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if let Some(progress) = look.to_tell() {
            info!("canary: still asking: {} of {} transparent servers are done", progress.done, progress.of);
        }
        ControlFlow::Continue(())
    }
}

/// What is known.
#[derive(Debug)]
pub struct Canary {
    mode: CanaryMode,
    from: ProbeAddresses,
    /// With their lines.
    servers: BTreeMap<SocketAddr, String>,
    known: BTreeMap<SocketAddr, ProbeOutcome>,
    /// What is in the way, as far as it is a problem.
    obstacles: Vec<Obstacle>,
    schedule: Schedule,
    /// Of the round that was begun with last.
    under_way: Arc<UnderWay>,
    /// What the schedule's time counts from.
    beginning: Instant,
}

impl Canary {
    /// Nobody to ask yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            mode: settings.canary,
            from: settings.canary_address,
            servers: BTreeMap::new(),
            known: BTreeMap::new(),
            obstacles: Vec::new(),
            schedule: Schedule::new(settings.canary_every),
            under_way: Arc::default(),
            beginning: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.beginning.elapsed()
    }

    /// Something transparent serves; its servers follow.
    pub fn wake(&mut self) {
        self.schedule.wake(self.now());
    }

    /// These are the servers now; asked at once if they are others, or if something else has `changed`.
    pub fn watch(&mut self, servers: impl Iterator<Item = Known>, changed: bool) {
        let servers: BTreeMap<_, _> = servers.map(|known| (known.address, known.line)).collect();
        if self.mode == CanaryMode::Off || (servers == self.servers && !changed) {
            return;
        }
        self.known.retain(|server, _| servers.contains_key(server));
        self.servers = servers;
        if self.servers.is_empty() {
            self.obstacles.clear();
            self.schedule.nothing_to_ask();
            self.give_up();
        } else {
            self.schedule.changed(self.now());
        }
    }

    /// The same servers, because something else has changed.
    pub fn again(&mut self) {
        let servers = self.known_servers();
        self.watch(servers.into_iter(), true);
    }

    fn known_servers(&self) -> Vec<Known> {
        let known = |(address, line): (&SocketAddr, &String)| Known { address: *address, line: line.clone() };
        self.servers.iter().map(known).collect()
    }

    /// Nothing transparent serves.
    pub fn rest(&mut self) {
        self.servers.clear();
        self.known.clear();
        self.obstacles.clear();
        self.schedule.rest();
        self.give_up();
    }

    /// The round that goes on is not awaited any more: its thread need not finish it.
    fn give_up(&self) {
        self.under_way.given_up.store(true, Ordering::Relaxed);
    }

    /// Waits until it is time.
    pub async fn due(&self) {
        due::at(self.schedule.due().and_then(|at| self.beginning.checked_add(at))).await;
    }

    /// Asks, and looks for what is in the way, on a thread of its own.
    pub fn ask(&mut self, bits: Option<Bits>, news: &UnboundedSender<News>) {
        let round = self.schedule.ask(self.now());
        let (servers, from, news) = (self.known_servers(), self.from, news.clone());
        let under_way = Arc::new(UnderWay { of: AtomicUsize::new(servers.len()), ..UnderWay::default() });
        self.under_way = Arc::clone(&under_way);
        let begun = aside::spawn("asking the servers whether they find the way to clients", move || {
            let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
            let outcomes = canary::probe_all(&addresses, from, canary::LIMIT, |look| under_way.look(look));
            let mut obstacles = bits.map(|bits| obstacles::find(&servers, bits)).unwrap_or_default();
            obstacles.retain(Obstacle::is_problem);
            let _ = news.send(News::Canary { round, outcomes, obstacles });
        });
        if !begun {
            self.schedule.could_not_ask(self.now());
        }
    }

    /// What they said. Each change is said once. A round that is not awaited any more says nothing.
    pub fn hear(
        &mut self,
        round: Round,
        outcomes: Vec<(SocketAddr, ProbeOutcome)>,
        obstacles: Vec<Obstacle>,
    ) {
        if !self.schedule.awaits(round) {
            return;
        }
        self.hear_of(obstacles);
        let (mut works, mut news, mut lines) = (0, false, 0);
        for (server, outcome) in outcomes {
            let Some(line) = self.servers.get(&server) else { continue };
            let verdict = outcome.verdict();
            works += usize::from(verdict == CanaryVerdict::Works);
            let before = self.known.get(&server);
            let same = before.is_some_and(|before| outcome.is_same_as(before));
            news |= !same;
            let is_news = !same && (verdict != CanaryVerdict::Works || before.is_some());
            lines += usize::from(is_news);
            if is_news && lines <= MOST_LINES {
                say(server, &outcome, line);
            }
            self.known.insert(server, outcome);
        }
        let all = self.known.len();
        if lines > MOST_LINES {
            warn!(
                "canary: return path verified for {works} of {}; {} like those above left out, see `clearway status`",
                Count(all, "server"),
                Count(lines - MOST_LINES, "line")
            );
        } else if news && works == all && all > 0 {
            info!("canary: return path verified for {}", Count(all, "server"));
        }
        let well = works == all && self.obstacles.is_empty();
        self.schedule.heard(if well { Seen::Well } else { Seen::Wrong }, self.now());
    }

    /// What is in the way now. What is new is said, and what has gone.
    fn hear_of(&mut self, obstacles: Vec<Obstacle>) {
        let before: HashSet<&Obstacle> = self.obstacles.iter().collect();
        for new in obstacles.iter().filter(|one| !before.contains(one)) {
            warn!("in the way of transparent connections: {}", new.saw);
            log::hints(&[&new.remedy]);
        }
        let now: HashSet<&Obstacle> = obstacles.iter().collect();
        for gone in self.obstacles.iter().filter(|one| !now.contains(one)) {
            info!("no longer in the way of transparent connections: {}", gone.saw);
        }
        self.obstacles = obstacles;
    }

    /// For the status: what is in the way.
    pub fn obstacles(&self) -> &[Obstacle] {
        &self.obstacles
    }

    /// Whether new clients should be sent here, as far as the canary has a say.
    pub fn is_ready(&self) -> bool {
        let broken = || self.known.values().any(|outcome| outcome.verdict() == CanaryVerdict::Broken);
        let ready = self.schedule.is_resting() || (!self.schedule.knows_nothing() && !broken());
        ready || self.mode != CanaryMode::Ready
    }

    /// For the status: which servers are being asked for the first time.
    pub fn asks(&self) -> Option<CanaryAsks> {
        let is_known = self.servers.keys().all(|server| self.known.contains_key(server));
        if self.mode == CanaryMode::Off || (is_known && !self.schedule.knows_nothing()) {
            return None;
        }
        let seconds = self.schedule.waiting(self.now())?.as_secs();
        let (done, of) = (&self.under_way.done, &self.under_way.of);
        Some(CanaryAsks {
            seconds,
            done: done.load(Ordering::Relaxed),
            servers: of.load(Ordering::Relaxed).max(self.servers.len()),
        })
    }

    /// For the status.
    pub fn describe(&self) -> Vec<SeenByCanary> {
        let line = |server| self.servers.get(server).cloned();
        self.known.iter().map(|(server, outcome)| SeenByCanary::of(*server, line(server), outcome)).collect()
    }
}

/// One line for the log, and what helps.
fn say(server: SocketAddr, outcome: &ProbeOutcome, line: &str) {
    if outcome.verdict() == CanaryVerdict::Works {
        info!("canary: the server {server}: {outcome}");
    } else {
        warn!("canary: the server {server}: {outcome} ({line})");
        log::hints(outcome.hints());
    }
}

impl Path {
    /// Lets the canary ask the servers.
    pub(super) fn ask_the_canary(&mut self) {
        let bits =
            self.describe().map(|plumbing| Bits { diverted: plumbing.mark, replies: plumbing.reply_mark });
        self.canary.ask(bits, &self.sender);
    }

    /// For the status: which servers are being asked for the first time.
    pub fn canary_asks(&self) -> Option<CanaryAsks> {
        self.canary.asks()
    }

    /// For the status: what is known of each server.
    pub fn seen_by_canary(&self) -> Vec<SeenByCanary> {
        self.canary.describe()
    }
}
