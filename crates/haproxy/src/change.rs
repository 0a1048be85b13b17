//! What is different between two configurations, and how a running HAProxy can be brought from one to the other.
//!
//! Answers with data ([`Verdict`]); what it does not understand is a reload (docs/decisions/0047-apply.md). Only [`transaction`]
//! speaks, over a connection that it is given.

mod added;
mod body;
mod capabilities;
mod changed;
mod comparing;
mod excerpt;
mod expected;
pub mod files;
mod limits;
mod lines;
mod mentions;
mod numbers;
mod options;
mod orders;
pub mod plan;
mod proxy;
mod removed;
mod sections;
mod servers;
mod side;
pub mod transaction;
mod words;

pub use capabilities::Capabilities;
pub use expected::Expected;
pub use files::{ChangedFile, FileCheck, FilesOfHaproxy, FilesPlan};
pub use plan::{Effect, Expect, Order, Plan, Reason, Step, StepKind, Tally, Verdict};

use crate::configuration::Configuration;
use comparing::Comparing;
use mentions::has;
use side::Side;

/// What a change of the files comes to, and what HAProxy must say of its servers before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// What is to be done.
    pub verdict: Verdict,
    /// What `show servers state` must say; empty unless something is done at run time.
    pub expected: Expected,
    /// What HAProxy must say of the files that are changed, afterwards.
    pub checks: Vec<FileCheck>,
}

impl Comparison {
    fn of(verdict: Verdict) -> Self {
        Self { verdict, expected: Expected::default(), checks: Vec::new() }
    }

    /// With what is to be done about the files that the configuration names: between what is added and what is removed, as
    /// either may be named in a map.
    #[must_use]
    pub fn with_files(self, files: FilesPlan) -> Self {
        let FilesPlan { steps, reasons, checks } = files;
        let mut plan = match self.verdict {
            Verdict::Reload(mut all) => {
                all.extend(reasons);
                return Self::of(Verdict::Reload(all));
            }
            _ if !reasons.is_empty() => return Self::of(Verdict::Reload(reasons)),
            Verdict::Same if steps.is_empty() => return Self::of(Verdict::Same),
            Verdict::Same => Plan::default(),
            Verdict::RunTime(plan) => plan,
        };
        let removed = plan.steps.iter().position(|step| step.kind == StepKind::ServerRemoved);
        let at = removed.unwrap_or(plan.steps.len());
        plan.steps.splice(at..at, steps);
        Self { verdict: Verdict::RunTime(plan), expected: self.expected, checks }
    }
}

/// [`comparison`] without what is expected of the servers.
pub fn compare(old: &Configuration, new: &Configuration, can: &Capabilities) -> Verdict {
    comparison(old, new, can).verdict
}

/// Compares the configuration that runs with the one that is to run. Looks at the lines alone: what has changed in the files
/// that they name is not its business. Both are of the same environment.
pub fn comparison(old: &Configuration, new: &Configuration, can: &Capabilities) -> Comparison {
    if old.files == new.files {
        return Comparison::of(Verdict::Same);
    }
    let sides = match understood(old, new) {
        Ok(()) => Side::of(old).and_then(|old| Ok((old, Side::of(new)?))),
        Err(reason) => Err(reason),
    };
    match sides {
        Ok((was, is)) => Comparing::new((&was, &is), (old, new), can).run(),
        Err(reason) => Comparison::of(Verdict::Reload(vec![reason])),
    }
}

/// What is not looked into, wherever it stands.
fn understood(old: &Configuration, new: &Configuration) -> Result<(), Reason> {
    let everywhere = |what: &str| Err(Reason { place: String::new(), what: what.to_owned() });
    if !old.files.iter().map(|file| &file.name).eq(new.files.iter().map(|file| &file.name)) {
        return everywhere("the configuration consists of other files");
    }
    if let Some(file) = new.files.iter().find(|file| has(&file.bytes, b"${.")) {
        let what = "a line asks for its own place (`${.LINE}` and the like), and lines may have moved";
        return Err(Reason { place: file.name.display().to_string(), what: what.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
