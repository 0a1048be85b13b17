//! Either Clearway is killed at every step of a takeover, with a holder beside them: no new client is refused, and one
//! of them serves.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::Expect;
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;

use super::NAMED;
use crate::holder::{holder, wait_until_it_holds};
use crate::stage::{SOON, Stage, assert_code, assert_only_accepted_ones_lost, said};
use crate::steps::Steps;

crate::tests![
    the_old_one_at_each_of_its_steps,
    the_old_one_at_each_step_of_the_new_one,
    the_new_one_at_each_of_its_steps,
    the_new_one_at_each_step_of_the_old_one,
    the_steps_are_all_known,
];

/// The steps of the one that is taken over from. A takeover with a step that is not in these lists fails
/// `the_steps_are_all_known`; one that lacks a step fails the test that wants to kill there.
const OLD: &[&str] = &[
    "hears SuccessorAsked",
    "takes TakeoverAsked",
    "does HandOver",
    "hears SuccessorServes",
    "takes Superseded",
    "does Relieve",
    "does Drain",
    "does Report Draining",
    "takes Exited",
    "does Report Drained",
    "does Unplumb",
    "takes LastWords",
];

/// The steps of the one that takes over.
const NEW: &[&str] = &[
    "asks Predecessor",
    "asks Holder",
    "takes Begin",
    "does Prepare",
    "hears Read",
    "hears Followed",
    "hears Asked",
    "takes Prepared",
    "does Launch",
    "takes Started",
    "does Report Started",
    "asks Sockets",
    "hears Answered",
    "hears Proved",
    "takes Proved",
    "does Carry",
    "takes Carried",
    "does Commit",
    "does Report Serving",
    "does Attempted",
    "does Supersede",
    "does RememberOnly",
    "hears Relieved",
    "does Settled",
];

/// The steps of either after the old one has heard that all is well: it leaves, whatever becomes of the new one.
const OLD_LEAVES: &[&str] =
    &["hears SuccessorSettled", "takes SuccessorSettled", "does ReleaseCustody", "does Exit"];
const NEW_LEFT: &[&str] = &["hears PredecessorGone", "takes PredecessorGone"];

/// What may come at any time and has no place in a takeover.
const BESIDE: &[&str] = &[
    "takes TimePassed",
    "hears Strangers",
    "hears Servers",
    "hears State",
    "hears StateDue",
    "hears Event Carried",
    "hears Canary",
    "hears Due",
    "hears Removed",
    "hears Event Exited",
    "hears Event LastWords",
];

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Old,
    New,
}

/// Takes over once for each step, kills the victim before it, and sees that one serves.
fn at_every_step(name: &str, victim: Side, teller: Side) -> Result<()> {
    let stage = Stage::new(name)?;
    stage.write(&stage.transparent())?;
    let holder = holder(&stage, &[])?;
    let mut serving = Steps::start(&stage, &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    let plan = stage.load(200.0, Duration::from_mins(10)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan.patient_for(Duration::from_secs(15)))?;
    let (steps, last) = if teller == Side::Old { (OLD, OLD_LEAVES) } else { (NEW, NEW_LEFT) };
    let mut kills = 0;
    // A process that has left cannot be killed.
    let last = if victim == Side::Old && teller == Side::New { &[] } else { last };
    for step in steps.iter().chain(last) {
        load.settle()?;
        let leaves = last.contains(step) && victim == Side::New;
        serving = round(&stage, serving, step, (victim, teller), leaves)
            .with_context(|| format!("the {victim:?} one before `{step}` of the {teller:?} one"))?;
        kills += 1;
    }
    assert_only_accepted_ones_lost(&load.finish_after(100)?, kills)?;
    let (steps, mut balancer) = serving;
    drop(steps);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    crate::holder::end(holder)?;
    stage.assert_clean()
}

/// One takeover with a kill in it; gives the one that serves. Where the old one `leaves` although the new one is
/// killed, that is the next one.
fn round(
    stage: &Stage,
    old: (Steps, Balancer),
    step: &str,
    (victim, teller): (Side, Side),
    leaves: bool,
) -> Result<(Steps, Balancer)> {
    let of_new = (teller == Side::New).then_some(step);
    if teller == Side::Old {
        old.0.stop_at(step);
    }
    let new = Steps::launch(stage, of_new, &[NAMED])?;
    let told = if teller == Side::Old { &old.0 } else { &new.0 };
    told.wait().with_context(|| new.1.stderr().unwrap_or_default())?;
    let ((of_victim, mut killed), (steps, mut other)) =
        if victim == Side::Old { (old, new) } else { (new, old) };
    killed.signal(Signal::KILL)?;
    killed.wait_exit(SOON)?;
    drop(of_victim);
    steps.go_on();
    if leaves {
        assert_code(other.wait_exit(SOON)?, 0)?;
        return Steps::start(stage, &[NAMED]);
    }
    let serves = eventually(SOON, "the other one to serve", || {
        let status = said(&stage.clearway(&["status", "--instance", "web"]).ok()?);
        let is_it = status.starts_with("serving") && status.contains(&format!(", pid {},", other.pid()));
        is_it.then_some(())
    });
    serves.with_context(|| other.stderr().unwrap_or_default())?;
    stage.wait_ready(&mut other)?;
    Ok((steps, other))
}

fn the_steps_are_all_known() -> Result<()> {
    let stage = Stage::new("tkknown")?;
    stage.write(&stage.transparent())?;
    let holder = holder(&stage, &[])?;
    let (old_steps, mut old) = Steps::start(&stage, &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    // The last of its own start, which comes after it has said that it serves.
    let begun = || old_steps.take_seen().contains("does RememberOnly").then_some(());
    eventually(SOON, "the old one to be done with its start", begun)?;
    let (new_steps, mut new) = Steps::launch(&stage, None, &[NAMED])?;
    assert_code(old.wait_exit(SOON)?, 0)?;
    let mut seen = BTreeSet::new();
    eventually_because(SOON, "all steps of the new one", || {
        seen.extend(new_steps.take_seen());
        compare(seen.clone(), [NEW, NEW_LEFT])
    })?;
    compare(old_steps.take_seen(), [OLD, OLD_LEAVES])?;
    drop((old_steps, new_steps));
    assert_code(new.stop(Signal::TERM, SOON)?, 0)?;
    crate::holder::end(holder)?;
    stage.assert_clean()
}

fn compare(mut seen: BTreeSet<String>, known: [&[&str]; 2]) -> Result<()> {
    let known = known.concat();
    let missing: Vec<_> = known.iter().filter(|step| !seen.contains(**step)).collect();
    ensure!(missing.is_empty(), "it went without {missing:?}");
    seen.retain(|step| !known.contains(&&**step) && !BESIDE.contains(&&**step));
    // A kill before one of these reports is one before what follows it.
    seen.retain(|step| !step.starts_with("does Report Takeover"));
    ensure!(seen.is_empty(), "steps at which no process is killed, so add them to a list: {seen:?}");
    Ok(())
}

fn the_old_one_at_each_of_its_steps() -> Result<()> {
    at_every_step("tkoldold", Side::Old, Side::Old)
}

fn the_old_one_at_each_step_of_the_new_one() -> Result<()> {
    at_every_step("tkoldnew", Side::Old, Side::New)
}

fn the_new_one_at_each_of_its_steps() -> Result<()> {
    at_every_step("tknewnew", Side::New, Side::New)
}

fn the_new_one_at_each_step_of_the_old_one() -> Result<()> {
    at_every_step("tknewold", Side::New, Side::Old)
}
