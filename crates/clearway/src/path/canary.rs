//! The canary: asks the transparent servers whether they find the way to clients, and says what is new.
//!
//! When they are asked, and which answers count, is decided in [`clearway_core::path`]. A round is asked on a thread of its
//! own, at the pace of [`clearway_core::path::probes`]; one that is not awaited any more is told to end. Each change is one
//! line in the log, of many servers at once only the first; nothing else depends on it, unless `CLEARWAY_CANARY=ready`.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clearway_core::path::PathMachine;
use clearway_core::path::schedule::Round;
use clearway_core::settings::ProbeAddresses;
use clearway_kernel::canary::{self, CanaryVerdict, ProbeOutcome, ProbeRun};
use tokio::sync::mpsc::UnboundedSender;

use crate::ground::aside;
use crate::ground::notice::tell;
use crate::path::news::News;
use crate::path::notices::PathNotice;
use crate::path::obstacles::{self, Bits, Obstacle, TransparentServer};

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
            tell(&PathNotice::Asking { done: progress.done, of: progress.of });
        }
        ControlFlow::Continue(())
    }
}

/// What the servers have said.
#[derive(Debug)]
pub(super) struct Canary {
    from: ProbeAddresses,
    /// Of each server that was asked.
    outcomes: BTreeMap<SocketAddr, ProbeOutcome>,
    /// What is in the way, as far as it is a problem.
    obstacles: Vec<Obstacle>,
    /// The round that was begun last.
    under_way: Arc<UnderWay>,
}

impl Canary {
    /// Nothing was asked yet. `from`: where the probes come from.
    pub(super) fn new(from: ProbeAddresses) -> Self {
        Self { from, outcomes: BTreeMap::new(), obstacles: Vec::new(), under_way: Arc::default() }
    }

    /// The round that goes on is not awaited any more: its thread need not finish it.
    pub(super) fn give_up(&self) {
        self.under_way.given_up.store(true, Ordering::Relaxed);
    }

    /// Asks, and looks for what is in the way, on a thread of its own; false if there can be none.
    pub(super) fn ask(
        &mut self,
        round: Round,
        servers: Vec<TransparentServer>,
        bits: Option<Bits>,
        news: UnboundedSender<News>,
    ) -> bool {
        let from = self.from;
        let under_way = Arc::new(UnderWay { of: AtomicUsize::new(servers.len()), ..UnderWay::default() });
        self.under_way = Arc::clone(&under_way);
        aside::spawn("asking the servers whether they find the way to clients", move || {
            let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
            let outcomes = canary::probe_all(&addresses, from, canary::LIMIT, |look| under_way.look(look));
            let mut obstacles = bits.map(|bits| obstacles::find(&servers, bits)).unwrap_or_default();
            obstacles.retain(Obstacle::is_problem);
            let _ = news.send(News::Canary { round, outcomes, obstacles });
        })
    }

    /// What they said. Each change is said once.
    pub(super) fn hear(&mut self, machine: &PathMachine, outcomes: Vec<(SocketAddr, ProbeOutcome)>) {
        let (mut works, mut news, mut lines) = (0, false, 0);
        for (server, outcome) in outcomes {
            let Some(line) = machine.line(server) else { continue };
            let verdict = outcome.verdict();
            works += usize::from(verdict == CanaryVerdict::Works);
            let before = self.outcomes.get(&server);
            let same = before.is_some_and(|before| outcome.is_same_as(before));
            news |= !same;
            let is_news = !same && (verdict != CanaryVerdict::Works || before.is_some());
            lines += usize::from(is_news);
            if is_news && lines <= MOST_LINES {
                say(server, &outcome, line);
            }
            self.outcomes.insert(server, outcome);
        }
        let all = self.outcomes.len();
        if lines > MOST_LINES {
            tell(&PathNotice::More { works, servers: all, left_out: lines - MOST_LINES });
        } else if news && works == all && all > 0 {
            tell(&PathNotice::Verified { servers: all });
        }
    }

    /// What is in the way now. What is new is said, and what has gone.
    pub(super) fn hear_of(&mut self, obstacles: Vec<Obstacle>) {
        let before: HashSet<&Obstacle> = self.obstacles.iter().collect();
        for new in obstacles.iter().filter(|one| !before.contains(one)) {
            tell(&PathNotice::Obstacle { saw: new.saw.clone(), hints: vec![new.remedy.clone()] });
        }
        let now: HashSet<&Obstacle> = obstacles.iter().collect();
        for gone in self.obstacles.iter().filter(|one| !now.contains(one)) {
            tell(&PathNotice::ObstacleGone { saw: gone.saw.clone() });
        }
        self.obstacles = obstacles;
    }

    /// What each server has said.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (SocketAddr, &ProbeOutcome)> {
        self.outcomes.iter().map(|(server, outcome)| (*server, outcome))
    }

    /// What is known of servers that are not asked any more is of no use.
    pub(super) fn forget(&mut self, machine: &PathMachine) {
        self.outcomes.retain(|server, _| machine.line(*server).is_some());
        if machine.servers().next().is_none() {
            self.obstacles.clear();
        }
    }

    /// How far the round is that was begun last: how many servers are done, and of how many.
    pub(super) fn progress(&self) -> (usize, usize) {
        let UnderWay { done, of, .. } = &*self.under_way;
        (done.load(Ordering::Relaxed), of.load(Ordering::Relaxed))
    }

    /// What is in the way.
    pub(super) fn obstacles(&self) -> &[Obstacle] {
        &self.obstacles
    }
}

/// One line for the log, and what helps.
fn say(server: SocketAddr, outcome: &ProbeOutcome, line: &str) {
    tell(&PathNotice::Server {
        server,
        verdict: outcome.verdict().to_string(),
        outcome: outcome.to_string(),
        line: line.to_owned(),
        hints: outcome.hints().iter().map(|&hint| hint.to_owned()).collect(),
    });
}
