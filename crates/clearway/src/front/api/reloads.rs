//! What is said of the past.

use serde::{Deserialize, Serialize};

use crate::tell::history::PastEntry;

/// Answer to `GET /v1/reloads`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Reloads {
    /// Starts, reloads, restarts, crashes and takeovers, the newest last.
    pub reloads: Vec<PastEntry>,
    /// How many there were before these, since Clearway began.
    #[serde(default)]
    pub forgotten: u64,
}
