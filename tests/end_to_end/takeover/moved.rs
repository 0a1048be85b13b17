//! Takeovers by one with other `bind` lines: new clients are moved from sockets that both have.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::{Ask, Class, Expect, ask_once};
use rustix::process::Signal;

use super::{NAMED, serves_again, successor, successor_by};
use crate::stage::{PORT, SOON, Stage, assert_code, assert_no_client_lost};
use crate::steps::Steps;
use crate::strategy::available;

crate::tests![
    one_that_ends_while_clients_are_moved_leaves_no_deaf_socket,
    one_that_serves_again_hears_new_clients,
    a_client_of_a_bind_that_has_moved_comes_through_at_once,
    no_gate_is_closed_in_a_takeover,
];

/// The wildcard instead of the IPv4 address, which the kernel prefers as long as that socket is open; and nothing
/// instead of the IPv6 address.
fn moved(stage: &Stage) -> String {
    let [v4, v6] = stage.fronts();
    let text = stage.plain().replace(&format!("bind {v4}"), &format!("bind :{PORT}"));
    text.replace(&format!("bind {v6}"), &format!("bind [::1]:{PORT}"))
}

/// A SYN that is ignored is sent again after 1, 3 and 7 s.
fn assert_served(stage: &Stage) -> Result<()> {
    for front in stage.fronts() {
        let answer = stage.hosts.client.enter(|| ask_once(front, Ask::Line, SOON))?;
        ensure!(answer.is_ok(), "{front}: {answer:?}");
    }
    Ok(())
}

fn one_that_ends_while_clients_are_moved_leaves_no_deaf_socket() -> Result<()> {
    for (step, how) in [
        ("waits Clients", Signal::KILL),
        ("waits Clients", Signal::TERM),
        ("takes Switched", Signal::KILL),
        ("does Commit", Signal::KILL),
        ("does Supersede", Signal::KILL),
    ] {
        let stage = Stage::new("tkdeaf")?;
        stage.write(&stage.plain())?;
        let mut old = stage.start_with(&[], &[NAMED])?;
        // It has moved clients itself before.
        for text in [moved(&stage), stage.plain()] {
            stage.write(&text)?;
            assert_code(stage.clearway(&["reload", "--instance", "web"])?.status, 0)?;
        }
        stage.write(&moved(&stage))?;
        let (steps, mut new) = Steps::launch(&stage, Some(step), &[NAMED])?;
        steps.wait()?;
        new.signal(how)?;
        steps.go_on();
        new.wait_exit(SOON)?;
        old.wait_for_log(0, ": this one ", SOON)?;
        assert_served(&stage).with_context(|| format!("{how:?} before `{step}`"))?;
        assert_code(old.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

fn one_that_serves_again_hears_new_clients() -> Result<()> {
    let stage = Stage::new("tkhears")?;
    stage.write(&stage.plain())?;
    let mut old = stage.start_with(&[], &[NAMED])?;
    stage.write(&moved(&stage))?;
    let mut new = successor(&stage)?;
    old.wait_for_event(0, "takeover.superseded", &[], SOON)?;
    new.signal(Signal::KILL)?;
    new.wait_exit(SOON)?;
    serves_again(&old, 0)?;
    assert_served(&stage)?;
    assert_code(old.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The former one keeps its sockets for five seconds: the kernel prefers them to the wildcard as long as they listen.
fn a_client_of_a_bind_that_has_moved_comes_through_at_once() -> Result<()> {
    let stage = Stage::new("tkatonce")?;
    stage.write(&stage.plain())?;
    let mut old = stage.start_with(&[], &[NAMED])?;
    stage.write(&moved(&stage))?;
    let mut new = successor(&stage)?;
    let [v4, v6] = stage.fronts();
    let ask = |at| stage.hosts.client.enter(|| ask_once(at, Ask::Line, Duration::from_secs(3)));
    let (moved, gone) = (ask(v4)?, ask(v6)?);
    ensure!(moved.is_ok(), "{v4}: {moved:?}");
    ensure!(gone == Err(Class::Refused), "no process listens at {v6} any more: {gone:?}");
    ensure!(old.is_running()?, "it has not kept its sockets");
    assert_code(old.wait_exit(SOON)?, 0)?;
    assert_code(new.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The former one keeps its sockets for a while: a gate that waits until they are closed would keep all clients
/// waiting.
fn no_gate_is_closed_in_a_takeover() -> Result<()> {
    for strategy in available(["syn-drop", "plug", "auto"]) {
        let stage = Stage::new("tkgate")?;
        // HAProxy does not recognise the socket of that address, and binds a second one.
        stage.write(&stage.plain().replace(" v6only", ""))?;
        let mut old = successor_by(&stage, strategy)?;
        stage.wait_ready(&mut old)?;
        let plan = stage.load(200.0, Duration::from_mins(2)).expecting(Expect::Anything);
        let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
        let mut new = successor_by(&stage, strategy)?;
        assert_code(old.wait_exit(SOON)?, 0)?;
        assert_no_client_lost(&load.finish_after(100)?).with_context(|| strategy.to_owned())?;
        for gate in ["gate.held", "gate.dropped"] {
            ensure!(new.events(gate, &[])?.is_empty(), "{strategy}: {}", new.stderr()?);
        }
        assert_code(new.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}
