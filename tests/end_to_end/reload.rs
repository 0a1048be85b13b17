//! No lost connection: reloads under load, broken configurations, requests that pile up.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::keep_alive::{Asking, Heard};
use clearway_lab::load::{Expect, Plan};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::draining::{Http, MAY_STAY};
use crate::stage::{SOON, Stage, assert_code, assert_no_client_lost, complained, said};
use crate::transaction::only_the_newest_listens;

crate::tests![
    twenty_reloads_under_load_lose_no_client,
    reloads_at_the_highest_rate_lose_no_client,
    sessions_live_on_in_their_generation,
    the_next_generation_takes_the_same_sockets,
    both_signals_and_the_subcommand_reload,
    a_broken_configuration_changes_nothing,
    a_missing_configuration_changes_nothing,
    requests_that_pile_up_become_one_more,
    plumbing_follows_the_configuration,
    a_bind_that_is_gone_is_let_go,
];

fn twenty_reloads_under_load_lose_no_client() -> Result<()> {
    let stage = Stage::new("twenty")?;
    let http = Http::beside(&stage, MAY_STAY)?;
    stage.write(&(stage.transparent() + &http.text))?;
    let mut balancer = stage.start()?;
    let sessions: Vec<_> = stage
        .fronts()
        .iter()
        .map(|front| Ok(Session::open(&stage.hosts.client, *front, None)?.keep(Duration::from_millis(50))))
        .collect::<Result<_>>()?;
    let mut kept = http.connections(&stage)?;
    let asking = Asking::start(&stage.hosts.client, &http.fronts, 2, Duration::from_millis(10));
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(300.0, Duration::from_mins(2)))?;
    for number in 2..22 {
        let position = balancer.log_position()?;
        balancer.reload()?;
        balancer.wait_for_event(position, "generation.serving", &[("generation", &number)], SOON)?;
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    for session in sessions {
        ensure!(session.is_alive(), "a session that was opened before the first reload has ended");
        session.finish()?;
    }
    let asked = asking.finish()?;
    ensure!(asked.lost.is_empty() && asked.last >= 4, "requests on kept connections: {asked:?}");
    for connection in &mut kept {
        let heard = connection.ask();
        ensure!(heard == Heard::Last, "an HTTP connection from before the first reload: {heard:?}");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn reloads_at_the_highest_rate_lose_no_client() -> Result<()> {
    // A lost race between two listening sockets shows only at thousands of connections a second.
    let stage = Stage::new("rate")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let plan = Plan::closed(&stage.fronts(), 64, Duration::from_mins(1))
        .from(stage.hosts.client_addresses())
        .expecting(Expect::OwnAddress)
        .patient_for(Duration::from_secs(10));
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    for _ in 0..10 {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn sessions_live_on_in_their_generation() -> Result<()> {
    let stage = Stage::new("live")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    ensure!(session.beat() == State::Alive, "the reload ended a session");
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("generation 1 draining") && status.contains("generation 2 serving"), "{status}");
    ensure!(status.contains(", 1 session, "), "the draining generation has one session: {status}");
    ensure!(session.close() == State::Closed, "a session was not closed properly");
    balancer.wait_for_event(0, "generation.drained", &[("generation", &1)], SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn the_next_generation_takes_the_same_sockets() -> Result<()> {
    let stage = Stage::new("same")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let inodes = || -> Result<Vec<String>> {
        let lines = clearway_lab::kernel::ss(&stage.hosts.balancer, &["-tlne"])?;
        let mut inodes: Vec<String> = lines
            .iter()
            .flat_map(|line| line.split_whitespace())
            .filter(|word| word.starts_with("ino:"))
            .map(str::to_owned)
            .collect();
        inodes.sort();
        Ok(inodes)
    };
    let before = inodes()?;
    ensure!(before.len() == 2, "two listening sockets: {before:?}");
    for _ in 0..3 {
        let output = stage.clearway(&["reload"])?;
        ensure!(said(&output).contains("2 sockets taken over"), "{}", said(&output));
    }
    let after = inodes()?;
    ensure!(before == after, "other sockets: {before:?} {after:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn both_signals_and_the_subcommand_reload() -> Result<()> {
    let stage = Stage::new("ways")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    balancer.signal(Signal::HUP)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    balancer.signal(Signal::USR2)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    let output = stage.clearway(&["reload", "--json"])?;
    assert_code(output.status, 0)?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(answer["result"] == "serving" && answer["generation"] == 4, "{answer}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_broken_configuration_changes_nothing() -> Result<()> {
    let stage = Stage::new("broken")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(200.0, Duration::from_mins(1)))?;
    stage.write(&(stage.transparent() + "    no-such-keyword at all\n"))?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 65)?;
    let words = complained(&output);
    ensure!(words.contains("unknown keyword 'no-such-keyword'"), "HAProxy's own words are missing: {words}");
    ensure!(words.contains("hint: "), "nothing helps: {words}");
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("generation 1 serving") && status.contains("DID NOT TAKE"), "{status}");
    balancer.signal(Signal::HUP)?;
    balancer.wait_for_event(0, "generation.failed", &[("generation", &3)], SOON)?;
    stage.write(&stage.transparent())?;
    assert_code(stage.clearway(&["reload"])?.status, 0).context("a good configuration after a broken one")?;
    assert_no_client_lost(&load.finish_after(1)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_missing_configuration_changes_nothing() -> Result<()> {
    let stage = Stage::new("missing")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    std::fs::remove_file(stage.file())?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 66)?;
    ensure!(complained(&output).contains("haproxy.cfg"), "{}", complained(&output));
    stage.wait_ready(&mut balancer)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn requests_that_pile_up_become_one_more() -> Result<()> {
    let stage = Stage::new("pile")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let load = clearway_lab::load::start(
        &stage.hosts.client,
        stage.load(200.0, Duration::from_mins(1)).expecting(clearway_lab::load::Expect::Anything),
    )?;
    for _ in 0..400 {
        balancer.signal(Signal::HUP)?;
        std::thread::sleep(Duration::from_millis(2)); // the requests are spread, nothing is waited for
    }
    let settled = eventually(SOON, "the reloads to be over", || {
        let status = said(&stage.clearway(&["status"]).ok()?);
        (status.starts_with("serving") && !status.contains("draining")).then_some(status)
    })?;
    let generations = balancer.events("generation.serving", &[])?.len();
    ensure!((2..=100).contains(&generations), "{generations} generations for 400 requests: {settled}");
    assert_no_client_lost(&load.finish_after(20)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn plumbing_follows_the_configuration() -> Result<()> {
    let stage = Stage::new("follow")?;
    let tables = || -> Result<usize> {
        Ok(stage.hosts.balancer.output("nft", &["list", "tables"])?.matches("clearway_").count())
    };
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    ensure!(tables()? == 0, "plumbing without need");
    stage.write(&stage.transparent())?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    ensure!(tables()? == 1, "no plumbing although the configuration has become transparent");
    only_the_newest_listens(&stage, &balancer)?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    ensure!(session.peer_seen() == session.local_address()?.ip().to_string(), "the client is hidden");
    stage.write(&stage.plain())?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    ensure!(tables()? == 1, "the plumbing was taken from a session that needs it");
    ensure!(session.beat() == State::Alive, "the session has lost its plumbing");
    ensure!(session.close() == State::Closed, "the session was not closed properly");
    eventually(SOON, "the plumbing to go with its last user", || (tables().ok()? == 0).then_some(()))?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_bind_that_is_gone_is_let_go() -> Result<()> {
    let stage = Stage::new("gone")?;
    let extra = "frontend extra\n    bind :9000\n    default_backend none\nbackend none\n";
    stage.write(&(stage.plain() + extra))?;
    let mut balancer = stage.start()?;
    stage.write(&stage.plain())?;
    let output = stage.clearway(&["reload"])?;
    ensure!(said(&output).contains("no longer bound: 0.0.0.0:9000"), "{}", said(&output));
    eventually(SOON, "port 9000 to be closed", || {
        let listeners = clearway_lab::kernel::listeners(&stage.hosts.balancer).ok()?;
        listeners.iter().all(|(address, _)| !address.ends_with(":9000")).then_some(())
    })?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
