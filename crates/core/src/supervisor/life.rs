//! What is known of a generation that has a process.

use std::time::Duration;

use super::event::{PlumbingDemand, Source};
use super::proof::Proof;
use crate::names::Generation;

/// A generation that has a process.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) pid: u32,
    /// The number under which the configuration was read that it was started from.
    pub(super) started_from: Generation,
    /// The same of the configuration that it has: another one, if a change was applied at run time.
    pub(super) configuration: Generation,
    /// Since when it serves with that.
    pub(super) configured: Duration,
    pub(super) has: Has,
    pub(super) plumbing: PlumbingDemand,
    /// `mworker-max-reloads` in its configuration.
    pub(super) most_reloads: Option<u32>,
    /// How many generations have taken over since it served.
    pub(super) outlived: u32,
    pub(super) state: LifeState,
    /// Whether its worker is known.
    pub(super) has_proved: bool,
    /// Set as long as it may not have heard that it is to drain.
    pub(super) reminder: Option<Reminder>,
}

/// Whether what a generation has is what its configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Has {
    /// It is, as far as is known.
    ItsConfiguration,
    /// Half of a change may have been applied to it.
    Half,
    /// Its master has started its worker anew, from what was on disk then.
    SomethingElse,
}

#[derive(Clone, Debug)]
pub(super) enum LifeState {
    /// Launched, not committed yet; belongs to the attempt.
    Proving,
    Serving {
        since: Duration,
        proof: Proof,
    },
    Draining {
        since: Duration,
    },
}

/// A start that is due after a crash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restart {
    pub(super) at: Duration,
    pub(super) source: Source,
}

/// What those wait for that have asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// Their turn: they go before a start that nothing has asked for.
    ItsTurn,
    /// The restart of what served: it has ended while it was planned for them, and they get a reload after it.
    Restart,
}

/// Whether anything has ever served for [`super::limits::PROVEN_AGE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstLife {
    /// Nothing yet: how many have served and died younger.
    Awaited { deaths: u32 },
    /// Something has, or has given way to a reload without dying: what dies is started again, however often.
    Lived,
    /// So many have died young that Clearway leaves; this was the last.
    GivenUp(Generation),
}

/// How long after one time it is told the next time; then not any more.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(10),
];

/// When a generation is told again, and which time that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reminder {
    pub(super) at: Duration,
    pub(super) time: usize,
}

impl Reminder {
    /// It was told so many times.
    pub(super) fn after(time: usize, now: Duration) -> Option<Self> {
        PAUSES.get(time).map(|pause| Self { at: now.saturating_add(*pause), time: time + 1 })
    }
}
