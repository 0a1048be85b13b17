//! Stopping: drained, in time, and nothing left.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clearway_lab::load::{Ask, Class, ask_once};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::patience;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, assert_no_client_lost, complained, said};

crate::tests![
    a_stop_refuses_new_clients_and_lets_sessions_finish,
    every_stop_signal_drains,
    a_session_that_never_ends_is_cut_at_the_drain_timeout,
    a_second_stop_ends_at_once,
    drain_waits_for_the_end,
    drain_does_not_call_a_killed_one_drained,
    a_stop_while_starting_leaves_nothing,
    a_stop_ends_former_generations_too,
    a_stop_delay_shows_before_any_client_is_refused,
];

fn a_stop_refuses_new_clients_and_lets_sessions_finish() -> Result<()> {
    let stage = Stage::new("drain")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[1], None)?;
    balancer.signal(Signal::TERM)?;
    balancer.wait_for_event(0, "generation.draining", &[("generation", &1)], SOON)?;
    for front in stage.fronts() {
        let refused = || {
            let answer =
                stage.hosts.client.enter(|| ask_once(front, Ask::Line, Duration::from_secs(2))).ok()?;
            (answer == Err(Class::Refused)).then_some(())
        };
        clearway_lab::wait::eventually(SOON, "new clients to be refused", refused)?;
    }
    ensure!(session.beat() == State::Alive, "the session was cut");
    ensure!(balancer.is_running()?, "it has left a session behind");
    ensure!(session.close() == State::Closed, "the session was not closed properly");
    assert_code(balancer.wait_exit(SOON)?, 0)?;
    stage.assert_clean()
}

fn every_stop_signal_drains() -> Result<()> {
    let stage = Stage::new("sigs")?;
    stage.write(&stage.transparent())?;
    for signal in [Signal::TERM, Signal::INT, Signal::USR1] {
        let mut balancer = stage.start()?;
        assert_code(balancer.stop(signal, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

fn a_session_that_never_ends_is_cut_at_the_drain_timeout() -> Result<()> {
    let stage = Stage::new("cut")?;
    stage.write(&stage.transparent())?;
    let timeout = Duration::from_secs(1) * patience();
    let variables = [("CLEARWAY_DRAIN_TIMEOUT", &*format!("{}s", timeout.as_secs()))];
    let mut balancer = stage.start_with(&[], &variables)?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let begun = Instant::now();
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(begun.elapsed() >= timeout, "it did not wait for its session");
    ensure!(session.beat() != State::Alive, "the session lives although its proxy is gone");
    balancer.wait_for_event(0, "generation.cut", &[("generation", &1), ("sessions", &1)], SOON)?;
    stage.assert_clean()
}

fn a_second_stop_ends_at_once() -> Result<()> {
    let stage = Stage::new("twice")?;
    stage.write(&stage.transparent())?;
    for second in [Signal::TERM, Signal::INT] {
        let mut balancer = stage.start()?;
        let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
        balancer.signal(Signal::TERM)?;
        balancer.wait_for_event(0, "generation.draining", &[("generation", &1)], SOON)?;
        assert_code(balancer.stop(second, Duration::from_secs(5))?, 0)?;
        drop(session);
        stage.assert_clean()?;
    }
    Ok(())
}

fn drain_waits_for_the_end() -> Result<()> {
    let stage = Stage::new("sub")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let closer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700) * patience()); // the drain is to see the session for a while
        session.close()
    });
    let output = stage.clearway(&["drain"])?;
    assert_code(output.status, 0)?;
    ensure!(said(&output).contains("draining: 1 session left"), "{}", said(&output));
    ensure!(closer.join().ok() == Some(State::Closed), "the session was not closed properly");
    assert_code(balancer.wait_exit(SOON)?, 0)?;
    stage.assert_clean()
}

fn drain_does_not_call_a_killed_one_drained() -> Result<()> {
    let stage = Stage::new("drkill")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let output = std::thread::scope(|scope| -> Result<_> {
        let draining = scope.spawn(|| stage.clearway(&["drain"]));
        balancer.wait_for_event(0, "generation.draining", &[("generation", &1)], SOON)?;
        balancer.signal(Signal::KILL)?;
        draining.join().map_err(|_| anyhow::anyhow!("the drain panicked"))?
    })?;
    balancer.wait_exit(SOON)?;
    drop(session);
    assert_code(output.status, 68)?;
    ensure!(complained(&output).contains("has ended"), "{}", complained(&output));
    ensure!(!said(&output).contains("drained"), "{}", said(&output));
    stage.assert_clean()
}

fn a_stop_while_starting_leaves_nothing() -> Result<()> {
    let stage = Stage::new("early")?;
    stage.write(&stage.transparent())?;
    for pause in [0, 5, 20, 50, 80, 120] {
        let mut balancer = stage.launch(&[], &[])?;
        balancer.wait_for_event(0, "clearway.starting", &[], SOON)?;
        std::thread::sleep(Duration::from_millis(pause)); // the moment varies, nothing is waited for
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

fn a_stop_ends_former_generations_too() -> Result<()> {
    let stage = Stage::new("former")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_DRAIN_TIMEOUT", "2s")])?;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(Session::open(&stage.hosts.client, stage.fronts()[0], None)?);
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    // A session may still be accepted by a generation that is about to hear that it drains.
    ensure!(
        balancer.haproxy_processes().len() >= 4,
        "no former generation: {:?}",
        balancer.haproxy_processes()
    );
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Balancers in front see it coming: not ready at once, and for as long as the delay all clients are served.
fn a_stop_delay_shows_before_any_client_is_refused() -> Result<()> {
    let stage = Stage::new("delay")?;
    stage.write(&stage.plain())?;
    let delay = Duration::from_secs(3) * patience();
    let mut balancer =
        stage.start_with(&[], &[("CLEARWAY_STOP_DELAY", &*format!("{}s", delay.as_secs()))])?;
    assert_code(stage.clearway(&["health"])?.status, 0)?;
    let load = clearway_lab::load::start(
        &stage.hosts.client,
        // A slow machine takes as many times longer for it as it waits longer.
        stage.load(200.0, Duration::from_millis(1500)).expecting(clearway_lab::load::Expect::Anything),
    )?;
    let begun = Instant::now();
    balancer.signal(Signal::TERM)?;
    balancer.wait_for_event(0, "stop.announced", &[], SOON)?;
    assert_code(stage.clearway(&["health"])?.status, 3)?;
    assert_no_client_lost(&load.wait()?)?;
    ensure!(balancer.is_running()?, "it has ended");
    assert_code(balancer.wait_exit(SOON + delay)?, 0)?;
    ensure!(begun.elapsed() >= delay, "it did not wait");
    // A second signal does not wait for it.
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_STOP_DELAY", "1h")])?;
    balancer.signal(Signal::TERM)?;
    balancer.wait_for_event(0, "stop.announced", &[], SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
