//! Which old generations are to be cut, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::How;
use super::report::Over;
use crate::names::Generation;

/// What is known about cuts to come.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// When to look again; unset: when something changes.
    pub(super) look_at: Option<Duration>,
    /// Whether the shell was asked and has not answered.
    pub(super) asked: bool,
    pub(super) condemned: BTreeMap<Generation, Condemned>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Condemned {
    pub(super) at: Duration,
    pub(super) how: How,
    pub(super) over: Over,
}

impl Cuts {
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.condemned.values().map(|one| one.at).chain(self.look_at).min()
    }
}
