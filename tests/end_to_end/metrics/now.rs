//! The metrics that are about now: generations, the canary, the plumbing, watched files, clients that wait.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::Expect;
use clearway_lab::session::Session;
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;
use serde_json::Value;

use super::{Samples, assert_counted, metrics, value};
use crate::canary::{PATIENT, gateway};
use crate::repair::meddlers::{REMOVALS, ours};
use crate::stage::{SOON, Stage, assert_code, said, signal};
use crate::strategy::STRATEGY;

crate::tests![
    sessions_and_memory_of_each_state_are_told_and_so_is_silence,
    the_canary_is_told_by_server_and_verdict,
    repairs_are_counted,
    a_watched_file_that_is_put_back_counts_as_loaded_without_a_reload,
    a_watched_file_that_is_put_back_after_it_was_refused_counts_as_loaded,
    requests_that_waited_at_the_gate_are_counted,
];

/// Asserts the values of some samples.
fn assert_values(samples: &Samples, wanted: &[(&str, f64)]) -> Result<()> {
    for (name, wanted) in wanted {
        let is = value(samples, name)?;
        ensure!((is - wanted).abs() < 0.1, "{name} is {is}, and not {wanted}: {samples:?}");
    }
    Ok(())
}

/// The worker of a generation.
pub fn worker(stage: &Stage, generation: u32) -> Result<u32> {
    let status: Value = serde_json::from_str(&said(&stage.clearway(&["status", "--json"])?))?;
    let all = status["generations"].as_array().context("generations")?;
    let one = all.iter().find(|one| one["generation"] == generation).context("the generation")?;
    Ok(u32::try_from(one["worker"].as_u64().context("its worker")?)?)
}

