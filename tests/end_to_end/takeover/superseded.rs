//! A Clearway that another one has taken over from, as long as it has sessions: what it says of itself, and how it ends.

use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, clearway_program};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::patience;
use rustix::process::Signal;

use super::{NAMED, successor};
use crate::sessions::{generation, told};
use crate::stage::{SOON, Stage, assert_code, complained, said};

crate::tests![
    a_stop_of_one_that_is_superseded_counts_at_once,
    one_that_drains_as_planned_is_healthy,
    in_its_own_container_it_answers_for_itself,
    it_is_no_longer_aside_when_it_serves_again,
];

/// One that serves, with a session, and its successor.
fn superseded(stage: &Stage, more: &[(&str, &str)]) -> Result<(Balancer, Session, Balancer)> {
    let first = stage.start_with(&[], &[&[NAMED], more].concat())?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let second = successor(stage)?;
    Ok((first, session, second))
}

fn a_stop_of_one_that_is_superseded_counts_at_once() -> Result<()> {
    let stage = Stage::new("tkterm")?;
    stage.write(&stage.plain())?;
    let timeout = Duration::from_secs(2) * patience();
    let limit = format!("{}s", timeout.as_secs());
    // While it would come back, and when it would not any more.
    for settled in [false, true] {
        let (mut first, mut session, mut second) = superseded(&stage, &[("CLEARWAY_DRAIN_TIMEOUT", &limit)])?;
        if settled {
            first.wait_for_event(0, "takeover.settled", &[], SOON)?;
        }
        let begun = Instant::now();
        let from = first.log_position()?;
        first.signal(Signal::TERM)?;
        let stop: [(&str, &dyn std::fmt::Display); 2] = [("by", &"SIGTERM"), ("generations", &1)];
        first.wait_for_event(from, "stop.requested", &stop, SOON)?;
        assert_code(first.wait_exit(SOON)?, 0)?;
        ensure!(begun.elapsed() >= timeout, "it did not wait for its session");
        ensure!(session.beat() != State::Alive, "the session lives although its proxy is gone");
        first.wait_for_event(from, "stop.cutting", &[("why", &"timed-out")], SOON)?;
        first.wait_for_event(from, "generation.cut", &[("sessions", &1)], SOON)?;
        assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    }
    stage.assert_clean()
}

/// Each has a run directory of its own, as containers have.
fn one_that_drains_as_planned_is_healthy() -> Result<()> {
    let stage = Stage::new("tkwell")?;
    stage.write(&stage.plain())?;
    let own = stage.path("own").display().to_string();
    let (mut first, session, mut second) = superseded(&stage, &[("CLEARWAY_RUN_DIRECTORY", &own)])?;
    let health = || stage.clearway(&["health", "--run-directory", &own]);
    // While it would come back, and when it would not any more.
    for settled in [false, true] {
        if settled {
            first.wait_for_event(0, "takeover.settled", &[], SOON)?;
        }
        let output = health()?;
        assert_code(output.status, 0)?;
        ensure!(said(&output).contains("superseded: another Clearway serves"), "{}", said(&output));
    }
    // A stop is something else.
    first.signal(Signal::TERM)?;
    first.wait_for_event(0, "stop.requested", &[("by", &"SIGTERM")], SOON)?;
    assert_code(health()?.status, 3)?;
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Words of Clearway where the files are those of a process, as in its container.
fn in_the_container_of(stage: &Stage, balancer: &Balancer, words: &[&str]) -> Result<Output> {
    let mut command = stage.hosts.balancer.command("nsenter");
    command.arg(format!("--mount=/proc/{}/ns/mnt", balancer.pid())).arg("--").arg(clearway_program()?);
    command.args(words).envs([NAMED, NOWHERE]).output().context("running nsenter")
}

/// A root that cannot be written, as in the documented command line.
const NOWHERE: (&str, &str) = ("CLEARWAY_RUN_DIRECTORY", "/proc/nowhere");

fn in_its_own_container_it_answers_for_itself() -> Result<()> {
    let stage = Stage::new("tkown")?;
    stage.write(&stage.plain())?;
    let mut first = stage.launch_under(&["unshare", "--mount"], &[NAMED, NOWHERE])?;
    stage.wait_ready(&mut first)?;
    first.wait_for_event(0, "generation.serving", &[], SOON)?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut second = successor(&stage)?;
    first.wait_for_event(0, "takeover.superseded", &[], SOON)?;

    let ask = |words: &[&str]| in_the_container_of(&stage, &first, words);
    let json = |words: &[&str]| -> Result<serde_json::Value> {
        let output = ask(&[words, &["--json"]].concat())?;
        assert_code(output.status, 0).with_context(|| complained(&output))?;
        serde_json::from_slice(&output.stdout).with_context(|| said(&output))
    };
    let status = told(|| json(&["status"]))?;
    ensure!(status["pid"] == first.pid() && status["state"] == "superseded", "{status}");
    let old = generation(&status, 1)?;
    ensure!(old["sessions"] == 1 && old["worker"].is_u64() && old["memory"].is_u64(), "{old}");
    let sessions = told(|| json(&["sessions"]))?;
    let listed = generation(&sessions, 1)?["sessions"].as_array().map(Vec::len);
    ensure!(listed == Some(1), "{sessions}");
    let health = ask(&["health"])?;
    assert_code(health.status, 0)?;
    ensure!(said(&health).contains("superseded"), "{}", said(&health));
    // Elsewhere the name is that of the one that serves.
    let other: serde_json::Value =
        serde_json::from_slice(&stage.clearway(&["status", "--json", "--instance", "web"])?.stdout)?;
    ensure!(other["pid"] == second.pid(), "{other}");
    // What hangs there is ended by hand; when it is not needed any more, that is the end.
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;
    ensure!(session.beat() == State::Alive, "the session was lost");
    let status = json(&["status"])?;
    ensure!(status["state"] == "superseded", "{status}");
    let check = ask(&["status", "--check"])?;
    assert_code(check.status, 0).with_context(|| said(&check))?;
    ensure!(
        said(&check).starts_with("superseded: ") && said(&check).lines().count() == 1,
        "{}",
        said(&check)
    );
    let ended = ask(&["end", "--generation", "1"])?;
    assert_code(ended.status, 0).with_context(|| complained(&ended))?;
    ensure!(session.beat() != State::Alive, "the session lives");
    assert_code(first.wait_exit(SOON)?, 0)?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn it_is_no_longer_aside_when_it_serves_again() -> Result<()> {
    let stage = Stage::new("tkaside")?;
    stage.write(&stage.plain())?;
    let (mut first, session, mut second) = superseded(&stage, &[])?;
    let aside = || -> Result<usize> {
        let names = std::fs::read_dir(stage.run_directory())?.flatten().map(|entry| entry.file_name());
        Ok(names.filter(|name| name.to_string_lossy().starts_with("web_")).count())
    };
    first.wait_for_event(0, "takeover.superseded", &[], SOON)?;
    ensure!(aside()? == 1, "{} sockets beside the name", aside()?);
    let from = first.log_position()?;
    second.signal(Signal::KILL)?;
    second.wait_exit(SOON)?;
    first.wait_for_event(from, "generation.serving", &[], SOON)?;
    ensure!(aside()? == 0, "{} sockets beside the name", aside()?);
    drop(session);
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
