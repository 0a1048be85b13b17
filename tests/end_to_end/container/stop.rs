//! `docker stop` with the ten seconds that it gives by default, with more, and with less than the sessions need.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clearway_lab::container::Container;
use clearway_lab::load::Expect;
use clearway_lab::session::{Session, State};

use super::bridge::Bridge;
use super::rig::{ANOTHER_USER, Rig, assert_said};
use crate::stage::{SOON, assert_no_client_lost};

crate::tests![
    with_time_for_it_a_session_finishes,
    with_ten_seconds_what_the_drain_timeout_says_is_cut_and_counted,
    with_too_little_time_the_log_has_said_how_much_was_wanted,
    of_one_that_was_superseded_costs_its_own_sessions_at_most,
    by_a_command_in_the_container_is_answered,
];

/// Longer than the default of `docker stop`.
const BEYOND_THE_DEFAULT: Duration = Duration::from_secs(12);

/// `docker stop --time=300` beside `meanwhile`; it must end with 0 after it.
fn stop_beside(container: &mut Container, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    let position = container.log_position()?;
    container.signal("TERM")?;
    container.wait_for_event(position, "stop.requested", &[("by", &"SIGTERM")], SOON)?;
    meanwhile()?;
    let code = container.wait_exit(SOON)?;
    ensure!(code == 0, "exit code {code}: {}", container.log_for_people());
    Ok(())
}

fn with_time_for_it_a_session_finishes() -> Result<()> {
    let bridge = Bridge::new("stop300")?;
    bridge.write("", "")?;
    let mut container = bridge.start(&[])?;
    let mut session = Session::open(&bridge.host, Bridge::front(&container)?, None)?;
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| container.stop(300));
        std::thread::sleep(BEYOND_THE_DEFAULT); // that it outlives is what is tried
        let state = session.beat();
        ensure!(state == State::Alive && !stop.is_finished(), "the session: {state:?}");
        ensure!(session.close() == State::Closed, "the session was not closed properly");
        let code = stop.join().map_err(|_| anyhow!("the stop panicked"))??;
        ensure!(code == 0, "exit code {code}");
        Ok(())
    })
}

fn with_ten_seconds_what_the_drain_timeout_says_is_cut_and_counted() -> Result<()> {
    let bridge = Bridge::new("stop10")?;
    bridge.write("", "")?;
    let mut container = bridge.start(&["--env=CLEARWAY_DRAIN_TIMEOUT=3s"])?;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(Session::open(&bridge.host, Bridge::front(&container)?, None)?);
    }
    let code = container.stop(10)?;
    ensure!(code == 0, "exit code {code}: {}", container.log_for_people());
    container.wait_for_event(0, "stop.cutting", &[("why", &"timed-out")], SOON)?;
    container.wait_for_event(0, "generation.cut", &[("generation", &1), ("sessions", &2)], SOON)?;
    container.wait_for_event(0, "clearway.leaving", &[("exit_code", &0)], SOON)?;
    Ok(())
}

fn with_too_little_time_the_log_has_said_how_much_was_wanted() -> Result<()> {
    let bridge = Bridge::new("stop2")?;
    bridge.write("", "")?;
    let mut container = bridge.start(&[])?;
    let session = Session::open(&bridge.host, Bridge::front(&container)?, None)?;
    let code = container.stop(5)?;
    ensure!(code == 137, "exit code {code}: {}", container.log_for_people());
    drop(session);
    container.wait_for_event(0, "stop.requested", &[("generations", &1), ("limit", &"295.0")], SOON)?;
    container.wait_for_event(0, "stop.waiting", &[("sessions", &1)], SOON)?;
    Ok(())
}

fn of_one_that_was_superseded_costs_its_own_sessions_at_most() -> Result<()> {
    let rig = Rig::new("stopold")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let mut serving = rig.run_named(&[])?;
    rig.wait_until_serving(&mut serving)?;
    let plan = rig.stage.load(200.0, Duration::from_mins(2)).expecting(Expect::OwnAddress);
    let load = clearway_lab::load::start(rig.client(), plan)?;
    for (turn, patient) in [(0, true), (1, false)] {
        let mut session = Session::open(rig.client(), rig.stage.fronts()[turn], None)?;
        let mut next = rig.run_named(&[])?;
        next.wait_for_event(0, "generation.serving", &[], SOON)?;
        let mut old = std::mem::replace(&mut serving, next);
        old.wait_for_event(0, "takeover.superseded", &[], SOON)?;
        ensure!(session.beat() == State::Alive, "the session of the old container was lost");
        if patient {
            stop_beside(&mut old, || {
                ensure!(session.beat() == State::Alive, "the session of the old container was cut");
                ensure!(session.close() == State::Closed, "the session was not closed properly");
                Ok(())
            })?;
        } else {
            let code = old.stop(1)?;
            ensure!(code == 137, "exit code {code}: {}", old.log_for_people());
        }
    }
    rig.assert_serving(&mut serving)?;
    let report = load.finish_after(200)?;
    println!("{}", report.total);
    assert_no_client_lost(&report)?;
    rig.stop_and_assert_clean(&mut serving)
}

/// The end of the container's first process kills what `docker exec` has started.
fn by_a_command_in_the_container_is_answered() -> Result<()> {
    let bridge = Bridge::new("stopexec")?;
    bridge.write("", "")?;
    let lines = [
        &["clearway", "drain"] as &[&str],
        &["clearway", "stop", "--release"],
        &["clearway", "stop", "--json"],
    ];
    for words in lines {
        for more in [&[] as &[&str], &["--init"]] {
            let mut container = bridge.start(more)?;
            let said = assert_said(&container.exec(words)?, 0)?;
            ensure!(said.contains("ended"), "{words:?} said `{said}`");
            let code = container.wait_exit(SOON)?;
            ensure!(code == 0, "exit code {code}: {}", container.log_for_people());
        }
    }
    Ok(())
}
