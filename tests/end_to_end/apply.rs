//! `clearway apply`: what is on disk is changed in the HAProxy that serves, or it is a reload; `clearway plan` tells which.

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::{Expect, RunningLoad};
use clearway_lab::session::{Session, State};
use clearway_lab::topology::Family;
use clearway_lab::wait::eventually;
use rustix::process::Signal;
use serde_json::Value;

use crate::parity::{ask, with_socket};
use crate::stage::{PORT, SOON, Stage, assert_code, assert_no_client_lost, complained, said};
use crate::transaction::{other, wait_for_server};

pub mod files;
pub mod killed;
pub mod told;

crate::tests![
    servers_come_change_and_go_in_the_same_process,
    transparent_clients_are_seen_by_a_server_that_is_added,
    what_cannot_be_applied_is_a_reload,
    a_file_that_is_refused_touches_nothing,
    another_program_at_the_runtime_api_is_noticed,
    one_that_breaks_off_is_a_reload_and_leaves_no_half,
    a_rollback_brings_back_what_was_before_an_apply,
    a_crash_starts_what_was_applied,
];

/// The plain configuration with a second server `t` in each section.
pub fn grown(stage: &Stage) -> String {
    let mut text = stage.plain();
    for family in Family::BOTH {
        let servers = stage.hosts.servers(family);
        let line = |name: &str, at: usize| format!("server {name} {}", SocketAddr::new(servers[at], PORT));
        text = text.replace(&line("s", 0), &format!("{}\n    {}", line("s", 0), line("t", 1)));
    }
    text
}

/// Every server has this weight.
fn weighted(text: &str, weight: u32) -> String {
    let line = |line: &str| {
        let is_server = line.trim_start().starts_with("server ");
        format!("{line}{}\n", if is_server { format!(" weight {weight}") } else { String::new() })
    };
    text.lines().map(line).collect()
}

fn load(stage: &Stage) -> Result<RunningLoad> {
    clearway_lab::load::start(
        &stage.hosts.client,
        stage.load(50.0, Duration::from_mins(1)).expecting(Expect::Anything),
    )
}

