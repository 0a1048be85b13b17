//! What a table flip promises beside not losing clients: old flows, strangers, stops, takeovers.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::{Ask, Class, ask_once};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually;
use rustix::process::Signal;
use serde_json::Value;

use super::{STRATEGY, can_be_had, load, start};
use crate::stage::{
    SOON, Stage, assert_code, assert_no_client_lost, assert_only_accepted_ones_lost, complained, said,
};
use crate::steps::Steps;
use crate::takeover::{NAMED, successor_by};

crate::tests![
    private_ports_are_closed_to_strangers,
    a_stop_refuses_new_clients_and_lets_sessions_finish,
    a_copy_that_would_mean_something_else_is_refused,
    a_reload_without_a_copy_plumbs_nothing,
    a_takeover_flips_to_the_newcomer,
    a_newcomer_without_a_table_gets_its_clients,
    clients_wait_for_one_that_serves_again_after_a_newcomer_without_a_table,
    one_that_is_stopped_before_it_serves_again_lets_go_of_the_port,
    a_broken_file_is_named_by_its_line,
    clients_that_wait_at_the_ports_of_a_dead_one_are_served_before_a_reload_goes_on,
];

/// The private ports of the generation that serves, by what clients call.
fn ways(stage: &Stage) -> Result<Vec<(SocketAddr, u16)>> {
    let output = stage.clearway(&["status", "--json"])?;
    let status: Value = serde_json::from_slice(&output.stdout).with_context(|| complained(&output))?;
    let redirected = status["redirected"].as_array().context("what is redirected")?;
    let way = |one: &Value| {
        let (public, private) = one.as_str()?.split_once(" to port ")?;
        Some((public.parse().ok()?, private.parse().ok()?))
    };
    redirected.iter().map(|one| way(one).with_context(|| format!("{one}"))).collect()
}

fn is_refused(stage: &Stage, at: SocketAddr) -> Result<bool> {
    let class = stage.hosts.client.enter(|| ask_once(at, Ask::Line, SOON))?;
    Ok(class == Err(Class::Refused))
}

