//! What the canary says of the transparent servers: when it is asked, and what is made of it.
//!
//! It is asked when a server is new or has moved, when a generation or the plumbing has changed, again and again while
//! something is wrong (after 5 s, 10 s, and so on up to 5 min), and at the pace of the setting. Each change is one line
//! in the log; nothing else depends on it, unless `CLEARWAY_CANARY=ready`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clearway_core::settings::{CanaryMode, ProbeAddresses, Settings};
use clearway_kernel::canary::{self, Outcome, Verdict};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

use super::{Inner, Shell, thread};
use crate::admin::api::SeenByCanary;
use crate::due;
use crate::obstacles::{self, Bits, Known, Obstacle};

/// How soon something that is wrong is looked at again; twice as long each time.
const SOON: Duration = Duration::from_secs(5);
const SELDOM: Duration = Duration::from_mins(5);

/// How many servers are asked at most, in the order of their addresses: a thousand silent ones take a minute.
const MOST: usize = 1000;

/// How much is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing transparent serves.
    Resting,
    /// Nothing yet.
    Unknown,
    /// What the servers said last.
    Known,
}

/// Whether an answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    No,
    Yes,
    /// And it is of yesterday: something has changed since.
    Again,
}

/// What is known.
#[derive(Debug)]
pub struct Canary {
    mode: CanaryMode,
    from: ProbeAddresses,
    every: Option<Duration>,
    /// With their lines.
    servers: BTreeMap<SocketAddr, String>,
    known: BTreeMap<SocketAddr, Outcome>,
    /// What is in the way, as far as it is a problem.
    obstacles: Vec<Obstacle>,
    state: State,
    /// When to ask; unset while an answer is awaited, and if there is nobody to ask.
    ask_at: Option<Instant>,
    asking: Asking,
    /// From one look to the next, while something is wrong.
    pause: Duration,
}

impl Canary {
    /// Nobody to ask yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            mode: settings.canary,
            from: settings.canary_address,
            every: settings.canary_every,
            servers: BTreeMap::new(),
            known: BTreeMap::new(),
            obstacles: Vec::new(),
            state: State::Resting,
            ask_at: None,
            asking: Asking::No,
            pause: SOON,
        }
    }

    /// Something transparent serves; its servers follow.
    pub fn wake(&mut self) {
        if self.state == State::Resting {
            self.state = State::Unknown;
        }
    }

    /// These are the servers now; asked at once if they are others, or if something else has `changed`.
    pub fn watch(&mut self, servers: impl Iterator<Item = Known>, changed: bool) {
        let servers: BTreeMap<_, _> = servers.map(|known| (known.address, known.line)).take(MOST).collect();
        if self.mode == CanaryMode::Off || (servers == self.servers && !changed) {
            return;
        }
        self.known.retain(|server, _| servers.contains_key(server));
        self.servers = servers;
        self.pause = SOON;
        if self.servers.is_empty() {
            self.obstacles.clear();
            self.ask_at = None;
            self.state = State::Known;
        } else if self.asking == Asking::No {
            self.ask_at = Some(Instant::now());
        } else {
            self.asking = Asking::Again;
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
        self.ask_at = None;
        self.state = State::Resting;
    }

    /// Waits until it is time.
    pub async fn due(&self) {
        due::at(self.ask_at).await;
    }

    /// Asks, and looks for what is in the way, on a thread of its own.
    pub fn ask(&mut self, bits: Option<Bits>, inner: &UnboundedSender<Inner>) {
        self.ask_at = None;
        let (servers, from, inner) = (self.known_servers(), self.from, inner.clone());
        let begun = thread::spawn("asking the servers whether they find the way to clients", move || {
            let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
            let outcomes = canary::probe_all(&addresses, from, canary::LIMIT);
            let mut obstacles = bits.map(|bits| obstacles::find(&servers, bits)).unwrap_or_default();
            obstacles.retain(Obstacle::is_problem);
            let _ = inner.send(Inner::Canary { outcomes, obstacles });
        });
        self.asking = if begun { Asking::Yes } else { Asking::No };
        if !begun {
            self.ask_at = Some(Instant::now() + SELDOM);
        }
    }

    /// What they said. Each change is said once.
    pub fn hear(&mut self, outcomes: Vec<(SocketAddr, Outcome)>, obstacles: Vec<Obstacle>) {
        let asked = std::mem::replace(&mut self.asking, Asking::No);
        if self.state == State::Unknown {
            self.state = State::Known;
        }
        self.hear_of(obstacles);
        let (mut works, mut news) = (0, false);
        for (server, outcome) in outcomes {
            let Some(line) = self.servers.get(&server) else { continue };
            let verdict = outcome.verdict();
            works += usize::from(verdict == Verdict::Works);
            let before = self.known.get(&server);
            let same = before.is_some_and(|before| outcome.is_same_as(before));
            news |= !same;
            if !same && verdict != Verdict::Works {
                warn!("canary: the server {server}: {outcome} ({line})");
                outcome.hints().iter().for_each(|hint| warn!("hint: {hint}"));
            } else if !same && before.is_some() {
                info!("canary: the server {server}: {outcome}");
            }
            self.known.insert(server, outcome);
        }
        let all = self.known.len();
        if news && works == all && all > 0 {
            info!("canary: {all} transparent server(s) find the way to clients");
        }
        let now = Instant::now();
        self.ask_at = if asked == Asking::Again {
            Some(now)
        } else if works < all || !self.obstacles.is_empty() {
            let pause = self.pause;
            self.pause = (pause * 2).min(SELDOM);
            Some(now + self.every.map_or(pause, |every| every.min(pause)))
        } else {
            self.pause = SOON;
            self.every.map(|every| now + every)
        };
    }

    /// What is in the way now. What is new is said, and what has gone.
    fn hear_of(&mut self, obstacles: Vec<Obstacle>) {
        for new in obstacles.iter().filter(|one| !self.obstacles.contains(one)) {
            warn!("in the way of transparent connections: {}", new.saw);
            warn!("hint: {}", new.remedy);
        }
        for gone in self.obstacles.iter().filter(|one| !obstacles.contains(one)) {
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
        let broken = || self.known.values().any(|outcome| outcome.verdict() == Verdict::Broken);
        let ready = match self.state {
            State::Resting => true,
            State::Unknown => false,
            State::Known => !broken(),
        };
        ready || self.mode != CanaryMode::Ready
    }

    /// For the status.
    pub fn describe(&self) -> Vec<SeenByCanary> {
        let line = |server| self.servers.get(server).cloned();
        self.known.iter().map(|(server, outcome)| described(*server, line(server), outcome)).collect()
    }
}

fn described(server: SocketAddr, line: Option<String>, outcome: &Outcome) -> SeenByCanary {
    SeenByCanary {
        address: server.to_string(),
        verdict: outcome.verdict().to_string(),
        words: outcome.to_string(),
        line,
        hints: outcome.hints().iter().map(|hint| (*hint).to_owned()).collect(),
        details: match serde_json::to_value(outcome) {
            Ok(serde_json::Value::Object(details)) => details,
            _ => serde_json::Map::new(),
        },
    }
}

impl Shell {
    /// Lets the canary ask the servers.
    pub fn ask_the_canary(&mut self) {
        let bits = self.plumbing.as_ref().map(|plumbing| {
            let description = plumbing.describe();
            Bits { diverted: description.mark, replies: description.reply_mark }
        });
        self.canary.ask(bits, &self.inner);
    }
}
