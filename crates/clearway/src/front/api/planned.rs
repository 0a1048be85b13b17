//! What would be changed at run time, and what was not and why.

use clearway_core::supervisor::Applied;
use clearway_haproxy::change::{ChangeVerdict, Plan, PlanStep};
use serde::{Deserialize, Serialize};
use strum::Display;

mod commands;

/// What `clearway apply` would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PlanVerdict {
    /// Nothing: what is on disk is what serves.
    Nothing,
    /// It would change the HAProxy that serves.
    AtRunTime,
    /// It would reload.
    Reload,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// Answer to `POST /v1/apply?dry-run`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PlannedChange {
    /// The generation that serves.
    pub serving: u32,
    /// `nothing`, `at-run-time` or `reload`.
    #[cfg_attr(test, schema(value_type = String))]
    pub verdict: PlanVerdict,
    /// What would be changed at run time: `3 servers added, 1 certificate`; unset otherwise.
    pub changes: Option<String>,
    /// How many commands that takes in all.
    #[serde(default)]
    pub commands: usize,
    /// One after the other.
    pub steps: Vec<PlannedStep>,
    /// Why it needs a reload; the first one counts most.
    pub reasons: Vec<String>,
}

/// One thing that would be brought from its former to its new state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PlannedStep {
    /// `server added`, `certificate` ...
    pub kind: String,
    /// Which: `BACKEND/SERVER`, a path, `frontend NAME`, `global`.
    pub object: String,
    /// What is different.
    pub why: String,
    /// The commands for HAProxy, in this order. What is in files is counted, not shown; `{version}` is the number that HAProxy
    /// answers to the `prepare` before.
    pub commands: Vec<String>,
}

impl PlannedChange {
    /// Of a plan for this generation.
    pub fn of(serving: u32, verdict: &ChangeVerdict) -> Self {
        let (word, plan, reasons): (_, Option<&Plan>, _) = match verdict {
            ChangeVerdict::Same => (PlanVerdict::Nothing, None, Vec::new()),
            ChangeVerdict::RunTime(plan) => (PlanVerdict::AtRunTime, Some(plan), Vec::new()),
            ChangeVerdict::Reload(reasons) => {
                (PlanVerdict::Reload, None, reasons.iter().map(ToString::to_string).collect())
            }
        };
        Self {
            serving,
            verdict: word,
            changes: plan.map(|plan| plan.tally().to_string()),
            commands: plan.map_or(0, Plan::commands),
            steps: plan.into_iter().flat_map(|plan| &plan.steps).map(PlannedStep::of).collect(),
            reasons,
        }
    }
}

impl PlannedStep {
    fn of(step: &PlanStep) -> Self {
        Self {
            kind: step.kind.words().0.to_owned(),
            object: step.object.clone(),
            why: step.why.clone(),
            commands: commands::told(step),
        }
    }
}

/// What was applied at run time, for people; none: nothing.
pub(super) fn applied(applied: &Applied) -> Option<String> {
    match applied {
        Applied::AtRunTime { tally, .. } => Some(tally.clone()),
        Applied::Nothing => Some("nothing to do".to_owned()),
        Applied::Not { .. } | Applied::Broken { .. } => None,
    }
}

/// Why it was a reload in spite of a plan; none: it was not.
pub fn not_applied(applied: Applied) -> Vec<String> {
    match applied {
        Applied::Not { reasons } => reasons,
        Applied::Broken { steps_done: 0, why } => vec![format!("it broke off: {why}")],
        Applied::Broken { steps_done, why } => {
            vec![format!("it broke off after {}: {why}", clearway_core::count::Count(steps_done, "step"))]
        }
        Applied::Nothing | Applied::AtRunTime { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use clearway_haproxy::change::{Expect, PlanOrder, StepKind};

    use super::*;

    #[test]
    fn the_content_of_files_is_not_told() {
        let order = |command: &str, payload: Option<&str>| PlanOrder {
            command: command.to_owned(),
            payload: payload.map(str::to_owned),
            expect: Expect::Silence,
        };
        let orders =
            vec![order("set ssl cert /a.pem", Some("SECRET\nKEY\n")), order("commit ssl cert /a.pem", None)];
        let step = PlanStep {
            kind: StepKind::Certificate,
            object: "/a.pem".to_owned(),
            why: "it has changed".to_owned(),
            orders,
        };
        let plan = ChangeVerdict::RunTime(Plan { steps: vec![step], excerpt: None });
        let told = PlannedChange::of(7, &plan);
        assert_eq!((told.changes.as_deref(), told.commands), (Some("1 certificate"), 2));
        assert_eq!(
            told.steps[0].commands,
            ["set ssl cert /a.pem << (2 lines of the file)", "commit ssl cert /a.pem"]
        );
        let json = serde_json::to_string(&told).unwrap();
        assert!(json.contains("\"verdict\":\"at-run-time\"") && !json.contains("SECRET"), "{json}");
    }
}