fn private_ports_are_closed_to_strangers() -> Result<()> {
    let stage = Stage::new("strangers")?;
    stage.write(&stage.plain())?;
    let mut balancer = start(&stage, "tableflip")?;
    let mut former = ways(&stage)?;
    for _ in 0..2 {
        let now = ways(&stage)?;
        ensure!(now.len() == 2, "two addresses: {now:?}");
        for (public, private) in former.iter().chain(&now) {
            let stranger = SocketAddr::new(public.ip(), *private);
            ensure!(is_refused(&stage, stranger)?, "{stranger} answers a stranger");
            ensure!(!is_refused(&stage, *public)?, "{public} is not served");
        }
        former = now;
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_stop_refuses_new_clients_and_lets_sessions_finish() -> Result<()> {
    let stage = Stage::new("flipstop")?;
    stage.write(&stage.plain())?;
    let mut balancer = start(&stage, "tableflip")?;
    let mut sessions = stage
        .fronts()
        .iter()
        .map(|front| Session::open(&stage.hosts.client, *front, None))
        .collect::<Result<Vec<_>>>()?;
    balancer.signal(Signal::TERM)?;
    for front in stage.fronts() {
        eventually(SOON, "new clients to be refused", || is_refused(&stage, front).ok()?.then_some(()))?;
    }
    for session in &mut sessions {
        ensure!(session.beat() == State::Alive, "a session was cut by the stop");
    }
    drop(sessions);
    assert_code(balancer.wait_exit(SOON)?, 0)?;
    stage.assert_clean()
}

fn a_copy_that_would_mean_something_else_is_refused() -> Result<()> {
    can_be_had("tableflip")?;
    let stage = Stage::new("flipcopy")?;
    stage.write(&format!("global\n    default-path config\n{}", stage.plain()))?;
    let file = stage.file().display().to_string();
    for command in ["check", "doctor"] {
        let output = stage.clearway(&[command, "--strategy", "tableflip", "-f", &file])?;
        assert_code(output.status, 2)?;
        ensure!(said(&output).contains("default-path config"), "{}", said(&output));
    }
    let mut balancer = stage.launch(&[], &[(STRATEGY, "tableflip")])?;
    assert_code(balancer.wait_exit(SOON)?, 65)?;
    let log = balancer.stderr()?;
    ensure!(log.contains("default-path config") && log.contains("haproxy.cfg:2"), "{log}");
    ensure!(balancer.events("generation.started", &[])?.is_empty(), "HAProxy was started: {log}");
    stage.assert_clean()
}

/// No generation would need what was put into the kernel for one that cannot be started.
fn a_reload_without_a_copy_plumbs_nothing() -> Result<()> {
    let stage = Stage::new("flipplumb")?;
    stage.write(&stage.plain())?;
    let mut balancer = start(&stage, "tableflip")?;
    stage.write(&format!("global\n    default-path config\n{}", stage.transparent()))?;
    let output = stage.clearway(&["reload"])?;
    ensure!(output.status.code() == Some(65), "{}", complained(&output));
    ensure!(balancer.events("plumbing.installed", &[])?.is_empty(), "{}", balancer.stderr()?);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Both tables are there for a while, and the newer one comes first.
fn a_takeover_flips_to_the_newcomer() -> Result<()> {
    can_be_had("tableflip")?;
    let stage = Stage::new("fliptk")?;
    stage.write(&stage.plain())?;
    let mut serving = successor_by(&stage, "tableflip")?;
    stage.wait_ready(&mut serving)?;
    let load = load(&stage, 200.0)?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut former = Vec::new();
    for _ in 0..5 {
        let next = successor_by(&stage, "tableflip")?;
        former.push(std::mem::replace(&mut serving, next));
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    ensure!(session.beat() == State::Alive, "a session of the first one was lost");
    drop(session);
    for mut one in former {
        assert_code(one.wait_exit(SOON)?, 0)?;
    }
    assert_code(serving.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The table of the first one is there as long as its session; that of the second one must not be taken for the
/// third's.
fn a_newcomer_without_a_table_gets_its_clients() -> Result<()> {
    can_be_had("tableflip")?;
    let stage = Stage::new("flipnot")?;
    stage.write(&stage.plain())?;
    let mut first = successor_by(&stage, "tableflip")?;
    stage.wait_ready(&mut first)?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut second = successor_by(&stage, "tableflip")?;
    first.wait_for_event(0, "takeover.superseded", &[], SOON)?;
    let mut third = successor_by(&stage, "handoff")?;
    // Until then the second one's table leads to its own ports: a client that comes in that moment may be a second late.
    second.wait_for_event(0, "generation.draining", &[("generation", &1)], SOON)?;
    for front in stage.fronts() {
        let answer = stage.hosts.client.enter(|| ask_once(front, Ask::Line, SOON))?;
        ensure!(answer.is_ok(), "{front}: {answer:?}");
    }
    drop(session);
    for former in [&mut first, &mut second] {
        assert_code(former.wait_exit(SOON)?, 0)?;
    }
    assert_code(third.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// They come to its ports again, at which they wait, as soon as the newcomer is gone; also if its HAProxy was dead when the
/// newcomer came.
fn clients_wait_for_one_that_serves_again_after_a_newcomer_without_a_table() -> Result<()> {
    can_be_had("tableflip")?;
    for dies in [false, true] {
        let stage = Stage::new("flipwait")?;
        stage.write(&stage.plain())?;
        let (steps, mut first) = Steps::start(&stage, &[NAMED, (STRATEGY, "tableflip")])?;
        let mut second = if dies {
            let settle = ("CLEARWAY_SETTLE", "2s");
            let second = stage.launch(&[], &[NAMED, (STRATEGY, "handoff"), settle])?;
            second.wait_for_event(0, "generation.started", &[("generation", &1)], SOON)?;
            // So that it is superseded before its next one serves.
            let worker = *first.haproxy_processes().get(1).context("a worker")?;
            steps.stop_at("does Launch");
            first.kill_descendant(worker)?;
            steps.wait()?;
            second.wait_for_event(0, "generation.serving", &[], SOON)?;
            steps.go_on();
            second
        } else {
            successor_by(&stage, "handoff")?
        };
        first.wait_for_event(0, "takeover.superseded", &[], SOON)?;
        let front = stage.fronts()[0];
        let ask = || stage.hosts.client.enter(|| ask_once(front, Ask::Line, SOON));
        let answer = ask()?;
        ensure!(answer.is_ok(), "the newcomer does not get the clients of {front}: {answer:?}");
        steps.stop_at("does Launch");
        second.signal(Signal::KILL)?;
        second.wait_exit(SOON)?;
        steps.wait()?;
        std::thread::scope(|scope| {
            let asked = scope.spawn(ask);
            std::thread::sleep(Duration::from_millis(300));
            steps.go_on();
            let answer = asked.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
            ensure!(answer.is_ok(), "{front}, HAProxy dead before: {dies}: {answer:?}");
            Ok(())
        })?;
        drop(steps);
        assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

/// The next listener at the public port has the clients, while sessions finish.
fn one_that_is_stopped_before_it_serves_again_lets_go_of_the_port() -> Result<()> {
    can_be_had("tableflip")?;
    let stage = Stage::new("fliplet")?;
    stage.write(&stage.plain())?;
    let front = stage.fronts()[0];
    let (steps, mut first) = Steps::start(&stage, &[NAMED, (STRATEGY, "tableflip")])?;
    let mut session = Session::open(&stage.hosts.client, front, None)?;
    let mut second = stage.launch(&[], &[NAMED, (STRATEGY, "tableflip")])?;
    first.wait_for_event(0, "takeover.superseded", &[], SOON)?;
    steps.stop_at("does Launch");
    second.signal(Signal::KILL)?;
    second.wait_exit(SOON)?;
    steps.wait()?;
    first.signal(Signal::TERM)?;
    steps.go_on();
    first.wait_for_event(0, "stop.requested", &[], SOON)?;
    let _listener = stage.hosts.balancer.enter(|| std::net::TcpListener::bind(front))??;
    eventually(SOON, "the next one to get new clients", || {
        stage.hosts.client.enter(|| std::net::TcpStream::connect_timeout(&front, SOON)).ok()?.ok()
    })?;
    ensure!(session.beat() == State::Alive, "a session was cut by the stop");
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    stage.assert_clean()
}

/// The one that is being started listens at other ports: committed, it would end all clients that wait.
fn clients_that_wait_at_the_ports_of_a_dead_one_are_served_before_a_reload_goes_on() -> Result<()> {
    can_be_had("tableflip")?;
    let stage = Stage::new("flipdead")?;
    stage.write(&stage.plain())?;
    let (steps, mut balancer) = Steps::start(&stage, &[(STRATEGY, "tableflip")])?;
    let load = load(&stage, 100.0)?;
    steps.stop_at("does Launch");
    balancer.signal(Signal::HUP)?;
    steps.wait()?;
    let worker = *balancer.haproxy_processes().get(1).context("a worker")?;
    balancer.kill_descendant(worker)?;
    eventually(SOON, "clients to wait for the next HAProxy", || {
        let listeners = clearway_lab::kernel::listeners(&stage.hosts.balancer).ok()?;
        (listeners.iter().map(|(_, waiting)| waiting).sum::<u32>() > 5).then_some(())
    })?;
    let position = balancer.log_position()?;
    steps.go_on();
    balancer.wait_for_log(position, "these are served first", SOON)?;
    balancer.wait_for_event(position, "generation.serving", &[], SOON)?;
    assert_only_accepted_ones_lost(&load.finish_after(50)?, 1)?;
    drop(steps);
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// HAProxy names the copy, the report the file, and the line is the same.
fn a_broken_file_is_named_by_its_line() -> Result<()> {
    let stage = Stage::new("flipbad")?;
    stage.write(&stage.plain())?;
    let mut balancer = start(&stage, "tableflip")?;
    let text = stage.plain();
    let line = 1 + text.lines().position(|line| line.contains("mode tcp")).context("a mode")?;
    stage.write(&text.replace("mode tcp", "mode teleport"))?;
    let output = stage.clearway(&["reload"])?;
    ensure!(output.status.code() == Some(65), "{}", complained(&output));
    let place = format!("[{}:{line}]", stage.file().display());
    ensure!(complained(&output).contains(&place), "{}", complained(&output));
    for front in stage.fronts() {
        ensure!(!is_refused(&stage, front)?, "the former generation does not serve on");
    }
    eventually(Duration::from_secs(5), "one generation", || {
        (balancer.haproxy_processes().len() == 2).then_some(())
    })?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
