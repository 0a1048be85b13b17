//! The rounds of the canary: when the core wants one it is begun, what it comes to is told the core.

use std::net::SocketAddr;

use clearway_core::path::schedule::Round;
use clearway_core::path::{CanaryVerdict, PathEvent};
use clearway_kernel::canary::ProbeOutcome;

use crate::ground::due;
use crate::path::Path;
use crate::path::canary::{CanaryAsks, SeenByCanary};
use crate::path::obstacles::{Bits, Obstacle, TransparentServer};

impl Path {
    pub(super) fn ask(&mut self, round: Round) -> Option<PathEvent> {
        let bits =
            self.describe().map(|plumbing| Bits { diverted: plumbing.mark, replies: plumbing.reply_mark });
        let one = |(address, line): (SocketAddr, &str)| TransparentServer { address, line: line.to_owned() };
        let servers = self.machine.servers().map(one).collect();
        let begun = self.canary.ask(round, servers, bits, self.sender.clone());
        (!begun).then_some(PathEvent::CouldNotAsk)
    }

    /// A round that is not awaited any more says nothing.
    pub(super) fn hear_the_canary(
        &mut self,
        round: Round,
        outcomes: Vec<(SocketAddr, ProbeOutcome)>,
        obstacles: Vec<Obstacle>,
    ) {
        if !self.machine.awaits(round) {
            return;
        }
        let verdicts = outcomes.iter().map(|(server, outcome)| (*server, outcome.verdict())).collect();
        let obstructed = !obstacles.is_empty();
        self.canary.hear_of(obstacles);
        self.canary.hear(&self.machine, outcomes);
        self.take(PathEvent::RoundOver { round, verdicts, obstructed });
    }

    /// Asks the servers now; says how many there are.
    pub fn ask_now(&mut self) -> usize {
        self.take(PathEvent::AskWanted);
        self.machine.servers().count()
    }

    /// For the status: which servers are being asked for the first time.
    pub fn canary_asks(&self) -> Option<CanaryAsks> {
        let seconds = self.machine.asking(due::elapsed())?.as_secs();
        let (done, of) = self.canary.progress();
        Some(CanaryAsks { seconds, done, servers: of.max(self.machine.servers().count()) })
    }

    /// What the canary says of each server that was asked.
    pub fn verdicts(&self) -> impl Iterator<Item = (SocketAddr, CanaryVerdict)> {
        self.canary.outcomes().map(|(server, outcome)| (server, outcome.verdict()))
    }

    /// For the status: what is known of each server.
    pub fn seen_by_canary(&self) -> Vec<SeenByCanary> {
        let line = |server| self.machine.line(server).map(str::to_owned);
        let known = self.canary.outcomes();
        known.map(|(server, outcome)| SeenByCanary::of(server, line(server), outcome)).collect()
    }
}
