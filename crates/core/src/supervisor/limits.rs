//! How long things may take, and how much there may be.

use std::time::Duration;

use super::asker::Asker;
use crate::exit::ExitCode;
use crate::settings::ApplySetting;

/// After `SIGTERM`, before `SIGKILL`; after HAProxy closed its private socket, before its end is no
/// longer waited for.
pub const GRACE: Duration = Duration::from_secs(2);

/// The longest pause between two starts of a HAProxy that keeps dying.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A generation that served at least so long did not die of its own start.
pub(super) const PROVEN_AGE: Duration = Duration::from_secs(1);

/// How many generations may die so young, if none has ever lived longer, until Clearway leaves (decision 0026).
pub const MOST_YOUNG_DEATHS: u32 = 5;

/// If a generation dies so soon after its commit, its configuration gives way to the one that served before.
pub const PROBATION: Duration = Duration::from_secs(5);

/// How long the switch waits for clients at the former generation's sockets.
pub const SWITCHING: Duration = Duration::from_secs(2);

/// How long [`super::Action::Carry`] may take before the attempt goes on without: it has a limit of its own, and says itself
/// what it could not do.
pub const CARRY_DEADLINE: Duration = Duration::from_secs(30);

/// How long it may take altogether before the commit comes anyway: the switch begins later than we count, and
/// has to say what it has done.
pub const SWITCH_DEADLINE: Duration = Duration::from_secs(3);

/// How long [`super::Action::Plan`] may take before the attempt goes on as a reload.
pub const PLAN_DEADLINE: Duration = Duration::from_secs(30);

/// How long [`super::Action::Apply`] may take before the attempt goes on as a reload: the transaction has a limit of its own,
/// which is shorter, and says itself how far it has come.
pub const APPLY_DEADLINE: Duration = Duration::from_mins(1);

/// How long it may take to read the files and to ask HAProxy about them, before it is started.
const PREPARING: Duration = Duration::from_secs(30);

/// How long a reload may take, from its beginning to its commit: a Clearway that does not answer for longer hangs. With the
/// limits of a generation's proof and of its life beside the former one.
pub fn longest_reload(ready: Duration, settle: Duration) -> Duration {
    let others = PLAN_DEADLINE + APPLY_DEADLINE + PREPARING + CARRY_DEADLINE + SWITCH_DEADLINE;
    ready.saturating_add(settle).saturating_add(others)
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the asking for a stop to its beginning: probes see it coming.
    pub stop_delay: Duration,
    /// From a stop to the cut of what is left.
    pub drain: Duration,
    /// The same after a takeover: no new client waits for that.
    pub takeover_drain: Duration,
    /// From the launch of a generation to its proof.
    pub ready: Duration,
    /// From the proof of a generation to its commit, if another one serves meanwhile.
    pub settle: Duration,
    /// What old generations may take.
    pub old: Budget,
    /// Whether a reload that is asked for is planned first, and applied at run time where it can be.
    pub apply: ApplySetting,
    /// What Clearway ends with when `SIGINT` has stopped it and all is done: HAProxy's master tells it from other stops.
    pub interrupted: ExitCode,
}

impl Limits {
    /// What Clearway ends with when it has stopped as it was asked.
    pub(super) fn exit_code(&self, by: Asker) -> ExitCode {
        if by == Asker::Signal("SIGINT") { self.interrupted } else { ExitCode::Done }
    }
}

/// What old generations may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many may drain.
    pub generations: usize,
    /// How long each may drain; unset: as long as it takes.
    pub age: Option<Duration>,
    /// How many bytes all of them may have resident together; unset: as many as there are.
    pub memory: Option<u64>,
}
