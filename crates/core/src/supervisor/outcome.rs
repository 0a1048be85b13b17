//! How attempts and generations have ended, for the status.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::carried::Carried;
use crate::failure::Failure;
use crate::names::Generation;
use crate::strategy::Moved;

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Clearway has begun.
    Start,
    /// A reload was asked for.
    Reload,
    /// The generation that served has ended although it was not asked to.
    Crash,
    /// A word of a later version, where it is read, or none of an earlier one.
    #[serde(other)]
    Unknown,
}

/// How the last attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Which generation it was to be.
    pub generation: Generation,
    /// Why there was one.
    pub cause: Cause,
    /// Unset: it took.
    pub failure: Option<Failure>,
    /// What was done for which listening socket of the former generation.
    pub moved: Vec<Moved>,
    /// What it has of the state of the servers.
    pub carried: Carried,
    /// When it was decided, since Clearway began.
    pub at: Duration,
}

impl Attempted {
    pub(super) fn took(
        generation: Generation,
        cause: Cause,
        moved: Vec<Moved>,
        carried: Carried,
        at: Duration,
    ) -> Self {
        Self { generation, cause, failure: None, moved, carried, at }
    }

    pub(super) fn refused(generation: Generation, cause: Cause, failure: Failure, at: Duration) -> Self {
        let (moved, carried) = (Vec::new(), Carried::default());
        Self { generation, cause, failure: Some(failure), moved, carried, at }
    }
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
