//! `clearway hold`: while no balancer runs at all, clients that connect wait and are served by the next one.

pub mod asked;
pub mod quiet;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind, clearway_program};
use clearway_lab::load::{Ask, Class, Expect, RunningLoad, ask_once};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{
    SOON, Stage, assert_code, assert_no_client_lost, assert_only_accepted_ones_lost, complained, said,
};
use crate::takeover::NAMED;

crate::tests![
    a_client_that_connects_while_no_balancer_runs_waits_for_the_next,
    a_planned_stop_is_held_for_a_while_and_then_refused,
    a_stop_with_release_is_refused_at_once,
    a_holder_that_comes_late_holds_too,
    a_holder_that_goes_costs_nothing,
    what_a_killed_balancer_left_is_swept,
    a_takeover_with_a_holder_and_then_a_loss,
    either_side_killed_at_any_moment_of_a_takeover,
    a_holder_needs_a_name_and_is_one,
    a_stranger_gets_nothing_from_a_holder,
];

/// Starts a holder, and waits until it holds sockets or is ready to.
pub fn holder(stage: &Stage, more: &[(&str, &str)]) -> Result<Balancer> {
    let words = [clearway_program()?.display().to_string(), "hold".to_owned()];
    let variables: Vec<_> = [NAMED, ("CLEARWAY_LOG", "json,debug")].iter().chain(more).copied().collect();
    let holder = Balancer::start_words(&stage.hosts.balancer, Kind::Clearway, &words, &variables)?;
    holder.wait_for_event(0, "hold.begun", &[("instance", &"web")], SOON)?;
    Ok(holder)
}

/// Waits until it holds the sockets of both fronts.
pub fn wait_until_it_holds(holder: &Balancer, from: u64) -> Result<()> {
    holder.wait_for_log(from, "keeping 2 listening sockets", SOON).map(|_| ())
}

fn patient_load(stage: &Stage, rate: f64) -> Result<RunningLoad> {
    let plan = stage.load(rate, Duration::from_mins(2)).expecting(Expect::Anything);
    clearway_lab::load::start(&stage.hosts.client, plan.patient_for(Duration::from_secs(20)))
}

pub fn end(mut holder: Balancer) -> Result<()> {
    assert_code(holder.stop(Signal::TERM, SOON)?, 0)
}

fn a_client_that_connects_while_no_balancer_runs_waits_for_the_next() -> Result<()> {
    let stage = Stage::new("hdkill")?;
    stage.write(&stage.plain())?;
    let holder = holder(&stage, &[])?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    let load = patient_load(&stage, 100.0)?;
    let mut serving = first;
    for _ in 0..3 {
        let from = holder.log_position()?;
        serving.signal(Signal::KILL)?;
        serving.wait_exit(SOON)?;
        holder.wait_for_event(from, "hold.lost", &[], SOON)?;
        eventually(SOON, "clients to wait in the sockets that it holds", || {
            let listeners = clearway_lab::kernel::listeners(&stage.hosts.balancer).ok()?;
            (listeners.iter().map(|(_, waiting)| waiting).sum::<u32>() > 50).then_some(())
        })?;
        let next = stage.launch(&[], &[NAMED])?;
        next.wait_for_event(0, "socket.kept-used", &[("by", &"a holder")], SOON)?;
        next.wait_for_event(0, "generation.serving", &[("adopted", &2)], SOON)?;
        wait_until_it_holds(&holder, from)?;
        load.settle()?;
        serving = next;
    }
    first = serving;
    assert_only_accepted_ones_lost(&load.finish_after(1)?, 3)?;
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    end(holder)?;
    stage.assert_clean()
}

/// How a connection to the first front goes, once.
fn refused(stage: &Stage) -> bool {
    let ask = || ask_once(stage.fronts()[0], Ask::Line, Duration::from_secs(1)) == Err(Class::Refused);
    stage.hosts.client.enter(ask).is_ok_and(|refused| refused)
}

fn a_planned_stop_is_held_for_a_while_and_then_refused() -> Result<()> {
    let stage = Stage::new("hdstop")?;
    stage.write(&stage.plain())?;
    let holder = holder(&stage, &[("CLEARWAY_HOLD_AFTER_STOP", "3s")])?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(!refused(&stage), "a client that connects within the time is refused");
    holder.wait_for_event(0, "hold.over", &[("sockets", &2)], SOON)?;
    ensure!(refused(&stage), "a process listens although nothing runs");
    end(holder)?;
    stage.assert_clean()
}

fn a_stop_with_release_is_refused_at_once() -> Result<()> {
    let stage = Stage::new("hdrel")?;
    stage.write(&stage.plain())?;
    let holder = holder(&stage, &[("CLEARWAY_HOLD_AFTER_STOP", "1h")])?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    let output = stage.clearway(&["stop", "--release", "--instance", "web"])?;
    ensure!(output.status.success(), "{}", complained(&output));
    assert_code(first.wait_exit(SOON)?, 0)?;
    holder.wait_for_event(0, "hold.over", &[], SOON)?;
    ensure!(refused(&stage), "a process listens although nothing runs");
    end(holder)?;
    stage.assert_clean()
}

fn a_holder_that_comes_late_holds_too() -> Result<()> {
    let stage = Stage::new("hdlate")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let mut holder = holder(&stage, &[])?;
    wait_until_it_holds(&holder, 0)?;
    first.wait_for_event(0, "holder.connected", &[], SOON)?;
    // Another one in its place.
    holder.signal(Signal::KILL)?;
    holder.wait_exit(SOON)?;
    let holder = self::holder(&stage, &[])?;
    wait_until_it_holds(&holder, 0)?;
    first.signal(Signal::KILL)?;
    first.wait_exit(SOON)?;
    holder.wait_for_event(0, "hold.lost", &[("sockets", &2)], SOON)?;
    let mut second = stage.start_with(&[], &[NAMED])?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    end(holder)?;
    stage.assert_clean()
}

