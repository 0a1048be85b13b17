//! What `clearway doctor` has found.

use serde::Serialize;

use crate::ground::places::Missing;
use crate::path::obstacles::{Obstacle, ObstacleKind, ObstacleSeverity};

/// What was looked at. Its words are those of `--json`, which docs/reference/doctor.md lists: they stay the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(strum::VariantArray))]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The program that is supervised.
    Haproxy,
    /// Which files are looked at.
    LookedAt,
    /// A variable that is no setting.
    UnknownSetting,
    /// A right of this process.
    Capability,
    /// Sockets with addresses of others.
    TransparentSockets,
    /// The version of Linux.
    Kernel,
    /// A way of changing from one generation to the next.
    Strategy,
    /// What is in the kernel.
    Residue,
    /// A Clearway that runs.
    Running,
    /// Where one of them answers as HAProxy's master does.
    MasterCli,
    /// The network that a Clearway began in.
    Network,
    /// Whether a server finds the way to clients.
    Server,
    /// A server that is a client as well.
    OwnClient,
    /// What is in the way of transparent connections.
    Obstacle,
    /// What is intercepted.
    Interception,
    /// A setting of the kernel.
    Sysctl,
    /// The files as a whole.
    Configuration,
    /// Settings of the files that are in each other's way.
    SettingsFight,
    /// An address that this host does not have.
    ForeignAddress,
    /// A line that makes servers see clients.
    TransparentLine,
    /// A file that is mounted by itself.
    Mount,
    /// A directory or socket of the files.
    Place,
    /// Clients that no server can see.
    HiddenClients,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Which one, where there may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How bad it is.
    pub severity: ObstacleSeverity,
    /// What was looked at and what was seen.
    pub saw: String,
    /// Why it matters, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matters: Option<String>,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn good(kind: FindingKind, saw: impl Into<String>) -> Self {
        let severity = ObstacleSeverity::Good;
        Self { kind, subject: None, severity, saw: saw.into(), matters: None, remedy: None }
    }

    /// Worth knowing.
    pub fn note(kind: FindingKind, saw: impl Into<String>) -> Self {
        Self { severity: ObstacleSeverity::Note, ..Self::good(kind, saw) }
    }

    /// Something that keeps the configuration from working.
    pub fn problem(
        kind: FindingKind,
        saw: impl Into<String>,
        matters: &str,
        remedy: impl Into<String>,
    ) -> Self {
        let (matters, remedy) = (Some(matters.to_owned()), Some(remedy.into()));
        Self { severity: ObstacleSeverity::Problem, matters, remedy, ..Self::good(kind, saw) }
    }

    /// Which one it is about.
    pub fn about(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// For a person to read.
    pub fn print(&self) {
        let mark = match self.severity {
            ObstacleSeverity::Good => "ok  ",
            ObstacleSeverity::Note => "note",
            ObstacleSeverity::Problem => "BAD ",
        };
        crate::say!("{mark}  {}", self.saw);
        if let Some(matters) = &self.matters {
            crate::say!("      why it matters: {matters}");
        }
        if let Some(remedy) = &self.remedy {
            crate::say!("      what mends it: {remedy}");
        }
    }
}

impl From<Missing> for Finding {
    fn from(missing: Missing) -> Self {
        let Missing { saw, matters, remedy, stops } = missing;
        let severity = if stops { ObstacleSeverity::Problem } else { ObstacleSeverity::Note };
        Self { severity, ..Self::problem(FindingKind::Place, saw, matters, remedy) }
    }
}

impl From<Obstacle> for Finding {
    fn from(obstacle: Obstacle) -> Self {
        let Obstacle { kind, severity, saw, matters, remedy } = obstacle;
        let unless_empty = |text: String| (!text.is_empty()).then_some(text);
        let kind = match kind {
            ObstacleKind::IsItsOwnClient => FindingKind::OwnClient,
            ObstacleKind::Looked => FindingKind::Obstacle,
        };
        let (matters, remedy) = (unless_empty(matters), unless_empty(remedy));
        Self { kind, subject: None, severity, saw, matters, remedy }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn each_kind_is_documented_and_no_other() {
        let page = include_str!("../../../../../docs/reference/doctor.md");
        let (_, table) = page.split_once("| kind |").unwrap();
        let named = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let kinds = FindingKind::VARIANTS.iter().map(|kind| serde_json::to_value(kind).unwrap());
        assert_eq!(named.map(|(kind, _)| kind).collect::<Vec<_>>(), kinds.collect::<Vec<_>>());
    }
}
