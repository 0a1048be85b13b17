//! How far a stop is.

use std::time::Duration;

use crate::exit::ExitCode;

/// A stop under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// What Clearway leaves with.
    pub(super) code: ExitCode,
    pub(super) stage: StopStage,
    /// Whether `SIGTERM` or `SIGINT` has come: the next one means at once.
    pub(super) insisted: bool,
    pub(super) since: Duration,
    /// How long it may drain, for the log.
    pub(super) limit: Duration,
    /// Whether it is the quiet end after a takeover, and no stop was asked for.
    pub(super) superseded: bool,
    /// When to ask what is left; unset while an answer is awaited.
    pub(super) ask_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum StopStage {
    Draining {
        until: Duration,
    },
    Terminating {
        until: Duration,
    },
    /// `SIGKILL` was sent: the kernel does the rest, and what it cannot end now nothing can.
    Killing {
        until: Duration,
    },
}

impl Stop {
    pub(super) fn deadline(&self) -> Duration {
        match self.stage {
            StopStage::Draining { until } => self.ask_at.map_or(until, |at| at.min(until)),
            StopStage::Terminating { until } | StopStage::Killing { until } => until,
        }
    }
}
