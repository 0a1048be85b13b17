//! What `clearway doctor` has found.

use serde::Serialize;

use crate::ground::places::Missing;
use crate::path::obstacles::{Obstacle, ObstacleSeverity};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
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
    pub fn good(saw: impl Into<String>) -> Self {
        Self { severity: ObstacleSeverity::Good, saw: saw.into(), matters: None, remedy: None }
    }

    /// Worth knowing.
    pub fn note(saw: impl Into<String>) -> Self {
        Self { severity: ObstacleSeverity::Note, ..Self::good(saw) }
    }

    /// Something that keeps the configuration from working.
    pub fn problem(saw: impl Into<String>, matters: &str, remedy: impl Into<String>) -> Self {
        let (matters, remedy) = (Some(matters.to_owned()), Some(remedy.into()));
        Self { severity: ObstacleSeverity::Problem, saw: saw.into(), matters, remedy }
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
        Self { severity, ..Self::problem(saw, matters, remedy) }
    }
}

impl From<Obstacle> for Finding {
    fn from(obstacle: Obstacle) -> Self {
        let Obstacle { severity, saw, matters, remedy, .. } = obstacle;
        let unless_empty = |text: String| (!text.is_empty()).then_some(text);
        Self { severity, saw, matters: unless_empty(matters), remedy: unless_empty(remedy) }
    }
}
