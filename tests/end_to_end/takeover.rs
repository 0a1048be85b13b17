//! A Clearway that is started under the name of one that serves takes over: no client sees it.

pub mod arrival;
pub mod killed;
pub mod many;
pub mod moved;
pub mod superseded;
pub mod tables;

use std::time::Duration;

use anyhow::{Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{
    SOON, Stage, assert_code, assert_no_client_lost, assert_only_accepted_ones_lost, complained, said,
};
use crate::strategy::{STRATEGY, available};

crate::tests![
    twenty_in_a_row_lose_no_client,
    a_transparent_one_keeps_its_clients,
    a_socket_that_haproxy_binds_a_second_time_is_steered,
    a_successor_that_cannot_start_changes_nothing,
    a_successor_that_dies_before_it_serves_changes_nothing,
    a_successor_that_dies_young_gives_back,
    one_that_serves_again_takes_its_sockets_whatever_the_strategy,
    a_predecessor_that_dies_leaves_its_sockets,
    reloads_wait_for_a_takeover,
    the_name_and_the_admin_socket_change_hands,
    one_that_stops_gives_its_name_at_once,
    one_that_is_killed_leaves_its_name_while_an_older_one_drains,
    a_stranger_gets_nothing,
    a_stranger_that_has_the_name_gives_nothing,
    an_unnamed_one_is_left_alone,
];

/// The name of the instance.
pub const NAMED: (&str, &str) = ("CLEARWAY_INSTANCE", "web");

/// Starts another one under the same name, and waits until it serves.
fn successor(stage: &Stage) -> Result<Balancer> {
    successor_by(stage, "handoff")
}

/// The same with a strategy; the first one is started like that as well.
pub fn successor_by(stage: &Stage, strategy: &str) -> Result<Balancer> {
    let balancer = stage.launch(&[], &[NAMED, (STRATEGY, strategy)])?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    Ok(balancer)
}

/// Waits until a start follows what the log says from here on, and answers where it ends now.
fn serves_again(balancer: &Balancer, from: u64) -> Result<u64> {
    eventually(SOON, "it to serve again", || {
        let log = balancer.stderr().ok()?;
        let new = log.get(usize::try_from(from).ok()?..)?;
        let (_, after) = new.split_once("this one serves again")?;
        after.contains(" serves, worker ").then_some(log.len() as u64)
    })
}

/// Each lets its sessions finish beside those that come after it.
fn twenty_in_a_row_lose_no_client() -> Result<()> {
    let stage = Stage::new("tk20")?;
    stage.write(&stage.plain())?;
    let mut serving = stage.start_with(&[], &[NAMED])?;
    let load = clearway_lab::load::start(
        &stage.hosts.client,
        stage.load(400.0, Duration::from_mins(2)).expecting(clearway_lab::load::Expect::Anything),
    )?;
    let mut sessions = Vec::new();
    let mut former = Vec::new();
    for _ in 0..20 {
        sessions.push(Session::open(&stage.hosts.client, stage.fronts()[sessions.len() % 2], None)?);
        let next = successor(&stage)?;
        former.push(std::mem::replace(&mut serving, next));
    }
    let report = load.finish_after(500)?;
    assert_no_client_lost(&report)?;
    for session in &mut sessions {
        ensure!(session.beat() == State::Alive, "a session that was there before was lost");
    }
    drop(sessions);
    for mut one in former {
        assert_code(one.wait_exit(SOON)?, 0)?;
    }
    assert_code(serving.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_transparent_one_keeps_its_clients() -> Result<()> {
    let stage = Stage::new("tktrans")?;
    stage.write(&stage.transparent())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(200.0, Duration::from_mins(2)))?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut second = successor(&stage)?;
    second.wait_for_event(0, "takeover.begun", &[], SOON)?;
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;
    ensure!(session.beat() == State::Alive, "the session of the first one was lost");
    // And back, while the first one still has a session.
    let mut third = successor(&stage)?;
    second.wait_for_event(0, "takeover.settled", &[], SOON)?;
    ensure!(session.beat() == State::Alive, "the session of the first one was lost");
    assert_no_client_lost(&load.finish_after(1)?)?;
    drop(session);
    for former in [&mut first, &mut second] {
        assert_code(former.wait_exit(SOON)?, 0)?;
    }
    assert_code(third.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// A specific IPv6 address without `v6only`.
fn a_socket_that_haproxy_binds_a_second_time_is_steered() -> Result<()> {
    let stage = Stage::new("tkv6")?;
    stage.write(&stage.plain().replace(" v6only", ""))?;
    let mut serving = stage.start_with(&[], &[NAMED])?;
    let plan = stage.load(400.0, Duration::from_mins(2)).expecting(clearway_lab::load::Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[1], None)?;
    let mut former = Vec::new();
    for _ in 0..10 {
        let next = successor(&stage)?;
        let event = next.wait_for_event(0, "generation.serving", &[], SOON)?;
        ensure!(event["moved"].to_string().contains("reuseport"), "{event}");
        former.push(std::mem::replace(&mut serving, next));
    }
    assert_no_client_lost(&load.finish_after(300)?)?;
    ensure!(session.beat() == State::Alive, "a session that was there before was lost");
    drop(session);
    for mut one in former {
        assert_code(one.wait_exit(SOON)?, 0)?;
    }
    assert_code(serving.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_successor_that_cannot_start_changes_nothing() -> Result<()> {
    let stage = Stage::new("tkbad")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let load = clearway_lab::load::start(
        &stage.hosts.client,
        stage.load(200.0, Duration::from_mins(1)).expecting(clearway_lab::load::Expect::Anything),
    )?;
    stage.write("listen nonsense\n    bind nowhere at all\n")?;
    let mut second = stage.launch(&[], &[NAMED])?;
    assert_code(second.wait_exit(SOON)?, 65)?;
    first.wait_for_event(0, "takeover.failed", &[], SOON)?;
    stage.write(&stage.plain())?;
    assert_code(stage.clearway(&["reload", "--instance", "web"])?.status, 0)?;
    assert_no_client_lost(&load.finish_after(1)?)?;
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_successor_that_dies_before_it_serves_changes_nothing() -> Result<()> {
    let stage = Stage::new("tkearly")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let load = clearway_lab::load::start(
        &stage.hosts.client,
        stage.load(200.0, Duration::from_mins(1)).expecting(clearway_lab::load::Expect::Anything),
    )?;
    let mut second = stage.launch(&[], &[NAMED, ("CLEARWAY_SETTLE", "30s")])?;
    second.wait_for_event(0, "generation.started", &[("generation", &1)], SOON)?;
    second.signal(Signal::KILL)?;
    second.wait_exit(SOON)?;
    first.wait_for_event(0, "takeover.failed", &[], SOON)?;
    assert_only_accepted_ones_lost(&load.finish_after(1)?, 1)?;
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_successor_that_dies_young_gives_back() -> Result<()> {
    gives_back("handoff")
}

/// A generation that finishes its sessions is none to bind beside: clients that wait in the sockets are served from
/// them.
fn one_that_serves_again_takes_its_sockets_whatever_the_strategy() -> Result<()> {
    available(["reuseport", "plug", "tableflip"]).try_for_each(gives_back)
}

fn gives_back(strategy: &str) -> Result<()> {
    let stage = Stage::new("tkyoung")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED, (STRATEGY, strategy)])?;
    // So that its first generation lives on.
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let load = clearway_lab::load::start(
        &stage.hosts.client,
        stage
            .load(200.0, Duration::from_mins(1))
            .expecting(clearway_lab::load::Expect::Anything)
            .patient_for(Duration::from_secs(10)),
    )?;
    // Clearway itself, then only its HAProxy.
    let mut from = 0;
    for of_clearway in [true, false] {
        let mut second = successor_by(&stage, strategy)?;
        first.wait_for_event(from, "takeover.superseded", &[], SOON)?;
        if of_clearway {
            second.signal(Signal::KILL)?;
            second.wait_exit(SOON)?;
        } else {
            second.kill_descendant(*second.haproxy_processes().first().unwrap_or(&0))?;
            assert_code(second.wait_exit(SOON)?, 74)?;
        }
        first.wait_for_event(from, "takeover.undone", &[], SOON)?;
        from = serves_again(&first, from)?;
        let status = said(&stage.clearway(&["status", "--instance", "web"])?);
        ensure!(status.contains("serving"), "{status}");
    }
    assert_only_accepted_ones_lost(&load.finish_after(1)?, 2)?;
    ensure!(session.beat() == State::Alive, "a session of the first generation was lost");
    drop(session);
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_predecessor_that_dies_leaves_its_sockets() -> Result<()> {
    let stage = Stage::new("tkorphan")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let load = clearway_lab::load::start(
        &stage.hosts.client,
        stage
            .load(200.0, Duration::from_mins(1))
            .expecting(clearway_lab::load::Expect::Anything)
            .patient_for(Duration::from_secs(10)),
    )?;
    let mut second = stage.launch(&[], &[NAMED, ("CLEARWAY_SETTLE", "30s")])?;
    second.wait_for_event(0, "generation.started", &[("generation", &1)], SOON)?;
    first.signal(Signal::KILL)?;
    first.wait_exit(SOON)?;
    second.wait_for_event(0, "generation.serving", &[], SOON)?;
    let status = eventually(SOON, "the successor to have the name", || {
        let status = said(&stage.clearway(&["status", "--instance", "web"]).ok()?);
        status.contains("serving").then_some(())
    });
    status?;
    // Its name is a name: a third one can take over.
    let mut third = successor(&stage)?;
    assert_code(second.wait_exit(SOON)?, 0)?;
    assert_only_accepted_ones_lost(&load.finish_after(1)?, 1)?;
    assert_code(third.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn reloads_wait_for_a_takeover() -> Result<()> {
    let stage = Stage::new("tkwait")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let mut second = stage.launch(&[], &[NAMED, ("CLEARWAY_SETTLE", "30s")])?;
    second.wait_for_event(0, "generation.started", &[("generation", &1)], SOON)?;
    std::thread::scope(|scope| {
        let reload = scope.spawn(|| stage.clearway(&["reload", "--instance", "web"]));
        first.wait_for_event(0, "reload.queued", &[], SOON)?;
        second.signal(Signal::TERM)?;
        let output = reload.join().map_err(|_| anyhow::anyhow!("the reload panicked"))??;
        ensure!(output.status.success(), "{}", complained(&output));
        Ok(())
    })?;
    first.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    assert_code(second.wait_exit(SOON)?, 0)?;
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_name_and_the_admin_socket_change_hands() -> Result<()> {
    let stage = Stage::new("tkname")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut second = successor(&stage)?;
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;
    let pid = |words: &[&str]| -> Result<String> { Ok(said(&stage.clearway(words)?)) };
    let status = pid(&["status", "--instance", "web", "--json"])?;
    ensure!(status.contains(&format!("\"pid\":{}", second.pid())), "{status}");
    // Also where only the abstract name can be seen.
    let elsewhere = stage
        .hosts
        .balancer
        .command(clearway_lab::balancer::clearway_program()?)
        .args(["status", "--instance", "web", "--json", "--run-directory", "/nonexistent"])
        .output()?;
    ensure!(said(&elsewhere).contains(&format!("\"pid\":{}", second.pid())), "{}", complained(&elsewhere));
    // The first one ends, and does not take the second one's socket file along.
    ensure!(session.beat() == State::Alive, "the session of the first one was lost");
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    ensure!(stage.path("run/web.sock").exists(), "the socket file is gone");
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn one_that_stops_gives_its_name_at_once() -> Result<()> {
    let stage = Stage::new("tkstop")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    first.signal(Signal::TERM)?;
    first.wait_for_event(0, "stop.requested", &[], SOON)?;
    let mut second = stage.start_with(&[], &[NAMED])?;
    ensure!(session.beat() == State::Alive, "the session of the first one was lost");
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    let status = said(&stage.clearway(&["status", "--instance", "web"])?);
    ensure!(status.contains("serving"), "{status}");
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// A process of another user in the same network namespace, as all are on a host with host networking.
/// The older one may drain for a day: it keeps nothing that the next one needs.
fn one_that_is_killed_leaves_its_name_while_an_older_one_drains() -> Result<()> {
    let stage = Stage::new("tkolder")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut second = successor(&stage)?;
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;
    second.signal(Signal::KILL)?;
    second.wait_exit(SOON)?;
    let mut third = successor(&stage)?;
    ensure!(session.beat() == State::Alive, "the session of the first one was lost");
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    assert_code(third.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_stranger_gets_nothing() -> Result<()> {
    let stage = Stage::new("tkfraud")?;
    stage.write(&stage.plain())?;
    stage.open_to_strangers()?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let other_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut thief = stage.launch_under(&other_user, &[NAMED])?;
    ensure!(!thief.wait_exit(SOON)?.success(), "it got the sockets");
    first.wait_for_event(0, "peer.foreign", &[("uid", &65534)], SOON)?;
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Any process can bind an abstract name. Here it is a Clearway of another user, which would hand its sockets over.
fn a_stranger_that_has_the_name_gives_nothing() -> Result<()> {
    let stage = Stage::new("tksquat")?;
    stage.write(&stage.plain())?;
    stage.open_to_strangers()?;
    let other_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let elsewhere = ("CLEARWAY_RUN_DIRECTORY", "/proc/nowhere");
    let mut squatter = stage.launch_under(&other_user, &[NAMED, elsewhere])?;
    squatter.wait_for_event(0, "generation.serving", &[], SOON)?;
    let mut ours = stage.launch(&[], &[NAMED])?;
    assert_code(ours.wait_exit(SOON)?, 75)?;
    let log = ours.stderr()?;
    for words in ["belongs to a process of uid 65534", "nothing is taken from it", "CLEARWAY_INSTANCE"] {
        ensure!(log.contains(words), "`{words}` is missing in:\n{log}");
    }
    ensure!(squatter.events("takeover.requested", &[])?.is_empty(), "it was spoken to");
    assert_code(squatter.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn an_unnamed_one_is_left_alone() -> Result<()> {
    let stage = Stage::new("tkunnamed")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let mut second = stage.start_with(&[], &[])?;
    // The ports are not its alone, which HAProxy does not notice.
    second.wait_for_event(0, "found.stranger", &[], SOON)?;
    let status = said(&stage.clearway(&["status", "--instance", "web"])?);
    ensure!(status.contains("generation 1 serving"), "{status}");
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
