//! The sessions of old generations: how to see them, and how to end them by hand.

use anyhow::{Context, Result, ensure};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually_because;
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{SOON, Stage, assert_code, complained, said, signal};

crate::tests![
    sessions_of_every_generation_are_listed,
    one_generation_is_ended_by_hand_and_no_other,
    one_that_hangs_is_ended_all_the_same,
    only_what_drains_is_ended_by_hand,
];

/// The answer of a subcommand as JSON.
pub fn json(stage: &Stage, words: &[&str]) -> Result<Value> {
    let output = stage.clearway(&[words, &["--json"]].concat())?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    serde_json::from_slice(&output.stdout).with_context(|| said(&output))
}

/// The answer of a subcommand about generations, once each of them has told its sessions: a busy one may not do so in time.
pub fn told(ask: impl Fn() -> Result<Value>) -> Result<Value> {
    eventually_because(SOON, "every generation tells its sessions", || {
        let answer = ask()?;
        let generations = answer["generations"].as_array().context("no generations")?;
        ensure!(generations.iter().all(|one| !one["sessions"].is_null()), "not all in {answer}");
        Ok(answer)
    })
}

/// A generation of an answer.
pub fn generation(answer: &Value, number: u64) -> Result<&Value> {
    let generations = answer["generations"].as_array().context("no generations")?;
    let found = generations.iter().find(|one| one["generation"] == number);
    found.with_context(|| format!("no generation {number} in {answer}"))
}

fn sessions_of_every_generation_are_listed() -> Result<()> {
    let stage = Stage::new("sessions")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let first = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let second = Session::open(&stage.hosts.client, stage.fronts()[1], None)?;
    let processes = balancer.haproxy_processes();
    let (status, sessions) = (told(|| json(&stage, &["status"]))?, told(|| json(&stage, &["sessions"]))?);
    for (number, front, client) in [(1, "f0", &first), (2, "f1", &second)] {
        let one = generation(&status, number)?;
        let worker = one["worker"].as_u64().with_context(|| format!("no worker in {one}"))?;
        ensure!(processes.contains(&u32::try_from(worker)?), "{worker} is none of {processes:?}");
        ensure!(one["sessions"] == 1, "{one}");
        ensure!(one["memory"].as_u64() > Some(1 << 20), "{one}");
        let of = generation(&sessions, number)?;
        ensure!(of["worker"] == worker, "{of}");
        let [session] = of["sessions"].as_array().context("no sessions")?.as_slice() else {
            anyhow::bail!("not one session: {of}");
        };
        ensure!(session["frontend"] == front && session["server"] == "s", "{session}");
        let source = session["source"].as_str().unwrap_or_default();
        let port = client.local_address()?.port();
        ensure!(source.ends_with(&format!(":{port}")), "{source} is not {port}");
    }
    let of_one = json(&stage, &["sessions", "--generation", "1"])?;
    ensure!(of_one["generations"].as_array().map(Vec::len) == Some(1), "{of_one}");
    let words = said(&stage.clearway(&["sessions"])?);
    ensure!(
        words.contains("generation 1 draining, worker") && words.contains("-> f0 -> f0/s, age"),
        "{words}"
    );
    drop((first, second));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn one_generation_is_ended_by_hand_and_no_other() -> Result<()> {
    let stage = Stage::new("endone")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(Session::open(&stage.hosts.client, stage.fronts()[0], None)?);
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    let output = stage.clearway(&["end", "--generation", "2"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    ensure!(said(&output).contains("generation 2 has ended: cut 1 session"), "{}", said(&output));
    let states: Vec<State> = sessions.iter_mut().map(Session::beat).collect();
    ensure!(states[0] == State::Alive && states[2] == State::Alive, "{states:?}");
    ensure!(states[1] != State::Alive, "the session of generation 2 lives: {states:?}");
    balancer.wait_for_event(0, "generation.end-requested", &[("generation", &2)], SOON)?;
    balancer.wait_for_event(0, "generation.cut", &[("generation", &2), ("sessions", &1)], SOON)?;
    drop(sessions);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn one_that_hangs_is_ended_all_the_same() -> Result<()> {
    let stage = Stage::new("endhung")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let status = json(&stage, &["status"])?;
    let old = generation(&status, 1)?;
    for process in ["worker", "master"] {
        signal(u32::try_from(old[process].as_u64().context("no process")?)?, Signal::STOP)?;
    }
    let listed = said(&stage.clearway(&["sessions", "--generation", "1"])?);
    ensure!(listed.contains("it does not say which sessions it has"), "{listed}");
    let output = stage.clearway(&["end", "--generation", "1"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    ensure!(said(&output).contains("cut an unknown number of sessions"), "{}", said(&output));
    drop(session);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn only_what_drains_is_ended_by_hand() -> Result<()> {
    let stage = Stage::new("endserve")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    for (words, why) in [
        (["end", "--generation", "1"], "generation 1 serves"),
        (["end", "--generation", "7"], "there is no generation 7"),
        (["sessions", "--generation", "7"], "there is no generation 7"),
    ] {
        let output = stage.clearway(&words)?;
        assert_code(output.status, 64)?;
        ensure!(complained(&output).contains(why), "{}", complained(&output));
    }
    assert_code(stage.clearway(&["end"])?.status, 64)?;
    assert_code(stage.clearway(&["health"])?.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
