//! What the supervisor knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::asker::Asker;
use super::cuts::Cuts;
use super::life::{FirstLife, Life, Restart, WaitsFor};
use super::limits::Limits;
use super::outcome::{Attempted, Crashes, RolledBack};
use super::role::TakeoverRole;
use super::stage::Attempt;
use super::stopping::Stop;
use crate::names::Generation;
use crate::programs::Programs;

/// The state machine. It owns no process and no socket, only what is known about them.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) limits: Limits,
    /// Every generation that has a process.
    pub(super) lives: BTreeMap<Generation, Life>,
    /// Those that are gone, without their last words as yet.
    pub(super) unheard: BTreeSet<Generation>,
    /// The number that the next attempt gets.
    pub(super) next: Generation,
    pub(super) attempt: Option<Attempt>,
    /// What asked for a reload or a rollback while an attempt was under way, in this order.
    pub(super) waiting: Vec<Asker>,
    /// What these wait for.
    pub(super) waits_for: WaitsFor,
    /// When to start again after a crash, or because what serves has half of a change, and with what.
    pub(super) restart: Option<Restart>,
    /// The configuration of whatever served last; while nothing ever has, a failure is Clearway's end.
    pub(super) served: Option<Generation>,
    /// The configuration that served before that, or long enough to be trusted.
    pub(super) good: Option<Generation>,
    /// The configuration that a rollback would take: with other files than what serves.
    pub(super) before: Option<Generation>,
    /// Set while the configuration of a rollback serves.
    pub(super) rolled_back: Option<RolledBack>,
    pub(super) cuts: Cuts,
    /// Crashes in a row, each before [`super::limits::PROVEN_AGE`].
    pub(super) young_deaths: u32,
    pub(super) first_life: FirstLife,
    pub(super) crashes: Crashes,
    pub(super) stop: Option<Stop>,
    /// What has asked for a stop, and when it begins: until then everything goes on, but health checks are answered no.
    pub(super) announced: Option<(Asker, Duration)>,
    pub(super) role: TakeoverRole,
    pub(super) programs: Programs,
    /// Whether the sockets in custody are those of a predecessor that is gone: no other process has them.
    pub(super) inherited: bool,
    /// Whether there is plumbing in the kernel, as far as is known.
    pub(super) plumbed: bool,
    /// How the last attempt went, for the status.
    pub(super) last: Option<Attempted>,
    pub(super) left: bool,
}

impl Supervisor {
    /// A supervisor that has not begun.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lives: BTreeMap::new(),
            unheard: BTreeSet::new(),
            next: Generation::FIRST,
            attempt: None,
            waiting: Vec::new(),
            waits_for: WaitsFor::ItsTurn,
            restart: None,
            served: None,
            good: None,
            before: None,
            rolled_back: None,
            cuts: Cuts::default(),
            young_deaths: 0,
            first_life: FirstLife::Awaited { deaths: 0 },
            crashes: Crashes::default(),
            stop: None,
            announced: None,
            role: TakeoverRole::Alone,
            programs: Programs::default(),
            inherited: false,
            plumbed: false,
            last: None,
            left: false,
        }
    }
}
