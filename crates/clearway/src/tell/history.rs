//! What has happened: the last attempts, crashes and ends of takeovers, for `clearway history`.
//!
//! It is told by what the core does ([`Action::Attempted`], [`Report::Crashed`], [`Turn`]), with the time of day. [`MOST`] are kept, each
//! of some KiB at most ([`Excerpt`]), in the memory of this process: the history ends with it.

use std::collections::{HashSet, VecDeque};

use clearway_core::cost::Cost;
use clearway_core::strategy::by_means;
use clearway_core::supervisor::{
    Action, Applied, AttemptResult, Attempted, Bound, Cause, Proof, Report, Steps, Turn,
};

use crate::ground::clock;

mod entry;
mod excerpt;

pub use entry::{
    PastCarried, PastEntry, PastEvent, PastFailure, PastMoved, PastResult, PastSockets, PastSteps,
};
pub use excerpt::Excerpt;

/// How many entries are kept.
pub const MOST: usize = 100;

/// The last entries, the newest at the end.
#[derive(Debug, Default)]
pub struct History {
    entries: VecDeque<PastEntry>,
    /// How many there have been.
    total: u64,
}

impl History {
    /// What is about to be carried out.
    pub fn hear(&mut self, action: &Action) {
        match action {
            Action::Attempted(attempted) => self.push(of_an_attempt(attempted)),
            Action::Report(Report::Crashed { generation, how, .. }) => self.push(PastEntry {
                generation: Some(generation.number()),
                ended: Some(how.clone()),
                ..PastEntry::new(PastEvent::Crash, PastResult::Crashed)
            }),
            Action::Report(Report::Takeover(turn)) => {
                if let Some(result) = of_a_takeover(turn) {
                    self.push(PastEntry::new(PastEvent::Takeover, result));
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, entry: PastEntry) {
        self.total += 1;
        if self.entries.len() == MOST {
            self.entries.pop_front();
        }
        self.entries.push_back(PastEntry { id: self.total, at: clock::now(), ..entry });
    }

    /// The number of the newest entry; 0: there is none.
    pub fn newest(&self) -> u64 {
        self.total
    }

    /// What the entry with this number has cost, if it is kept.
    pub fn note(&mut self, entry: u64, cost: &Cost) {
        if let Some(entry) = self.entries.iter_mut().find(|one| one.id == entry) {
            entry.cost = Some(cost.clone());
        }
    }

    /// Those that are kept, the newest last.
    pub fn entries(&self) -> Vec<PastEntry> {
        self.entries.iter().cloned().collect()
    }

    /// How many there were before these.
    pub fn forgotten(&self) -> u64 {
        self.total.saturating_sub(self.entries.len() as u64)
    }
}

/// How a takeover has ended, on either side; nothing of its beginning.
fn of_a_takeover(turn: &Turn) -> Option<PastResult> {
    Some(match turn {
        Turn::HandingOver { .. } => return None,
        Turn::NotTakenOver { .. } => PastResult::Failed,
        Turn::Superseded { .. } => PastResult::Superseded,
        Turn::SuccessorGone { .. } => PastResult::Undone,
        Turn::TakenOver { .. } => PastResult::Settled,
        Turn::PredecessorGone => PastResult::PredecessorGone,
        Turn::Withdrawn { .. } => PastResult::Withdrawn,
        Turn::GivingBack => PastResult::GivenBack,
    })
}

fn of_an_attempt(attempted: &Attempted) -> PastEntry {
    let event = match attempted.cause {
        _ if attempted.takes_over => PastEvent::Takeover,
        Cause::Start => PastEvent::Start,
        Cause::Reload | Cause::Mend => PastEvent::Reload,
        Cause::Rollback => PastEvent::Rollback,
        Cause::Crash => PastEvent::Restart,
        Cause::Unknown => PastEvent::Unknown,
    };
    let result = match attempted.result {
        AttemptResult::Took => PastResult::Took,
        AttemptResult::Applied => PastResult::Applied,
        AttemptResult::Refused => PastResult::Refused,
        AttemptResult::Failed => PastResult::Failed,
    };
    let (applied, not_applied) = of_a_plan(attempted.applied.as_ref());
    let mut by: Vec<String> = attempted.by.iter().map(|asker| asker.name().to_owned()).collect();
    by.sort_unstable();
    by.dedup();
    PastEntry {
        by,
        generation: Some(attempted.generation.number()),
        ended: attempted.end.map(|end| end.to_string()),
        failure: attempted.failure.as_ref().map(PastFailure::of),
        applied,
        not_applied,
        seconds: Some(attempted.took.as_secs_f64()),
        steps: Some(PastSteps::from(attempted.steps)),
        sockets: attempted.proof.as_ref().map(|proof| sockets(proof, attempted)),
        carried: Some(PastCarried::of(&attempted.carried)).filter(|_| !attempted.carried.is_nothing()),
        ..PastEntry::new(event, result)
    }
}

/// What was applied at run time, and why something was not.
fn of_a_plan(applied: Option<&Applied>) -> (Option<String>, Option<Excerpt>) {
    match applied {
        None => (None, None),
        Some(Applied::Nothing) => (Some("nothing to do".to_owned()), None),
        Some(Applied::AtRunTime { tally, .. }) => (Some(tally.clone()), None),
        Some(Applied::Not { reasons }) => (None, Some(Excerpt::of(reasons))),
        Some(Applied::Broken { why, .. }) => (None, Some(Excerpt::of(&[format!("it broke off: {why}")]))),
    }
}

/// What became of the sockets; one that was moved is neither gone nor bound twice, whatever the proof says.
fn sockets(proof: &Proof, attempted: &Attempted) -> PastSockets {
    let Bound { new, mut gone, mut twice } = Bound::of(&proof.fresh, &proof.unclaimed);
    let moved = by_means(&attempted.moved);
    let known: HashSet<&String> = moved.values().flatten().collect();
    gone.retain(|address| !known.contains(address));
    twice.retain(|address| !known.contains(address));
    let moved = moved.iter().map(|(by, all)| PastMoved { by: *by, addresses: Excerpt::of(all) });
    PastSockets {
        moved: moved.collect(),
        new: Excerpt::of(&new),
        gone: Excerpt::of(&gone),
        twice: Excerpt::of(&twice),
    }
}

impl From<Steps> for PastSteps {
    fn from(steps: Steps) -> Self {
        let Steps { plan, apply, prepare, prove, carry, settle, switch, end } = steps;
        let [plan, apply, prepare, prove, carry, settle, switch, end] =
            [plan, apply, prepare, prove, carry, settle, switch, end].map(|step| step.as_secs_f64());
        Self { plan, apply, prepare, prove, carry, settle, switch, end }
    }
}

#[cfg(test)]
mod tests;
