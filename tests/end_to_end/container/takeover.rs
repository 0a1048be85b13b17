//! A container of one name beside another in the machine's network: it takes over, and no client sees it.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Result, ensure};
use clearway_lab::container::Container;
use clearway_lab::load::Expect;
use clearway_lab::log;
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually;

use super::rig::{ANOTHER_USER, Rig, assert_said};
use crate::stage::{CannotRun, SOON, assert_no_client_lost, complained};

crate::tests![
    transparent_ones_replaced_in_a_row_lose_no_client,
    plain_ones_replaced_in_a_row_lose_no_client,
    other_haproxys_replaced_by_one_another_lose_no_client,
    a_new_one_is_not_healthy_because_the_old_one_serves,
    two_that_are_always_started_again_do_not_fight,
    two_that_are_always_replaced_by_new_ones_do_not_fight,
];

/// How many times a container is replaced, for each of the two configurations.
const TIMES: usize = 20;

/// Starts one more of this name, and waits until it serves.
fn successor(rig: &Rig, more: &[&str]) -> Result<Container> {
    let mut container = rig.run_named(more)?;
    container.wait_for_event(0, "generation.serving", &[], SOON)?;
    Ok(container)
}

/// Each lets its session finish beside those that come after it.
fn replaced_in_a_row(rig: &Rig, expect: Expect) -> Result<()> {
    let mut serving = rig.run_named(&[])?;
    rig.wait_until_serving(&mut serving)?;
    let plan = rig.stage.load(200.0, Duration::from_mins(2)).expecting(expect);
    let load = clearway_lab::load::start(rig.client(), plan)?;
    let (mut former, mut sessions) = (Vec::new(), Vec::new());
    for turn in 0..TIMES {
        sessions.push(Session::open(rig.client(), rig.stage.fronts()[turn % 2], None)?);
        let mut next = successor(rig, &["--env=CLEARWAY_TAKEOVER_MOST=0"])?;
        next.wait_for_event(0, "takeover.begun", &[], SOON)?;
        former.push(std::mem::replace(&mut serving, next));
    }
    for session in &mut sessions {
        ensure!(session.beat() == State::Alive, "a session of an old container was lost");
    }
    let report = load.finish_after(200)?;
    println!("{TIMES} containers replaced: {}", report.total);
    assert_no_client_lost(&report)?;
    for session in sessions {
        ensure!(session.close() == State::Closed, "a session of an old container was not closed properly");
    }
    for mut one in former {
        let code = one.wait_exit(SOON)?;
        ensure!(code == 0, "exit code {code} of a container that was replaced: {}", one.log_for_people());
    }
    rig.stop_and_assert_clean(&mut serving)
}

fn transparent_ones_replaced_in_a_row_lose_no_client() -> Result<()> {
    let rig = Rig::new("tktrans")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    replaced_in_a_row(&rig, Expect::OwnAddress)
}

fn plain_ones_replaced_in_a_row_lose_no_client() -> Result<()> {
    let rig = Rig::new("tkplain")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.plain()))?;
    replaced_in_a_row(&rig, Expect::Anything)
}

/// Up through the versions and back; `make test-haproxy` names directories that have a `haproxy` each.
fn other_haproxys_replaced_by_one_another_lose_no_client() -> Result<()> {
    let Ok(folders) = std::env::var("CLEARWAY_TEST_HAPROXYS") else {
        let reason = "CLEARWAY_TEST_HAPROXYS names no HAProxys (`make test-haproxy` does)";
        return Err(CannotRun(reason.to_owned()).into());
    };
    let folders: Vec<&str> = folders.split(':').collect();
    let rig = Rig::new("tkother")?;
    rig.stage.write(&rig.stage.transparent())?;
    let start = |folder: &str| -> Result<Container> {
        let place = format!("--volume={folder}:{folder}:ro");
        let path = format!("--env=PATH={folder}:/usr/local/bin:/usr/bin:/bin");
        let container = successor(&rig, &[&place, &path])?;
        for (master, _) in container.haproxies()? {
            let program = std::fs::read_link(format!("/proc/{master}/exe"))?;
            ensure!(program.starts_with(folder), "{} runs instead of that in {folder}", program.display());
        }
        Ok(container)
    };
    let mut serving = start(folders[0])?;
    rig.assert_serving(&mut serving)?;
    let load = rig.load()?;
    let mut former = Vec::new();
    for folder in folders.iter().skip(1).chain(folders.iter().rev().skip(1)) {
        let session = Session::open(rig.client(), rig.stage.fronts()[former.len() % 2], None)?;
        let mut next = start(folder)?;
        next.wait_for_event(0, "generation.serving", &[("adopted", &2)], SOON)?;
        former.push((std::mem::replace(&mut serving, next), session));
    }
    let report = load.finish_after(100)?;
    println!("{folders:?} and back: {}", report.total);
    assert_no_client_lost(&report)?;
    for (mut one, session) in former {
        ensure!(session.close() == State::Closed, "a session of an old container was lost");
        let code = one.wait_exit(SOON)?;
        ensure!(code == 0, "exit code {code}: {}", one.log_for_people());
    }
    rig.stop_and_assert_clean(&mut serving)
}

