//! How long an attempt takes, step by step.

use std::time::Duration;

/// How long each step of an attempt took; zero for one that it did not come to, or in which there was nothing to do. One that
/// was started once more has both times in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// The files were read and compared with what serves.
    pub plan: Duration,
    /// What was planned was applied at run time.
    pub apply: Duration,
    /// The files were read, and what they need was made.
    pub prepare: Duration,
    /// From HAProxy's start to its proof.
    pub prove: Duration,
    /// It was given the state of its servers.
    pub carry: Duration,
    /// It accepted clients beside the former generation.
    pub settle: Duration,
    /// Clients of sockets that it does not use were brought to it.
    pub switch: Duration,
    /// Its end and its last words were waited for, because it did not take.
    pub end: Duration,
}
