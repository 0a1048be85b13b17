//! HAProxy's own master is signalled instead of Clearway: by a hook that signals every HAProxy.
//! It becomes a reload of Clearway's.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::{Ask, Class, Plan, ask_once};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;

use crate::stage::{PORT, SOON, Stage, assert_code, assert_no_client_lost, said, signal};

crate::tests![
    a_reload_of_haproxys_own_master_becomes_one_of_clearways,
    a_signal_to_every_haproxy_ends_in_one_generation_that_serves,
];

/// The port that the changed file has in place of the first one.
const OTHER: u16 = PORT + 7;

fn begin(name: &str) -> Result<(Stage, Balancer)> {
    let stage = Stage::new(name)?;
    stage.write(&on_port(&stage, PORT))?;
    let balancer = stage.start()?;
    Ok((stage, balancer))
}

/// The IPv4 front at another port.
fn on_port(stage: &Stage, port: u16) -> String {
    let front = stage.fronts()[0];
    stage.plain().replace(&format!("bind {front}"), &format!("bind {}:{port}", front.ip()))
}

/// The generation that serves, from the status.
fn serving(stage: &Stage) -> Result<serde_json::Value> {
    let json: serde_json::Value = serde_json::from_str(&said(&stage.clearway(&["status", "--json"])?))?;
    let generations = json["generations"].as_array().context("generations")?;
    generations.iter().find(|one| one["state"] == "serving").cloned().context("one that serves")
}

fn worker_of(generation: &serde_json::Value) -> Result<u32> {
    generation["worker"].as_u64().and_then(|pid| u32::try_from(pid).ok()).context("a worker")
}

/// What the file says now is served, and only that; the status names a worker that lives.
fn assert_loaded(stage: &Stage, balancer: &Balancer) -> Result<()> {
    let front = stage.fronts()[0];
    let at = |port| SocketAddr::new(front.ip(), port);
    let ask = |port| stage.hosts.client.enter(|| ask_once(at(port), Ask::Line, SOON));
    ensure!(ask(OTHER)?.is_ok(), "the new port: {:?}", ask(OTHER)?);
    let removed = ask(PORT)?;
    ensure!(removed == Err(Class::Refused), "the removed port: {removed:?}");
    let status = said(&stage.clearway(&["status"])?);
    ensure!(!status.contains("not yet loaded"), "{status}");
    let worker = worker_of(&serving(stage)?)?;
    ensure!(balancer.haproxy_processes().contains(&worker), "{worker} is not there: {status}");
    Ok(())
}

fn a_reload_of_haproxys_own_master_becomes_one_of_clearways() -> Result<()> {
    let (stage, mut balancer) = begin("master")?;
    // The old worker stays, so that its end tells nothing.
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    stage.write(&on_port(&stage, OTHER))?;
    let pid = serving(&stage)?["master"].as_u64().context("a master")?.try_into()?;
    // Up to 3.0 a master executes itself anew just after its start, and a signal of these milliseconds is lost.
    eventually(SOON, "the master to hear a signal", || {
        signal(pid, Signal::USR2).ok()?;
        balancer.wait_for_event(0, "generation.worker-replaced", &[], Duration::from_secs(2)).ok()
    })?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    eventually_because(SOON, "what the file says to be served", || assert_loaded(&stage, &balancer))?;
    ensure!(session.beat() == State::Alive, "the old session was cut");
    // After a crash it is what is served again, unless it comes so soon that its configuration is not trusted.
    let serving = eventually(SOON, "it to have served for five seconds", || {
        serving(&stage).ok().filter(|one| one["seconds"].as_u64().is_some_and(|seconds| seconds >= 5))
    })?;
    balancer.kill_descendant(worker_of(&serving)?)?;
    balancer.wait_for_event(0, "generation.crashed", &[], SOON)?;
    eventually_because(SOON, "the same to be served again", || assert_loaded(&stage, &balancer))?;
    drop(session);
    // Neither the old worker nor the one that the master had started is left.
    eventually(SOON, "one generation to be left", || {
        (balancer.haproxy_processes().len() == 2).then_some(())
    })?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_signal_to_every_haproxy_ends_in_one_generation_that_serves() -> Result<()> {
    let (stage, mut balancer) = begin("masters")?;
    // One generation that drains, and one that serves.
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    stage.write(&on_port(&stage, OTHER))?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let front = SocketAddr::new(stage.fronts()[0].ip(), OTHER);
    let plan = Plan::open(&[front], 50.0, Duration::from_mins(1)).from(stage.hosts.client_addresses());
    let load = clearway_lab::load::start(&stage.hosts.client, plan.patient_for(Duration::from_secs(10)))?;
    for pid in balancer.haproxy_processes() {
        signal(pid, Signal::HUP)?;
    }
    balancer.wait_for_event(0, "generation.worker-replaced", &[("generation", &2)], SOON)?;
    balancer.wait_for_event(0, "generation.worker-replaced", &[("generation", &1)], SOON)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    drop(session);
    eventually(SOON, "one generation to be left", || {
        (balancer.haproxy_processes().len() == 2).then_some(())
    })?;
    assert_loaded(&stage, &balancer)?;
    assert_no_client_lost(&load.finish_after(1)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