/// Applies what is on disk, and says what was answered.
pub fn apply(stage: &Stage) -> Result<String> {
    let output = stage.clearway(&["apply"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    Ok(said(&output))
}

/// The same, and it was done at run time.
pub fn applied(stage: &Stage, text: &str, what: &str) -> Result<()> {
    stage.write(text)?;
    let told = apply(stage)?;
    ensure!(told.starts_with(&format!("applied at run time: {what} (")), "{told}");
    Ok(())
}

/// Plans, with this exit code, and says what was answered.
pub fn plan(stage: &Stage, code: i32) -> Result<String> {
    let output: Output = stage.clearway(&["plan"])?;
    assert_code(output.status, code).with_context(|| said(&output) + &complained(&output))?;
    Ok(said(&output))
}

/// The answer to a subcommand as JSON.
pub fn json(stage: &Stage, words: &[&str]) -> Result<Value> {
    serde_json::from_slice(&stage.clearway(words)?.stdout).with_context(|| words.join(" "))
}

/// Ends it, and nothing is left.
pub fn stop(stage: &Stage, mut balancer: Balancer) -> Result<()> {
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn servers_come_change_and_go_in_the_same_process() -> Result<()> {
    let stage = Stage::new("ap")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let (processes, load) = (balancer.haproxy_processes(), load(&stage)?);
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;

    applied(&stage, &grown(&stage), "2 servers added")?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    applied(&stage, &weighted(&grown(&stage), 7), "4 servers changed")?;
    applied(&stage, &grown(&stage), "4 servers changed")?;
    applied(&stage, &stage.plain(), "2 servers removed")?;
    // The only server, at another place.
    applied(&stage, &other(&stage), "2 servers changed")?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    let told = apply(&stage)?;
    ensure!(told.starts_with("nothing to do: generation 1 has what is on disk"), "{told}");

    ensure!(session.beat() == State::Alive, "the session has ended");
    ensure!(session.server() == "s1", "it is with {}", session.server());
    assert_no_client_lost(&load.finish_after(200)?)?;
    ensure!(balancer.haproxy_processes() == processes, "there are other processes");
    let status = json(&stage, &["status", "--json"])?;
    ensure!(status["configuration"]["same"] == true, "{status}");
    drop(session);
    stop(&stage, balancer)
}

fn transparent_clients_are_seen_by_a_server_that_is_added() -> Result<()> {
    let stage = Stage::new("aptrans")?;
    let transparent = |text: String| {
        let [four, six] = ["source 0.0.0.0 usesrc clientip", "source ipv6@ usesrc clientip"];
        let text = text.replacen("\n    \n", &format!("\n    {four}\n"), 1);
        text.replacen("\n    \n", &format!("\n    {six}\n"), 1)
    };
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(200.0, Duration::from_mins(1)))?;
    applied(&stage, &transparent(grown(&stage)), "2 servers added")?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    assert_no_client_lost(&load.finish_after(200)?)?;
    // The last transparent line goes: that is a matter of rights and plumbing.
    stage.write(&grown(&stage))?;
    let told = plan(&stage, 4)?;
    ensure!(told.contains("no line has `usesrc` any more"), "{told}");
    stop(&stage, balancer)
}

fn what_cannot_be_applied_is_a_reload() -> Result<()> {
    let stage = Stage::new("apbind")?;
    stage.write(&stage.plain())?;
    let balancer = stage.start()?;
    let load = load(&stage)?;
    stage.write(&(grown(&stage) + "frontend more\n    bind 127.0.0.1:9001\n    default_backend f0\n"))?;
    let told = apply(&stage)?;
    ensure!(told.starts_with("not applied at run time, so it was a reload: "), "{told}");
    ensure!(told.contains("the section `frontend more` is new"), "{told}");
    ensure!(told.contains("generation 2 serves, worker "), "{told}");
    assert_no_client_lost(&load.finish_after(100)?)?;
    let status = json(&stage, &["status", "--json"])?;
    ensure!(status["last_attempt"]["not_applied"][0].is_string(), "{status}");
    stop(&stage, balancer)
}

fn a_file_that_is_refused_touches_nothing() -> Result<()> {
    let stage = Stage::new("apbad")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let (processes, load) = (balancer.haproxy_processes(), load(&stage)?);
    for wrong in [" weight 1000", " frobnicate", " check inter 0"] {
        // Only one of the two servers is wrong: nothing of the other one is done either.
        let text = grown(&stage).replacen("10.2.0.3:8080", &format!("10.2.0.3:8080{wrong}"), 1);
        stage.write(&text)?;
        let told = plan(&stage, 4)?;
        ensure!(told.starts_with("this needs a reload:\n"), "{told}");
        let output = stage.clearway(&["apply"])?;
        assert_code(output.status, 65)?;
        ensure!(complained(&output).contains("[ALERT]"), "{}", complained(&output));
    }
    ensure!(balancer.haproxy_processes() == processes, "there are other processes");
    wait_for_server(&stage, &mut balancer, "s1")?;
    assert_no_client_lost(&load.finish_after(100)?)?;
    applied(&stage, &grown(&stage), "2 servers added")?;
    stop(&stage, balancer)
}

fn another_program_at_the_runtime_api_is_noticed() -> Result<()> {
    let stage = Stage::new("apother")?;
    let socket = with_socket(&stage, &stage.plain())?;
    let balancer = stage.start()?;
    // A server that is to be changed, and one that the file does not have.
    for (command, weight, place) in
        [("set server f0/s weight 50", 3, "f0/s: "), ("add server f1/other 10.2.0.9:80", 4, "f1/other: ")]
    {
        ask(&socket, command)?;
        with_socket(&stage, &weighted(&stage.plain(), weight))?;
        let told = apply(&stage)?;
        ensure!(told.starts_with(&format!("not applied at run time, so it was a reload: {place}")), "{told}");
        ensure!(told.contains("another program has changed something"), "{told}");
    }
    // From then on it is as the file says.
    with_socket(&stage, &stage.plain())?;
    let told = apply(&stage)?;
    ensure!(told.starts_with("applied at run time: 2 servers changed ("), "{told}");
    stop(&stage, balancer)
}

/// A server that is removed has a session that does not end.
fn one_that_breaks_off_is_a_reload_and_leaves_no_half() -> Result<()> {
    let stage = Stage::new("apbroken")?;
    stage.write(&other(&stage))?;
    let mut balancer = stage.start()?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    ensure!(session.server() == "s2", "it is with {}", session.server());
    // `t` has the session by now, and goes; `s` is new.
    stage.write(&other(&stage).replace("server s ", "server t "))?;
    let told = apply(&stage)?;
    ensure!(told.starts_with("not applied at run time, so it was a reload: it broke off after "), "{told}");
    ensure!(told.contains("`del server f0/s`"), "{told}");
    balancer.wait_for_event(0, "apply.broken", &[("serving", &1), ("generation", &2)], SOON)?;
    ensure!(session.beat() == State::Alive, "the session has ended");
    let status = json(&stage, &["status", "--json"])?;
    ensure!(status["configuration"]["same"] == true, "{status}");
    wait_for_server(&stage, &mut balancer, "s2")?;
    // It goes on from the new file.
    applied(&stage, &weighted(&other(&stage).replace("server s ", "server t "), 9), "2 servers changed")?;
    drop(session);
    stop(&stage, balancer)
}

fn a_rollback_brings_back_what_was_before_an_apply() -> Result<()> {
    let stage = Stage::new("apback")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    applied(&stage, &other(&stage), "2 servers changed")?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    let load = load(&stage)?;
    let output = stage.clearway(&["rollback"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    ensure!(said(&output).contains("rolled back to what generation 1 was started from"), "{}", said(&output));
    wait_for_server(&stage, &mut balancer, "s1")?;
    applied(&stage, &other(&stage), "2 servers changed")?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    assert_no_client_lost(&load.finish_after(100)?)?;
    stop(&stage, balancer)
}

fn a_crash_starts_what_was_applied() -> Result<()> {
    let stage = Stage::new("apcrash")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    applied(&stage, &other(&stage), "2 servers changed")?;
    stage.write("nonsense\n")?;
    // What dies at once is not started again.
    eventually(SOON, "the generation to have proven itself", || {
        let status = json(&stage, &["status", "--json"]).ok()?;
        (status["generations"][0]["seconds"].as_u64() > Some(5)).then_some(())
    })?;
    let worker = balancer.haproxy_processes().last().copied().context("a worker")?;
    balancer.kill_descendant(worker)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    stop(&stage, balancer)
}
