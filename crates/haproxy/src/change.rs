//! What is different between two configurations, and how a running HAProxy can be brought from one to the other.
//!
//! Answers with data ([`ChangeVerdict`]); what it does not understand is a reload (docs/decisions/0047-apply.md). Only [`transaction`]
//! speaks, over a connection that it is given.

mod added;
mod body;
mod capabilities;
mod changed;
mod compared;
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
mod pair;
pub mod plan;
mod proxy;
mod removed;
mod sections;
mod servers;
mod side;
pub mod transaction;
mod words;

pub use capabilities::Capabilities;
pub use compared::ChangeComparison;
pub use expected::Expected;
pub use files::{ChangedFile, FileCheck, FilesOfHaproxy, FilesPlan};
pub use plan::{ChangeVerdict, Expect, Plan, PlanOrder, PlanStep, PlanTally, ReloadReason, StepKind};

use crate::configuration::Configuration;
use comparing::Comparing;
use mentions::has;
use side::Side;

/// [`comparison`] without what is expected of the servers.
pub fn compare(old: &Configuration, new: &Configuration, can: &Capabilities) -> ChangeVerdict {
    comparison(old, new, can).verdict
}

/// Compares the configuration that runs with the one that is to run. Looks at the lines alone: what has changed in the files
/// that they name is not its business. Both are of the same environment.
pub fn comparison(old: &Configuration, new: &Configuration, can: &Capabilities) -> ChangeComparison {
    if old.files == new.files {
        return ChangeComparison::of(ChangeVerdict::Same);
    }
    let sides = match understood(old, new) {
        Ok(()) => Side::of(old).and_then(|old| Ok((old, Side::of(new)?))),
        Err(reason) => Err(reason),
    };
    match sides {
        Ok((was, is)) => Comparing::new((&was, &is), (old, new), can).run(),
        Err(reason) => ChangeComparison::of(ChangeVerdict::Reload(vec![reason])),
    }
}

/// What is not looked into, wherever it stands.
fn understood(old: &Configuration, new: &Configuration) -> Result<(), ReloadReason> {
    if !old.files.iter().map(|file| &file.name).eq(new.files.iter().map(|file| &file.name)) {
        return Err(ReloadReason::anywhere("the configuration consists of other files"));
    }
    if let Some(file) = new.files.iter().find(|file| has(&file.bytes, b"${.")) {
        let what = "a line asks for its own place (`${.LINE}` and the like), and lines may have moved";
        return Err(ReloadReason::at(file.name.display(), what));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
