//! What goes over the admin socket. Fields are only ever added; a reader ignores what it does not know.

use serde::{Deserialize, Serialize};

mod configuration;
mod holding;
mod listed;
mod planned;
mod reloaded;
mod reloads;
mod rolled_back;
mod sessions;
#[cfg(test)]
mod shapes;
mod started;
mod status;

pub use configuration::{ConfigurationDiff, ConfigurationFiles};
pub use holding::Holding;
pub use listed::{
    CanaryWish, GenerationList, Readiness, ServerList, ServerStatus, SocketInCustody, SocketList,
};
pub use planned::{PlanVerdict, PlannedChange, not_applied};
pub use reloaded::{Refused, Reloaded};
pub use reloads::Reloads;
pub use rolled_back::RollbackStatus;
pub use sessions::{EndOf, Session, Sessions, SessionsOf};
pub use started::Started;
pub use status::{Crash, GenerationStatus, LastAttempt, OnDisk, ProgramStatus, Status};

/// Answer to `POST /drain?until=ended`: how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Ended {
    /// What Clearway exits with.
    pub code: u8,
}
