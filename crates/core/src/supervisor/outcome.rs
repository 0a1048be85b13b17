//! How attempts and generations have ended, for the status.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::Display;

use super::asker::Asker;
use super::carried::Carried;
use super::end::End;
use super::planned::Applied;
use super::proof::Proof;
use super::steps::Steps;
use crate::failure::Failure;
use crate::names::Generation;
use crate::strategy::Moved;

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Clearway has begun.
    Start,
    /// A reload, or to apply what is on disk, was asked for.
    Reload,
    /// It was asked that what served before serves again.
    Rollback,
    /// The generation that served has ended although it was not asked to.
    Crash,
    /// A change was applied by half, and the reload after it did not take: what is described by files serves again.
    Mend,
    /// A word of a later version, where it is read, or none of an earlier one.
    #[serde(other)]
    Unknown,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum AttemptResult {
    /// Its generation serves.
    Took,
    /// The generation that served before has its configuration now: there was none to be started.
    Applied,
    /// HAProxy ended before it was ready, as it does with a configuration that it refuses.
    Refused,
    /// Something else went wrong.
    Failed,
}

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Which generation it was to be.
    pub generation: Generation,
    /// Why there was one.
    pub cause: Cause,
    /// What asked for it: nothing, at the start and after a crash.
    pub by: Vec<Asker>,
    /// Whether another Clearway, which has given its sockets, serves meanwhile.
    pub takes_over: bool,
    /// What came of it.
    pub result: AttemptResult,
    /// How HAProxy ended, if it did and so the attempt did not take.
    pub end: Option<End>,
    /// Unset: it took, or was applied.
    pub failure: Option<Failure>,
    /// What was done for which listening socket of the former generation.
    pub moved: Vec<Moved>,
    /// What came of its plan, if it began with one.
    pub applied: Option<Applied>,
    /// What it proved, if it took.
    pub proof: Option<Proof>,
    /// What it has of the state of the servers.
    pub carried: Carried,
    /// How long each step took.
    pub steps: Steps,
    /// How long all of them took.
    pub took: Duration,
    /// When it was decided, since Clearway began.
    pub at: Duration,
}

/// What serves since a rollback. Both numbers are those of the generations for which the files were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// Whose configuration serves again.
    pub to: Generation,
    /// Whose configuration served until then.
    pub from: Generation,
    /// Since when, as a duration since Clearway began.
    pub since: Duration,
}

/// How often a generation that served has ended although it was not asked to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crashes {
    /// Since Clearway began.
    pub total: u32,
    /// Of these, how many since a reload was asked for that took.
    pub since_reload: u32,
    /// The last one.
    pub last: Option<CrashView>,
}

/// The end of a generation that served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashView {
    /// Which.
    pub generation: Generation,
    /// Exit code or signal, in words.
    pub how: String,
    /// When, since Clearway began.
    pub at: Duration,
}

impl Crashes {
    pub(super) fn count(&mut self, generation: Generation, how: &str, at: Duration) {
        self.total = self.total.saturating_add(1);
        self.since_reload = self.since_reload.saturating_add(1);
        self.last = Some(CrashView { generation, how: how.to_owned(), at });
    }

    /// A reload succeeded that was begun at this time: what asked for it may have known of what came before.
    pub(super) fn reloaded(&mut self, begun: Duration) {
        if self.last.as_ref().is_some_and(|last| last.at <= begun) {
            self.since_reload = 0;
        }
    }
}