fn a_holder_that_goes_costs_nothing() -> Result<()> {
    let stage = Stage::new("hdgone")?;
    stage.write(&stage.plain())?;
    let mut holder = holder(&stage, &[])?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    let load = patient_load(&stage, 100.0)?;
    holder.signal(Signal::KILL)?;
    holder.wait_exit(SOON)?;
    assert_code(stage.clearway(&["reload", "--instance", "web"])?.status, 0)?;
    assert_code(stage.clearway(&["reload", "--instance", "web"])?.status, 0)?;
    assert_no_client_lost(&load.finish_after(1)?)?;
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn what_a_killed_balancer_left_is_swept() -> Result<()> {
    let stage = Stage::new("hdsweep")?;
    stage.write(&stage.transparent())?;
    let holder = holder(&stage, &[])?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    first.signal(Signal::KILL)?;
    first.wait_exit(SOON)?;
    holder.wait_for_event(0, "hold.swept", &[], SOON)?;
    eventually(SOON, "the kernel to be clean", || stage.assert_kernel_clean().ok())?;
    end(holder)?;
    stage.assert_clean()
}

fn a_takeover_with_a_holder_and_then_a_loss() -> Result<()> {
    let stage = Stage::new("hdtake")?;
    stage.write(&stage.plain())?;
    let holder = holder(&stage, &[])?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    let load = patient_load(&stage, 100.0)?;
    let from = holder.log_position()?;
    let mut second = stage.launch(&[], &[NAMED])?;
    second.wait_for_event(0, "generation.serving", &[], SOON)?;
    wait_until_it_holds(&holder, from)?;
    // What the first one says at its end is not the holder's business any more.
    assert_code(first.wait_exit(SOON)?, 0)?;
    second.signal(Signal::KILL)?;
    second.wait_exit(SOON)?;
    holder.wait_for_event(from, "hold.lost", &[], SOON)?;
    let mut third = stage.start_with(&[], &[NAMED])?;
    assert_only_accepted_ones_lost(&load.finish_after(1)?, 1)?;
    assert_code(third.stop(Signal::TERM, SOON)?, 0)?;
    end(holder)?;
    stage.assert_clean()
}

/// Kills one of both after so many milliseconds; the one that is left serves, and if none is, the next one.
fn either_side_killed_at_any_moment_of_a_takeover() -> Result<()> {
    let stage = Stage::new("hdany")?;
    stage.write(&stage.plain())?;
    let holder = holder(&stage, &[])?;
    let mut serving = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    let load = patient_load(&stage, 100.0)?;
    let mut kills = 0;
    for after in (0..16_u64).map(|step| step * 40) {
        for kill_the_new_one in [true, false] {
            let mut next = stage.launch(&[], &[NAMED])?;
            std::thread::sleep(Duration::from_millis(after));
            let victim = if kill_the_new_one { &mut next } else { &mut serving };
            victim.signal(Signal::KILL)?;
            victim.wait_exit(SOON)?;
            kills += 1;
            let mut left = if kill_the_new_one { serving } else { next };
            // The one that is left serves, or has gone because it was superseded, or could not begin.
            let serves = eventually(SOON, "one to serve, or to be gone", || {
                let gone = left.wait_exit(Duration::ZERO).is_ok();
                let status = stage.clearway(&["health", "--instance", "web"]).ok()?;
                (gone || status.status.success()).then_some(!gone)
            })?;
            serving = if serves { left } else { stage.start_with(&[], &[NAMED])? };
        }
    }
    stage.wait_ready(&mut serving)?;
    assert_only_accepted_ones_lost(&load.finish_after(1)?, kills)?;
    let status = said(&stage.clearway(&["status", "--instance", "web"])?);
    ensure!(status.contains("serving"), "{status}");
    assert_code(serving.stop(Signal::TERM, SOON)?, 0)?;
    end(holder)?;
    stage.assert_clean()
}

fn a_holder_needs_a_name_and_is_one() -> Result<()> {
    let stage = Stage::new("hdname")?;
    let nameless = stage.clearway(&["hold"])?;
    assert_code(nameless.status, 64)?;
    ensure!(complained(&nameless).contains("CLEARWAY_INSTANCE"), "{}", complained(&nameless));
    let holder = holder(&stage, &[])?;
    let second = stage.clearway(&["hold", "--instance", "web"])?;
    assert_code(second.status, 75)?;
    end(holder)
}

fn a_stranger_gets_nothing_from_a_holder() -> Result<()> {
    let stage = Stage::new("hdthief")?;
    stage.write(&stage.plain())?;
    stage.open_to_strangers()?;
    let holder = holder(&stage, &[])?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    first.signal(Signal::KILL)?;
    first.wait_exit(SOON)?;
    let other_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    // The socket file that the first one left is not its own to replace.
    let elsewhere = ("CLEARWAY_RUN_DIRECTORY", "/proc/nowhere");
    let mut thief = stage.launch_under(&other_user, &[NAMED, elsewhere])?;
    holder
        .wait_for_event(0, "peer.foreign", &[("uid", &65534)], SOON)
        .with_context(|| thief.stderr().unwrap_or_default())?;
    let kept = thief.events("socket.kept-used", &[])?;
    ensure!(kept.is_empty(), "it got the sockets: {kept:?}");
    thief.signal(Signal::KILL)?;
    thief.wait_exit(SOON)?;
    end(holder)?;
    stage.assert_clean()
}
