//! What a reload, a crash and a takeover cost new clients: one of each kind is caused, and exactly that is told.
//!
//! Each test has a network namespace of its own, so that what is counted for the whole of it is the test's as well.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::Expect;
use clearway_lab::session::Session;
use clearway_lab::wait::{eventually, patience};
use rustix::process::Signal;
use serde_json::Value;

use crate::questions;
use crate::stage::{SOON, Stage, assert_code, assert_no_client_lost, complained, said, signal};
use crate::strategy::STRATEGY;
use crate::takeover::{NAMED, successor_by};

crate::tests![
    a_clean_reload_under_load_costs_nothing,
    what_a_full_queue_drops_during_a_reload_is_counted,
    a_refused_client_is_a_reset_in_the_namespace_and_its_number_is_not_made_up,
    a_client_in_the_queue_of_a_socket_that_goes_is_reset,
    a_client_that_waits_for_a_restart_is_seen,
    a_gate_says_how_many_it_held_or_dropped_and_for_how_long,
    a_reload_that_is_refused_costs_nothing,
    a_newcomer_tells_what_its_takeover_cost,
];

/// What the attempt of a generation has cost, with the second after, as the log has it.
fn cost(balancer: &Balancer, generation: u32) -> Result<Value> {
    let event = balancer.wait_for_event(0, "generation.cost", &[("generation", &generation)], SOON)?;
    Ok(event["cost"].clone())
}

/// The same, as the history has it: the entry of this kind of a generation.
fn remembered(stage: &Stage, balancer: &Balancer, event: &str, generation: u32) -> Result<Value> {
    let output = stage.clearway(&["history", "--json", "--pid", &balancer.pid().to_string()])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    let history: Value = serde_json::from_slice(&output.stdout)?;
    let entries = history["reloads"].as_array().context("no entries")?;
    let found = entries.iter().find(|one| one["event"] == event && one["generation"] == generation);
    Ok(found.with_context(|| format!("no {event} of generation {generation} in {history}"))?["cost"].clone())
}

/// A figure of the window and of the second after, added.
fn both(cost: &Value, figure: &[&str]) -> u64 {
    let of = |part: &str| figure.iter().fold(&cost[part], |value, name| &value[*name]).as_u64();
    of("window").unwrap_or_default() + of("after").unwrap_or_default()
}

/// The worker that serves.
fn worker(balancer: &Balancer) -> Result<u32> {
    let serving = balancer.events("generation.serving", &[])?;
    let worker = serving.last().and_then(|event| event["worker"].as_u64()).context("no worker")?;
    Ok(u32::try_from(worker)?)
}

/// A client of the other host.
fn connect(stage: &Stage, to: SocketAddr, limit: Duration) -> Result<std::io::Result<TcpStream>> {
    stage.hosts.client.enter(|| TcpStream::connect_timeout(&to, limit))
}

/// How many packets listening sockets of the balancer's host have dropped so far, as the kernel counts.
fn listen_drops(stage: &Stage) -> Result<u64> {
    let text = stage.hosts.balancer.enter(|| std::fs::read_to_string("/proc/thread-self/net/netstat"))??;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = lines.next().zip(lines.next()).context("no TcpExt")?;
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "ListenDrops");
    found.context("no ListenDrops")?.1.parse().context("a number")
}

