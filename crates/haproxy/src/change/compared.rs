//! What a comparison of two configurations comes to.

use super::expected::Expected;
use super::files::{FileCheck, FilesPlan};
use super::plan::{ChangeVerdict, Plan, StepKind};

/// What a change of the files comes to, and what HAProxy must say of its servers before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeComparison {
    /// What is to be done.
    pub verdict: ChangeVerdict,
    /// What `show servers state` must say; empty unless something is done at run time.
    pub expected: Expected,
    /// What HAProxy must say of the files that are changed, afterwards.
    pub checks: Vec<FileCheck>,
}

impl ChangeComparison {
    pub(super) fn of(verdict: ChangeVerdict) -> Self {
        Self { verdict, expected: Expected::default(), checks: Vec::new() }
    }

    /// With what is to be done about the files that the configuration names: between what is added and what is removed, as
    /// either may be named in a map.
    #[must_use]
    pub fn with_files(self, files: FilesPlan) -> Self {
        let FilesPlan { steps, reasons, checks } = files;
        let mut plan = match self.verdict {
            ChangeVerdict::Reload(mut all) => {
                all.extend(reasons);
                return Self::of(ChangeVerdict::Reload(all));
            }
            _ if !reasons.is_empty() => return Self::of(ChangeVerdict::Reload(reasons)),
            ChangeVerdict::Same if steps.is_empty() => return Self::of(ChangeVerdict::Same),
            ChangeVerdict::Same => Plan::default(),
            ChangeVerdict::RunTime(plan) => plan,
        };
        let removed = plan.steps.iter().position(|step| step.kind == StepKind::ServerRemoved);
        let at = removed.unwrap_or(plan.steps.len());
        plan.steps.splice(at..at, steps);
        Self { verdict: ChangeVerdict::RunTime(plan), expected: self.expected, checks }
    }
}
