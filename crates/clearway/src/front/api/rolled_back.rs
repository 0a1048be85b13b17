//! What is said of a rollback.

use std::time::Duration;

use clearway_core::supervisor;
use serde::{Deserialize, Serialize};

use crate::ground::clock;

/// What a rollback does not bring back.
const NOTE: &str = "only the files of the configuration itself are those of then: maps, certificates and other files that it names \
                    are read as they are on disk now";

/// A rollback that has taken, and was not followed by a reload yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct RollbackStatus {
    /// Serves what this generation was started from.
    pub to: u32,
    /// What this generation was started from served until then.
    pub from: u32,
    /// When it was, in UTC.
    pub at: String,
    /// Since then.
    pub seconds_ago: u64,
    /// What it does not bring back, for people.
    #[serde(default)]
    pub note: String,
}

impl RollbackStatus {
    /// As the core has it, as long as this after Clearway began.
    pub fn of(told: supervisor::RolledBack, now: Duration) -> Self {
        let ago = now.saturating_sub(told.since);
        let (to, from) = (told.to.number(), told.from.number());
        Self { to, from, at: clock::at(ago), seconds_ago: ago.as_secs(), note: NOTE.to_owned() }
    }
}