/// The abstract name belongs to the old one until the new one serves; a roll-out must not believe it.
fn a_new_one_is_not_healthy_because_the_old_one_serves() -> Result<()> {
    let rig = Rig::new("tkhealth")?;
    rig.stage.write(&rig.stage.plain())?;
    let health = ["clearway", "health"];
    // With only the abstract socket, and where all see each other's processes.
    for more in [[].as_slice(), &["--pid=host"]] {
        let mut first = successor(&rig, more)?;
        assert_said(&first.exec(&health)?, 0)?;
        let slow = [more, &["--env=CLEARWAY_SETTLE=2s"]].concat();
        let mut second = rig.run_named(&slow)?;
        second.wait_for_event(0, "generation.started", &[("generation", &1)], SOON)?;
        assert_said(&second.exec(&health)?, 3)?;
        ensure!(second.events("generation.serving", &[])?.is_empty(), "it was not asked in time");
        assert_said(&first.exec(&health)?, 0)?;
        second.wait_for_event(0, "generation.serving", &[], SOON)?;
        let is_healthy = || second.exec(&health).is_ok_and(|output| output.status.success()).then_some(());
        eventually(SOON, "the new one to be healthy", is_healthy)?;
        // The old one waits whether the new one does well, unless that was long ago.
        if !first.has_ended() {
            let said = assert_said(&first.exec(&health)?, 0)?;
            ensure!(said.contains("superseded"), "the old one calls itself healthy for the new one: {said}");
        }
        drop(first);
        rig.stop_and_assert_clean(&mut second)?;
    }
    Ok(())
}

/// How often a container has written an event in all its runs.
fn times(rig: &Rig, container: &Container, event: &str, fields: &[(&str, &dyn Display)]) -> Result<usize> {
    let log = complained(&rig.engine.ask(&["logs", container.name()])?);
    Ok(log::events(&log, event, fields).len())
}

/// The old one ends with 0, the engine starts it again, and it stays away and says why, until no other one serves.
/// In a cgroup namespace of their own nothing but their mounts tells them apart.
fn two_that_are_always_started_again_do_not_fight() -> Result<()> {
    let rig = Rig::new("tkalways")?;
    rig.stage.write(&rig.stage.plain())?;
    let always = ["--restart=always", "--cgroupns=private"];
    let first = successor(&rig, &always)?;
    let plan = rig.stage.load(100.0, Duration::from_mins(1)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(rig.client(), plan)?;
    let mut second = successor(&rig, &[&always[..], &["--read-only=false"]].concat())?;
    eventually(SOON, "the old one to have stayed away three times", || {
        let taken: [(&str, &dyn Display); 1] = [("exit_code", &75)];
        (times(&rig, &first, "clearway.failed", &taken).ok()? >= 3).then_some(())
    })?;
    ensure!(times(&rig, &first, "generation.serving", &[])? == 1, "it has served again");
    let refused = second.events("takeover.refused", &[])?;
    ensure!(!refused.is_empty(), "the one that serves does not say so: {}", second.log_for_people());
    let gave_way = second.events("takeover.superseded", &[])?;
    ensure!(gave_way.is_empty(), "it gave way: {gave_way:?}");
    assert_said(&second.exec(&["clearway", "health"])?, 0)?;
    assert_no_client_lost(&load.finish_after(50)?)?;
    // It does not stay away for ever: when no other one serves any more, it does.
    let code = second.stop(300)?;
    ensure!(code == 0, "exit code {code}: {}", second.log_for_people());
    eventually(SOON, "the old one to serve", || {
        (times(&rig, &first, "generation.serving", &[]).ok()? == 2).then_some(())
    })?;
    rig.engine.done(&["stop", "--time=30", first.name()])?;
    rig.stage.assert_kernel_clean()
}

/// As two replicas of one Swarm service on a node: for each that ends a new container begins, with an origin that says
/// nothing. After so many the one that serves goes on, whatever comes.
fn two_that_are_always_replaced_by_new_ones_do_not_fight() -> Result<()> {
    const MOST: usize = 5;
    let rig = Rig::new("tkreplicas")?;
    rig.stage.write(&rig.stage.plain())?;
    let most = format!("--env=CLEARWAY_TAKEOVER_MOST={MOST}");
    let options = [most.as_str()];
    let mut serving = successor(&rig, &options)?;
    let plan = rig.stage.load(100.0, Duration::from_mins(2)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(rig.client(), plan)?;
    let mut former = Vec::new();
    for _ in 0..MOST {
        let next = successor(&rig, &options)?;
        former.push(std::mem::replace(&mut serving, next));
    }
    serving.wait_for_event(0, "takeover.many", &[], SOON)?;
    for _ in 0..3 {
        let mut next = rig.run_named(&options)?;
        let code = next.wait_exit(SOON)?;
        ensure!(code == 73, "exit code {code} of a container too many: {}", next.log_for_people());
        let failed = next.wait_for_event(0, "clearway.failed", &[("exit_code", &code)], SOON)?;
        let hints = failed["hints"].to_string();
        ensure!(hints.contains("CLEARWAY_TAKEOVER_MOST"), "it does not say what helps: {failed}");
    }
    assert_said(&serving.exec(&["clearway", "health"])?, 0)?;
    assert_no_client_lost(&load.finish_after(50)?)?;
    // It reloads as ever.
    assert_said(&serving.exec(&["clearway", "reload"])?, 0)?;
    for mut one in former {
        let code = one.wait_exit(SOON)?;
        ensure!(code == 0, "exit code {code} of a container that was replaced: {}", one.log_for_people());
    }
    rig.stop_and_assert_clean(&mut serving)
}