fn sessions_and_memory_of_each_state_are_told_and_so_is_silence() -> Result<()> {
    let stage = Stage::new("metricsnow")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let front = stage.fronts()[0];
    let session = Session::open(&stage.hosts.client, front, None)?;
    // A client that has just left is perhaps counted still.
    eventually_because(SOON, "one session", || {
        assert_values(&metrics(&stage)?, &[("clearway_sessions{state=\"serving\"}", 1.0)])
    })?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let samples = metrics(&stage)?;
    assert_values(
        &samples,
        &[
            ("clearway_sessions{state=\"draining\"}", 1.0),
            ("clearway_sessions{state=\"serving\"}", 0.0),
            ("clearway_generations_silent", 0.0),
            ("clearway_waiting_connections", 0.0),
            ("clearway_sockets_moved_total{means=\"handoff\"}", 2.0),
            ("clearway_sockets_moved_total{means=\"nothing\"}", 0.0),
        ],
    )?;
    for state in ["serving", "draining"] {
        let memory = value(&samples, &format!("clearway_memory_bytes{{state=\"{state}\"}}"))?;
        ensure!((1e6..1e9).contains(&memory), "a HAProxy that is {state} has {memory} bytes");
    }
    // One hangs, and the other is told of all the same; a client waits.
    let new = worker(&stage, 2)?;
    signal(new, Signal::STOP)?;
    let opened = std::thread::scope(|scope| {
        let opening = scope.spawn(|| Session::open(&stage.hosts.client, front, None));
        let seen = eventually_because(SOON, "the client that waits", || {
            let wanted = [
                ("clearway_generations_silent", 1.0),
                ("clearway_sessions{state=\"draining\"}", 1.0),
                ("clearway_waiting_connections", 1.0),
            ];
            assert_values(&metrics(&stage)?, &wanted)
        });
        signal(new, Signal::CONT)?;
        let opened = opening.join().map_err(|_| anyhow::anyhow!("the client has died"))?;
        seen.and(opened)
    })?;
    eventually_because(SOON, "nothing to wait", || {
        let wanted = [("clearway_generations_silent", 0.0), ("clearway_waiting_connections", 0.0)];
        assert_values(&metrics(&stage)?, &wanted)
    })?;
    drop((session, opened));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_canary_is_told_by_server_and_verdict() -> Result<()> {
    let stage = Stage::new("metricscanary")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    balancer.wait_for_event(0, "canary.verified", &[("servers", &2)], SOON)?;
    let servers = ["10.2.0.2:8080", "[fd02::2]:8080"];
    let one = |server: &str, verdict: &str| {
        format!("clearway_canary_server{{server=\"{server}\",verdict=\"{verdict}\"}}")
    };
    let all = |verdict: &str| format!("clearway_canary_servers{{verdict=\"{verdict}\"}}");
    let samples = metrics(&stage)?;
    assert_values(&samples, &[(&all("works"), 2.0), (&all("broken"), 0.0)])?;
    for server in servers {
        assert_values(&samples, &[(&one(server, "works"), 1.0)])?;
        ensure!(!samples.contains_key(&one(server, "broken")), "{samples:?}");
    }
    gateway(&stage, ["10.2.0.254", "fd02::fe"])?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    for server in servers {
        let fields: [(&str, &dyn std::fmt::Display); 2] = [("server", &server), ("verdict", &"broken")];
        balancer.wait_for_event(0, "canary.server", &fields, PATIENT)?;
    }
    let samples = metrics(&stage)?;
    assert_values(&samples, &[(&all("works"), 0.0), (&all("broken"), 2.0)])?;
    for server in servers {
        assert_values(&samples, &[(&one(server, "broken"), 1.0)])?;
        ensure!(!samples.contains_key(&one(server, "works")), "{samples:?}");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn repairs_are_counted() -> Result<()> {
    let stage = Stage::new("metricsfix")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let host = &stage.hosts.balancer;
    let whole = ours(host)?;
    assert_values(&metrics(&stage)?, &[("clearway_plumbing_repairs_total", 0.0)])?;
    for (times, removal) in (1_u8..).zip(REMOVALS) {
        host.ip(removal)?;
        eventually(SOON, "what was removed to be back", || (ours(host).ok()? == whole).then_some(()))?;
        eventually_because(SOON, "the repair to be counted", || {
            let counted = value(&metrics(&stage)?, "clearway_plumbing_repairs_total")?;
            let said = balancer.events("plumbing.repaired", &[])?.len();
            ensure!(
                counted >= f64::from(times) && counted.to_string() == said.to_string(),
                "{counted}, {said} in the log"
            );
            Ok(())
        })?;
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

const BROKEN: &str = "nonsense\n";

/// It is long until the watch looks: what makes it good again is the file alone.
fn a_watched_file_that_is_put_back_counts_as_loaded_without_a_reload() -> Result<()> {
    let stage = Stage::new("metricsback2")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_WATCH", "on"), ("CLEARWAY_WATCH_QUIET", "1h")])?;
    stage.write(BROKEN)?;
    ensure!(!stage.clearway(&["reload"])?.status.success(), "a broken configuration was loaded");
    let refused = "reloads_total{result=\"refused\",trigger=\"admin-socket\"} 1";
    assert_counted(&stage, refused, false)?;
    stage.write(&stage.plain())?;
    assert_counted(&stage, refused, true)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_watched_file_that_is_put_back_after_it_was_refused_counts_as_loaded() -> Result<()> {
    let stage = Stage::new("metricswatch")?;
    stage.write(&stage.plain())?;
    let mut balancer =
        stage.start_with(&[], &[("CLEARWAY_WATCH", "on"), ("CLEARWAY_WATCH_QUIET", "200ms")])?;
    stage.write(BROKEN)?;
    balancer.wait_for_event(0, "generation.failed", &[("generation", &2)], SOON)?;
    let refused = "reloads_total{result=\"refused\",trigger=\"watch\"} 1";
    assert_counted(&stage, refused, false)?;
    stage.write(&stage.plain())?;
    // For the watch it has changed once more, so that it is loaded.
    balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    assert_counted(
        &stage,
        &format!("{refused}; reloads_total{{result=\"took\",trigger=\"watch\"}} 1"),
        true,
    )?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn requests_that_waited_at_the_gate_are_counted() -> Result<()> {
    let stage = Stage::new("metricsheld")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[(STRATEGY, "plug")])?;
    let plan = stage.load(500.0, Duration::from_mins(2)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    let waited = || -> Result<u64> {
        let opened = balancer.events("gate.held", &[])?;
        Ok(opened.iter().filter_map(|one| one["waited"].as_u64()).sum())
    };
    for _ in 0..10 {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        if waited()? > 0 {
            break;
        }
    }
    eventually_because(SOON, "what has waited to be counted", || {
        let (counted, said) = (value(&metrics(&stage)?, "clearway_held_connections_total")?, waited()?);
        ensure!(
            said > 0 && counted.to_string() == said.to_string(),
            "{counted} are counted, {said} in the log"
        );
        Ok(())
    })?;
    let moved = value(&metrics(&stage)?, "clearway_sockets_moved_total{means=\"plug\"}")?;
    ensure!(moved >= 2.0, "{moved} sockets were moved by `plug`");
    load.finish_after(10)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
