//! What is asked over the admin socket, and the answers that are not documents of the [API](crate::front::api).

use std::fmt;

use clearway_core::cost::Cost;
use clearway_core::supervisor::{Answer, Applied};
use tokio::sync::{mpsc, oneshot};

use crate::front::api;
use crate::front::events::followers::{Follower, NotFollowed};
use crate::front::master_cli::reach::Reachable;
use crate::path::notices;
use crate::tell::events::LastHad;
use crate::tell::metrics::MetricsSnapshot;
use crate::tell::metrics::text::MetricsFormat;

/// Where requests go.
pub type Wishes = mpsc::Sender<Request>;

/// What is asked over the admin socket, the API or the master CLI.
#[derive(Debug)]
pub enum Request {
    /// How is it?
    Status(oneshot::Sender<Box<api::Status>>),
    /// What has happened so far?
    Reloads(oneshot::Sender<api::Reloads>),
    /// Which events are there after this one, and from now on?
    Follow {
        /// The one that the client has had last; unset: it wants new ones only.
        had: Option<LastHad>,
        /// Its process, if it is in our PID namespace.
        pid: Option<i32>,
        /// Where the answer goes.
        sender: oneshot::Sender<Result<Follower, NotFollowed>>,
    },
    /// Does the loop answer?
    Alive(oneshot::Sender<()>),
    /// Does a generation serve?
    Health(oneshot::Sender<Health>),
    /// Should new clients be sent here?
    Ready(oneshot::Sender<api::Readiness>),
    /// Which sockets are in custody?
    Sockets(oneshot::Sender<api::SocketList>),
    /// Which servers are there?
    Servers(oneshot::Sender<api::ServerList>),
    /// Ask the transparent servers now whether they find the way to clients.
    AskCanary(oneshot::Sender<api::CanaryWish>),
    /// What are the metrics, and what does HAProxy count, if that is wanted, written so?
    Metrics(Option<MetricsFormat>, oneshot::Sender<Box<MetricsSnapshot>>),
    /// Say when all is over.
    Ended(oneshot::Sender<api::Ended>),
    /// Reload, and tell what came of it.
    Reload(oneshot::Sender<ReloadOutcome>),
    /// Let what served before serve again, and tell what came of it.
    Rollback(oneshot::Sender<ReloadOutcome>),
    /// Have what is on disk, at run time if it can be, and tell what came of it.
    Apply(oneshot::Sender<ReloadOutcome>),
    /// What would that do?
    Plan(oneshot::Sender<PlanAnswer>),
    /// What was a generation started from? Unset: the one that was committed last.
    Configuration(Option<u32>, oneshot::Sender<ConfigurationAnswer>),
    /// What is different on disk, likewise?
    Difference(Option<u32>, oneshot::Sender<ConfigurationAnswer>),
    /// Reload, and give the answer of a master CLI.
    ReloadAsMaster(oneshot::Sender<String>),
    /// Which sessions are there, of one generation or of all?
    Sessions(Option<u32>, oneshot::Sender<Result<api::Sessions, api::EndOf>>),
    /// End a generation that drains.
    End(u32, oneshot::Sender<api::EndOf>),
    /// Tell what would come of a reload.
    Try(oneshot::Sender<ReloadOutcome>),
    /// Which processes are there, and how is each reached?
    Processes(oneshot::Sender<Box<Reachable>>),
    /// What did HAProxy say when it was started last?
    StartupLogs(oneshot::Sender<String>),
    /// Stop.
    Drain {
        /// A holder lets go at once.
        release: bool,
    },
}

/// The answer to a question about files, as JSON: it may be long, and is made beside the loop.
pub type ConfigurationAnswer = Result<Vec<u8>, api::Refused>;

/// What would be done, or why that is not known.
pub type PlanAnswer = Result<Box<api::PlannedChange>, api::Refused>;

/// What came of a reload or a trial.
#[derive(Debug)]
pub struct ReloadOutcome {
    /// As the core says it.
    pub answer: Answer,
    /// Files that were replaced where this container cannot see it, each with what mends it: the former ones were read.
    pub not_read: Vec<String>,
    /// What a reload that took has cost until now, if that is known.
    pub cost: Option<Cost>,
}

impl From<ReloadOutcome> for api::Reloaded {
    fn from(ReloadOutcome { answer, not_read, cost }: ReloadOutcome) -> Self {
        match answer {
            Answer::Serving { generation, proof, moved, carried, rolled_back, applied } => Self::Serving {
                generation: generation.number(),
                worker: proof.worker,
                adopted: proof.adopted.len(),
                moved: proof.all_moved(moved),
                fresh: proof.fresh,
                unclaimed: proof.unclaimed,
                carried,
                not_read,
                cost: cost.map(Box::new),
                rolled_back: rolled_back.map(|told| api::RollbackStatus::of(told, told.since)),
                not_applied: applied.map(api::not_applied).unwrap_or_default(),
            },
            Answer::Applied { generation, serving, applied } => {
                let (changes, commands) = match applied {
                    Applied::AtRunTime { tally, commands } => (Some(tally), commands),
                    Applied::Nothing | Applied::Not { .. } | Applied::Broken { .. } => (None, 0),
                };
                Self::Applied {
                    generation: generation.number(),
                    serving: serving.number(),
                    changes,
                    commands,
                    not_read,
                    cost: cost.map(Box::new),
                }
            }
            Answer::Tried { proof, changes } => Self::Tried {
                adopted: proof.adopted.len(),
                fresh: proof.fresh,
                unclaimed: proof.unclaimed,
                changes,
            },
            Answer::Refused(mut failure) => {
                failure.hints.extend(not_read);
                Self::Refused(failure.into())
            }
            Answer::Stopping => Self::Stopping,
        }
    }
}

/// What a probe is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// A generation serves.
    Serving,
    /// Another Clearway has taken over, and sessions finish here as planned: nothing is wrong.
    Superseded,
    /// None does, or the canary says that it is of no use.
    NotServing,
    /// A generation serves a network that no client can reach any more.
    NetworkGone,
}

impl Health {
    /// Whether the container need not be restarted.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Serving | Self::Superseded)
    }

    /// In one line.
    pub fn said(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Superseded => {
                "superseded: another Clearway serves, and the sessions that are left finish here as planned"
            }
            Self::NotServing => "not serving",
            Self::NetworkGone => notices::GONE,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.said())
    }
}
