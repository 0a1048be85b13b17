//! From two configurations to a plan. Blocks, on a thread; changes nothing.

use std::time::Instant;

use clearway_haproxy::change::{
    ChangeComparison, ChangeVerdict, Expected, FileCheck, Plan, ReloadReason, comparison,
};
use clearway_haproxy::drift::FileDifference;

use crate::apply::asked::{self, Moment};
use crate::apply::files;
use crate::fleet::chosen::StartedFrom;
use crate::fleet::executable::{Acceptance, CHECKING};
use crate::fleet::to_plan::ServingToChange;

/// A plan, and what HAProxy must say before and after.
#[derive(Debug)]
pub struct PlannedHere {
    /// What is to be done.
    pub verdict: ChangeVerdict,
    /// What it must say of its servers.
    pub expected: Expected,
    /// What it must say of its files afterwards.
    pub checks: Vec<FileCheck>,
}

impl From<ChangeVerdict> for PlannedHere {
    fn from(verdict: ChangeVerdict) -> Self {
        Self { verdict, expected: Expected::default(), checks: Vec::new() }
    }
}

/// Plans how this generation comes to have what was read.
pub fn plan(serving: &ServingToChange, new: &StartedFrom) -> PlannedHere {
    match try_to_plan(serving, new) {
        Ok(planned) => planned,
        Err(reason) => ChangeVerdict::Reload(vec![reason]).into(),
    }
}

fn try_to_plan(serving: &ServingToChange, new: &StartedFrom) -> Result<PlannedHere, ReloadReason> {
    let (was, is) = (&serving.from.configuration, &new.configuration);
    let changed = changed_files(&serving.from, new)?;
    if was.files == is.files && changed.is_empty() {
        return Ok(ChangeVerdict::Same.into());
    }
    if was.is_transparent() != is.is_transparent() {
        let what = if is.is_transparent() {
            "lines with `usesrc` are new: HAProxy needs rights and the plumbing for them"
        } else {
            "no line has `usesrc` any more: HAProxy keeps rights that it does not need"
        };
        return Err(ReloadReason::anywhere(what));
    }
    let can = asked::capabilities(&serving.stats).map_err(|error| {
        ReloadReason::anywhere(format!("what HAProxy can do at run time is not known: {error}"))
    })?;
    let mut wire = asked::wire(&serving.stats);
    let files = files::plan(&changed, (was, is), &can, &mut wire)?;
    let ChangeComparison { verdict, expected, checks } = comparison(was, is, &can).with_files(files);
    let ChangeVerdict::RunTime(plan) = &verdict else { return Ok(verdict.into()) };
    let unexpected = asked::unexpected(&mut wire, &expected, Moment::Before);
    let unexpected = unexpected
        .map_err(|error| ReloadReason::anywhere(format!("asking HAProxy for its servers: {error}")))?;
    if !unexpected.is_empty() {
        return Ok(ChangeVerdict::Reload(unexpected).into());
    }
    accepts(serving, plan)?;
    Ok(PlannedHere { verdict, expected, checks })
}

/// Files that the configuration names whose content is another one now.
fn changed_files(was: &StartedFrom, is: &StartedFrom) -> Result<Vec<FileDifference>, ReloadReason> {
    match (&was.named, &is.named) {
        (Some(before), Some(now)) => Ok(now.changes_since(before)),
        (_, None) => Err(ReloadReason::anywhere("the files that the configuration names do not answer")),
        (None, _) => Err(ReloadReason::anywhere(
            "it is not known what the files that the configuration names said at its start",
        )),
    }
}

/// Whether HAProxy's own reading accepts the servers that are new.
fn accepts(serving: &ServingToChange, plan: &Plan) -> Result<(), ReloadReason> {
    let Some(excerpt) = &plan.excerpt else { return Ok(()) };
    match serving.executable.accepts(excerpt, &serving.invocation, Instant::now() + CHECKING) {
        Acceptance::Accepted => Ok(()),
        Acceptance::Refused(words) => Err(ReloadReason::anywhere(format!(
            "HAProxy does not accept the servers as they are to be: {words}"
        ))),
        Acceptance::Unknown(error) => Err(ReloadReason::anywhere(format!(
            "HAProxy was not asked whether it accepts the servers: {error}"
        ))),
    }
}