fn a_clean_reload_under_load_costs_nothing() -> Result<()> {
    let stage = Stage::new("costnone")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(200.0, Duration::from_mins(1)))?;
    for generation in 2..=4 {
        let output = stage.clearway(&["reload"])?;
        assert_code(output.status, 0).with_context(|| complained(&output))?;
        let line = said(&output);
        ensure!(line.contains("cost: 0 refused, 0 reset, 0 dropped (resets sent namespace-wide: "), "{line}");
        ensure!(
            !line.contains(" after: ") && !line.contains("unknown"),
            "the answer waits for no second: {line}"
        );
        let cost = cost(&balancer, generation)?;
        for part in ["window", "after"] {
            for figure in ["refused", "reset", "dropped"] {
                ensure!(cost[part][figure] == 0, "{figure} in the {part}: {cost}");
            }
            ensure!(cost[part]["waited_seconds"].is_number(), "{cost}");
        }
        ensure!(cost["after"]["seconds"].as_f64() >= Some(1.0), "{cost}");
        ensure!(remembered(&stage, &balancer, "reload", generation)? == cost, "{cost}");
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    // Nothing was there to lose at the start.
    ensure!(remembered(&stage, &balancer, "start", 1)?.is_null());
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// A queue for one, and a HAProxy that has stopped: what comes then is dropped until the next one accepts.
fn what_a_full_queue_drops_during_a_reload_is_counted() -> Result<()> {
    let stage = questions::stage("costdrop")?;
    let [front, _] = stage.fronts();
    stage.write(&stage.plain().replace(&format!("bind {front}"), &format!("bind {front} backlog 1")))?;
    let mut balancer = questions::start(&stage)?;
    let former = worker(&balancer)?;
    let before = listen_drops(&stage)?;
    signal(former, Signal::STOP)?;
    questions::hang(&stage, &mut balancer, "-W")?;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(connect(&stage, front, SOON)??);
    }
    for _ in 0..3 {
        let late = connect(&stage, front, Duration::from_millis(300))?;
        ensure!(late.is_err(), "there was room for one more");
    }
    questions::go_on(&stage)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    signal(former, Signal::CONT)?;
    let cost = cost(&balancer, 2)?;
    let dropped = listen_drops(&stage)? - before;
    ensure!(dropped >= 3 && both(&cost, &["dropped"]) == dropped, "{dropped} were dropped: {cost}");
    ensure!(cost["window"]["dropped"].as_u64() >= Some(3), "{cost}");
    ensure!(both(&cost, &["network", "listen_overflows"]) >= 3, "{cost}");
    ensure!(cost["window"]["refused"] == 0 && both(&cost, &["reset"]) == 0, "{cost}");
    let waited = cost["window"]["waited_seconds"].as_f64();
    ensure!(waited > Some(0.3) && waited <= cost["window"]["waited_at_most_seconds"].as_f64(), "{cost}");
    for mut client in waiting {
        client.set_read_timeout(Some(SOON * patience()))?;
        ensure!(client.read(&mut [0; 16])? > 0, "it is served");
    }
    let words = said(&stage.clearway(&["history"])?);
    let line = format!("cost: 0 refused, 0 reset, {} dropped ", cost["window"]["dropped"]);
    ensure!(words.contains(&line), "{words}");
    let metrics = said(&stage.clearway(&["metrics"])?);
    let line = format!("clearway_cost_dropped_total{{when=\"window\"}} {}\n", cost["window"]["dropped"]);
    ensure!(metrics.contains(&line), "{metrics}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// One frontend more, at another port, that can be taken out of the file. Both share a server.
fn with_another(stage: &Stage, lines: &str) -> (String, SocketAddr) {
    let [front, _] = stage.fronts();
    let another = SocketAddr::new(front.ip(), front.port() + 1);
    let server =
        stage.plain().lines().find(|line| line.trim_start().starts_with("server ")).map(str::to_owned);
    let more = format!("listen another\n    bind {another}\n{lines}{}\n", server.unwrap_or_default());
    (stage.plain() + &more, another)
}

/// Tries until one is refused; those that come in are kept.
fn until_refused(to: SocketAddr) -> Vec<TcpStream> {
    let mut kept = Vec::new();
    let end = std::time::Instant::now() + SOON * patience();
    while std::time::Instant::now() < end {
        match TcpStream::connect_timeout(&to, Duration::from_millis(50)) {
            Ok(client) => kept.push(client),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => break,
            // Where the socket is about to be closed no SYN is answered.
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    kept
}

fn a_refused_client_is_a_reset_in_the_namespace_and_its_number_is_not_made_up() -> Result<()> {
    let stage = Stage::new("costrefus")?;
    let (text, another) = with_another(&stage, "");
    stage.write(&text)?;
    let mut balancer = stage.start()?;
    let clients = stage.hosts.client.thread(move || until_refused(another));
    stage.write(&stage.plain())?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    let kept = clients.join().map_err(|_| anyhow::anyhow!("the client's thread failed"))??;
    let cost = cost(&balancer, 2)?;
    ensure!(both(&cost, &["network", "resets_sent"]) == 1, "one was refused: {cost}");
    for part in ["window", "after"] {
        let is_known = cost[part]["network"]["resets_sent"] == 0;
        ensure!(cost[part]["refused"].is_null() != is_known, "{part}: {cost}");
    }
    ensure!(both(&cost, &["reset"]) == 0, "{cost}");
    let words = said(&stage.clearway(&["history"])?);
    ensure!(words.contains("refused unknown, 0 reset, "), "{words}");
    drop(kept);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// HAProxy accepts no second client there, and the socket goes with the reload.
fn a_client_in_the_queue_of_a_socket_that_goes_is_reset() -> Result<()> {
    let stage = Stage::new("costreset")?;
    let (text, another) = with_another(&stage, "    maxconn 1\n");
    stage.write(&text)?;
    let mut balancer = stage.start()?;
    let first = Session::open(&stage.hosts.client, another, None)?;
    let mut second = connect(&stage, another, SOON)??;
    second.set_read_timeout(Some(SOON * patience()))?;
    let queued = || {
        let listeners = clearway_lab::kernel::listeners(&stage.hosts.balancer).ok()?;
        (listeners.iter().map(|(_, waiting)| waiting).sum::<u32>() == 1).then_some(())
    };
    eventually(SOON, "the second client to wait", queued)?;
    stage.write(&stage.plain())?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    let error = second.read(&mut [0; 16]).err().context("it was not reset")?;
    ensure!(error.kind() == std::io::ErrorKind::ConnectionReset, "{error}");
    let cost = cost(&balancer, 2)?;
    ensure!(both(&cost, &["reset"]) == 1 && both(&cost, &["network", "resets_sent"]) == 1, "{cost}");
    ensure!(cost["window"]["waited_seconds"].as_f64() > Some(1.0), "it waited as long as the switch: {cost}");
    drop(first);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_client_that_waits_for_a_restart_is_seen() -> Result<()> {
    let stage = questions::stage("costcrash")?;
    let [front, _] = stage.fronts();
    let mut balancer = questions::start(&stage)?;
    questions::let_hang(&stage, "-W")?;
    balancer.kill_descendant(worker(&balancer)?)?;
    questions::hung(&stage)?;
    let mut client = connect(&stage, front, SOON)??;
    std::thread::sleep(Duration::from_millis(500));
    questions::go_on(&stage)?;
    client.set_read_timeout(Some(SOON * patience()))?;
    ensure!(client.read(&mut [0; 16])? > 0, "it is served");
    let cost = cost(&balancer, 2)?;
    let window = &cost["window"];
    ensure!(window["waited_seconds"].as_f64() > Some(0.2), "{cost}");
    ensure!(window["waited_seconds"].as_f64() <= window["waited_at_most_seconds"].as_f64(), "{cost}");
    ensure!(both(&cost, &["dropped"]) == 0 && both(&cost, &["reset"]) == 0, "{cost}");
    ensure!(window["refused"] == 0, "its sockets have listened all the time: {cost}");
    ensure!(remembered(&stage, &balancer, "restart", 2)? == cost, "{cost}");
    ensure!(remembered(&stage, &balancer, "crash", 1)?.is_null(), "it is the restart that ends the window");
    drop(client);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_gate_says_how_many_it_held_or_dropped_and_for_how_long() -> Result<()> {
    for strategy in ["plug", "syn-drop"] {
        let stage = Stage::new("costgate")?;
        stage.write(&stage.plain())?;
        let mut balancer = stage.start_with(&[], &[(STRATEGY, strategy)])?;
        let load = clearway_lab::load::start(
            &stage.hosts.client,
            stage.load(300.0, Duration::from_mins(1)).expecting(Expect::Anything),
        )?;
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        let cost = cost(&balancer, 2)?;
        let (event, word) =
            if strategy == "plug" { ("gate.held", "held for") } else { ("gate.dropped", "dropped in") };
        let opened = balancer.wait_for_event(0, event, &[], SOON)?;
        let gate = remembered(&stage, &balancer, "reload", 2)?["gate"].clone();
        ensure!(gate["by"] == strategy && gate["held"] == opened["waited"], "{gate}, {opened}");
        ensure!(gate["dropped"] == opened["dropped"], "{gate}, {opened}");
        ensure!(gate["dropped"].is_u64() == (strategy == "syn-drop"), "{gate}");
        let closed = gate["seconds"].as_f64().zip(opened["milliseconds"].as_f64());
        let is_same = closed.is_some_and(|(seconds, told)| (seconds * 1000.0 - told).abs() <= 1.0);
        ensure!(is_same, "{gate}, {opened}");
        ensure!(both(&cost, &["reset"]) == 0 && cost["window"]["refused"] == 0, "{cost}");
        let words = said(&stage.clearway(&["history"])?);
        ensure!(words.contains(word) && words.contains(&format!("({strategy})")), "{words}");
        let metrics = said(&stage.clearway(&["metrics"])?);
        let line = format!("clearway_gate_dropped_total {}\n", gate["dropped"].as_u64().unwrap_or_default());
        ensure!(metrics.contains(&line), "{line}: {metrics}");
        assert_no_client_lost(&load.finish_after(20)?)?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

fn a_reload_that_is_refused_costs_nothing() -> Result<()> {
    let stage = Stage::new("costfail")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    stage.write(&(stage.plain() + "    nonsense here\n"))?;
    assert_code(stage.clearway(&["reload"])?.status, 65)?;
    let cost = cost(&balancer, 2)?;
    for part in ["window", "after"] {
        for figure in ["refused", "reset", "dropped"] {
            ensure!(cost[part][figure] == 0, "{figure} in the {part}: {cost}");
        }
    }
    assert_code(stage.clearway(&["reload", "--dry-run"])?.status, 65)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(balancer.events("generation.cost", &[])?.len() == 1, "what only tries costs nothing");
    stage.assert_clean()
}

fn a_newcomer_tells_what_its_takeover_cost() -> Result<()> {
    let stage = Stage::new("costtake")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let mut second = successor_by(&stage, "handoff")?;
    let cost = cost(&second, 1)?;
    for part in ["window", "after"] {
        for figure in ["refused", "reset", "dropped"] {
            ensure!(cost[part][figure] == 0, "{figure} in the {part}: {cost}");
        }
    }
    ensure!(cost["before"].is_null(), "it was not there before: {cost}");
    ensure!(remembered(&stage, &second, "takeover", 1)? == cost, "{cost}");
    assert_code(first.wait_exit(SOON)?, 0)?;
    ensure!(first.events("generation.cost", &[])?.is_empty(), "it is the newcomer's");
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
