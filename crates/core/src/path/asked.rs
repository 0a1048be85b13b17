//! The servers that the canary asks: when, and what is known of each.
//!
//! They are asked when a server is new or has moved, when a generation or the plumbing has changed, again and again while
//! something is wrong, and at the pace of the setting ([`Schedule`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::settings::CanaryMode;

use super::event::PathAction;
use super::schedule::{Round, RoundResult, Schedule};
use super::verdict::{CanaryVerdict, ServersByAddress};

#[derive(Debug)]
struct AskedServer {
    line: String,
    /// Unset: it has not been asked yet.
    verdict: Option<CanaryVerdict>,
}

/// The servers, and when they are asked.
#[derive(Debug)]
pub(super) struct AskedServers {
    mode: CanaryMode,
    servers: BTreeMap<SocketAddr, AskedServer>,
    schedule: Schedule,
}

impl AskedServers {
    pub(super) fn new(mode: CanaryMode, every: Option<Duration>) -> Self {
        Self { mode, servers: BTreeMap::new(), schedule: Schedule::new(every) }
    }

    /// Something transparent serves, and its servers follow; or nothing does.
    pub(super) fn serve(&mut self, transparent: bool, now: Duration, todo: &mut Vec<PathAction>) {
        if transparent {
            return self.schedule.wake(now);
        }
        self.servers.clear();
        self.give_up(todo);
        self.schedule.rest();
    }

    /// These are the servers now: they are asked at once if they are others, or if a generation has just begun.
    pub(super) fn are(
        &mut self,
        servers: ServersByAddress,
        fresh: bool,
        now: Duration,
        todo: &mut Vec<PathAction>,
    ) {
        let same = || self.all().eq(servers.iter().map(|(server, line)| (*server, line.as_str())));
        if self.mode == CanaryMode::Off || (!fresh && same()) {
            return;
        }
        let mut former = std::mem::take(&mut self.servers);
        let known = |(server, line)| {
            let verdict = former.remove(&server).and_then(|one| one.verdict);
            (server, AskedServer { line, verdict })
        };
        self.servers = servers.into_iter().map(known).collect();
        if self.servers.is_empty() {
            self.give_up(todo);
            self.schedule.nothing_to_ask();
        } else {
            self.schedule.changed(now);
        }
    }

    /// What they depend on has changed.
    pub(super) fn changed(&mut self, now: Duration) {
        if !self.servers.is_empty() {
            self.schedule.changed(now);
        }
    }

    fn give_up(&self, todo: &mut Vec<PathAction>) {
        if self.schedule.is_asking() {
            todo.push(PathAction::GiveUp);
        }
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.schedule.due()
    }

    /// Begins a round, if it is time.
    pub(super) fn ask(&mut self, now: Duration, todo: &mut Vec<PathAction>) {
        if self.due().is_some_and(|due| due <= now) {
            todo.push(PathAction::Ask(self.schedule.ask(now)));
        }
    }

    pub(super) fn could_not_ask(&mut self, now: Duration) {
        self.schedule.could_not_ask(now);
    }

    pub(super) fn awaits(&self, round: Round) -> bool {
        self.schedule.awaits(round)
    }

    /// A round that is not awaited any more changes nothing.
    pub(super) fn round_over(
        &mut self,
        round: Round,
        verdicts: Vec<(SocketAddr, CanaryVerdict)>,
        obstructed: bool,
        now: Duration,
    ) {
        if !self.awaits(round) {
            return;
        }
        for (server, verdict) in verdicts {
            if let Some(one) = self.servers.get_mut(&server) {
                one.verdict = Some(verdict);
            }
        }
        // What has not been asked has come meanwhile, so it is asked next.
        let works = self.verdicts().flatten().all(|verdict| verdict == CanaryVerdict::Works);
        let result = if works && !obstructed { RoundResult::Well } else { RoundResult::Wrong };
        self.schedule.heard(result, now);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (SocketAddr, &str)> {
        self.servers.iter().map(|(server, one)| (*server, one.line.as_str()))
    }

    pub(super) fn line(&self, server: SocketAddr) -> Option<&str> {
        self.servers.get(&server).map(|one| one.line.as_str())
    }

    fn verdicts(&self) -> impl Iterator<Item = Option<CanaryVerdict>> {
        self.servers.values().map(|one| one.verdict)
    }

    pub(super) fn asking(&self, now: Duration) -> Option<Duration> {
        let is_known = self.verdicts().all(|verdict| verdict.is_some());
        if self.mode == CanaryMode::Off || (is_known && !self.schedule.knows_nothing()) {
            return None;
        }
        self.schedule.waiting(now)
    }

    /// A server that does not find the way counts only with `CLEARWAY_CANARY=ready`; then so does not knowing yet.
    pub(super) fn are_ready(&self) -> bool {
        let broken = || self.verdicts().any(|verdict| verdict == Some(CanaryVerdict::Broken));
        let ready = self.schedule.is_resting() || (!self.schedule.knows_nothing() && !broken());
        ready || self.mode != CanaryMode::Ready
    }
}
