//! Something that was found in the way of transparent connections, and what it concerns.

use std::net::SocketAddr;

use clearway_core::names::Mark;
use clearway_haproxy::configuration::ServerLine;
use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObstacleSeverity {
    /// As it should be.
    Good,
    /// Worth knowing; it may be that nothing is wrong.
    Note,
    /// Connections fail, or clients are hidden.
    Problem,
}

/// How it was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObstacleKind {
    /// A server that is a client as well: its connections were seen, and may be gone.
    IsItsOwnClient,
    /// In the files and in the kernel, where it can be looked for again.
    #[default]
    #[serde(other)]
    Looked,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Obstacle {
    /// How it was found.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = String))]
    pub kind: ObstacleKind,
    /// How bad it is.
    #[cfg_attr(test, schema(value_type = String))]
    pub severity: ObstacleSeverity,
    /// What it is, and where.
    pub saw: String,
    /// Why it matters.
    pub matters: String,
    /// What mends it; empty where there is nothing to mend.
    pub remedy: String,
}

impl Obstacle {
    /// Something that was found.
    pub fn new(
        severity: ObstacleSeverity,
        saw: impl Into<String>,
        matters: &str,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            kind: ObstacleKind::default(),
            severity,
            saw: saw.into(),
            matters: matters.to_owned(),
            remedy: remedy.into(),
        }
    }

    /// Whether connections fail, or clients are hidden.
    pub fn is_problem(&self) -> bool {
        self.severity == ObstacleSeverity::Problem
    }
}

/// A transparent server: where it is, and which line says so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransparentServer {
    /// Where it is.
    pub address: SocketAddr,
    /// Its name and its line.
    pub line: String,
}

impl TransparentServer {
    /// The line of a server.
    pub fn line(server: &ServerLine) -> String {
        format!("`{}`, {}", server.name, server.span)
    }

    /// For a sentence that begins with what was found.
    pub(super) fn is_there(&self) -> String {
        format!("where the server {} is ({})", self.address, self.line)
    }
}

/// The bits of the packet mark that are ours.
#[derive(Clone, Copy, Debug)]
pub struct Bits {
    /// Of diverted packets.
    pub diverted: Mark,
    /// Of replies of servers on this host's own addresses, if there are any.
    pub replies: Option<Mark>,
}

/// What could not be found out.
pub(super) fn unknown(saw: &str) -> Obstacle {
    Obstacle::new(ObstacleSeverity::Note, saw, "whether something in it is in the way is not known", "")
}
