//! `clearway rollback`: what served before serves again, from the copy in memory, until a reload is asked for or the file changes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::Expect;
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{SOON, Stage, assert_code, assert_no_client_lost, complained, said};
use crate::takeover::{NAMED, successor_by};
use crate::transaction::{other, wait_for_server};

crate::tests![
    a_rollback_brings_back_the_former_answer_and_loses_no_client,
    transparent_clients_are_seen_by_their_address_after_a_rollback,
    a_rollback_is_told_by_all_that_tell_until_a_reload,
    watching_does_not_undo_a_rollback_and_a_change_does,
    a_crash_after_a_rollback_keeps_what_was_rolled_back_to,
    where_nothing_served_before_it_says_so,
    a_rollback_needs_no_file_on_disk,
    one_that_does_not_start_any_more_changes_nothing,
];

/// One that has served `s1`, and serves `s2` since a reload.
fn reloaded(stage: &Stage, environment: &[(&str, &str)]) -> Result<Balancer> {
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], environment)?;
    stage.write(&other(stage))?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    wait_for_server(stage, &mut balancer, "s2")?;
    Ok(balancer)
}

/// Rolls back, and says what was answered.
fn roll_back(stage: &Stage) -> Result<String> {
    let output = stage.clearway(&["rollback"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    Ok(said(&output))
}

fn status(stage: &Stage) -> Result<Value> {
    serde_json::from_slice(&stage.clearway(&["status", "--json"])?.stdout).context("the status")
}

fn a_rollback_brings_back_the_former_answer_and_loses_no_client() -> Result<()> {
    let stage = Stage::new("rb")?;
    let mut balancer = reloaded(&stage, &[])?;
    let plan = stage.load(200.0, Duration::from_mins(1)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    let told = roll_back(&stage)?;
    ensure!(
        told.contains("rolled back to what generation 1 was started from, in place of that of generation 2")
    );
    ensure!(
        told.contains("maps, certificates and other files") && told.contains("as they are on disk now"),
        "{told}"
    );
    wait_for_server(&stage, &mut balancer, "s1")?;
    // There and back again.
    for (words, server) in [(["reload"], "s2"), (["rollback"], "s1")] {
        assert_code(stage.clearway(&words)?.status, 0)?;
        wait_for_server(&stage, &mut balancer, server)?;
    }
    assert_no_client_lost(&load.finish_after(200)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn transparent_clients_are_seen_by_their_address_after_a_rollback() -> Result<()> {
    let stage = Stage::new("rbtrans")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    // Nothing in it is transparent: what the former one needs in the kernel comes back with it.
    stage.write(&stage.plain())?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let plan = stage.load(200.0, Duration::from_mins(1)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    roll_back(&stage)?;
    assert_no_client_lost(&load.finish_after(100)?)?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(200.0, Duration::from_mins(1)))?;
    assert_no_client_lost(&load.finish_after(200)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_rollback_is_told_by_all_that_tell_until_a_reload() -> Result<()> {
    let stage = Stage::new("rbtold")?;
    let mut balancer = reloaded(&stage, &[])?;
    ensure!(status(&stage)?["rolled_back"].is_null());
    roll_back(&stage)?;
    balancer.wait_for_event(0, "rollback.requested", &[("back_to", &1)], SOON)?;
    balancer.wait_for_event(
        0,
        "rollback.done",
        &[("back_to", &1), ("from", &2), ("generation", &3)],
        SOON,
    )?;

    let json = status(&stage)?;
    let rolled_back = &json["rolled_back"];
    ensure!(rolled_back["to"] == 1 && rolled_back["from"] == 2 && rolled_back["at"].is_string(), "{json}");
    ensure!(json["last_attempt"]["cause"] == "rollback", "{json}");
    let words = said(&stage.clearway(&["status"])?);
    ensure!(words.contains("ROLLED BACK: what generation 1 was started from serves again since"), "{words}");
    let check = stage.clearway(&["status", "--check"])?;
    ensure!(check.status.code() == Some(2) && said(&check).contains("rolled back: "), "{}", said(&check));
    assert_code(stage.clearway(&["health"])?.status, 0)?;
    let history: Value = serde_json::from_slice(&stage.clearway(&["history", "--json"])?.stdout)?;
    let last = history["reloads"].as_array().and_then(|all| all.last()).context("an entry")?;
    ensure!(last["event"] == "rollback" && last["result"] == "took" && last["by"][0] == "rollback", "{last}");
    let metrics = said(&stage.clearway(&["metrics"])?);
    for sample in [
        r#"clearway_reloads_total{result="took",trigger="rollback"} 1"#,
        "clearway_config_last_reload_successful 0",
    ] {
        ensure!(metrics.lines().any(|line| line == sample), "no {sample} in {metrics}");
    }

    // Put back as it was, what is on disk is what serves.
    stage.write(&stage.plain())?;
    assert_code(stage.clearway(&["status", "--check"])?.status, 0)?;
    let metrics = said(&stage.clearway(&["metrics"])?);
    ensure!(metrics.contains("clearway_config_last_reload_successful 1\n"), "{metrics}");
    // A reload by any way takes what is on disk.
    stage.write(&other(&stage))?;
    balancer.signal(Signal::HUP)?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &4)], SOON)?;
    ensure!(status(&stage)?["rolled_back"].is_null(), "{}", status(&stage)?);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn watching_does_not_undo_a_rollback_and_a_change_does() -> Result<()> {
    let stage = Stage::new("rbwatch")?;
    stage.write(&stage.plain())?;
    let variables =
        [("CLEARWAY_WATCH", "on"), ("CLEARWAY_WATCH_QUIET", "200ms"), ("CLEARWAY_LOG", "json,debug")];
    let mut balancer = stage.start_with(&[], &variables)?;
    balancer.wait_for_log(0, "changed: 0", SOON)?;
    let reloaded = balancer.log_position()?;
    stage.write(&other(&stage))?;
    balancer.wait_for_event(reloaded, "generation.serving", &[("generation", &2)], SOON)?;
    balancer.wait_for_log(reloaded, "changed: 0", SOON)?;
    roll_back(&stage)?;
    wait_for_server(&stage, &mut balancer, "s1")?;
    // It looks at the file, which is written and says the same.
    let touched = balancer.log_position()?;
    stage.write(&other(&stage))?;
    balancer.wait_for_log(touched, "changed: 0", SOON)?;
    wait_for_server(&stage, &mut balancer, "s1")?;
    ensure!(balancer.events("generation.started", &[("generation", &4)])?.is_empty(), "it was loaded again");
    stage.write(&(other(&stage) + "# mended\n"))?;
    balancer.wait_for_event(touched, "generation.serving", &[("generation", &4)], SOON)?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    ensure!(status(&stage)?["rolled_back"].is_null(), "{}", status(&stage)?);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_crash_after_a_rollback_keeps_what_was_rolled_back_to() -> Result<()> {
    let stage = Stage::new("rbcrash")?;
    let mut balancer = reloaded(&stage, &[])?;
    roll_back(&stage)?;
    let before = status(&stage)?["rolled_back"]["at"].clone();
    // Younger than five seconds.
    let serving = balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    balancer.kill_descendant(u32::try_from(serving["worker"].as_u64().context("a worker")?)?)?;
    let crashed = balancer.wait_for_event(0, "generation.crashed", &[], SOON)?;
    ensure!(crashed["back_to"].is_null(), "it is not trusted: {crashed}");
    balancer.wait_for_event(0, "generation.serving", &[("generation", &4)], SOON)?;
    wait_for_server(&stage, &mut balancer, "s1")?;
    let after = status(&stage)?;
    let (before, after) = (before.as_str().context("a time")?, after["rolled_back"]["at"].as_str());
    // To the second: it is told from how long ago it was.
    ensure!(after.is_some_and(|after| after.get(..17) == before.get(..17)), "{before} and {after:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn where_nothing_served_before_it_says_so() -> Result<()> {
    let stage = Stage::new("rbnone")?;
    let refused = |words: &[&str], says: &str| -> Result<()> {
        let output = stage.clearway(&[&["rollback"], words].concat())?;
        assert_code(output.status, 78).with_context(|| complained(&output))?;
        let told = complained(&output);
        ensure!(told.contains("nothing to roll back to") && told.contains(says), "{told}");
        Ok(())
    };
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    refused(&[], "nothing is known here that served before")?;
    // The same files again are nothing before.
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    refused(&[], "nothing is known here that served before")?;
    first.wait_for_event(0, "rollback.requested", &[("level", &"WARN")], SOON)?;
    stage.write(&other(&stage))?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    roll_back(&stage)?;
    refused(&[], "a rollback has brought back what generation 2 was started from already")?;
    let json = stage.clearway(&["rollback", "--json"])?;
    assert_code(json.status, 78)?;
    let json: Value = serde_json::from_slice(&json.stdout)?;
    ensure!(json["result"] == "refused" && json["code"] == 78 && json["hints"][0].is_string(), "{json}");
    // What another container served is not known here.
    let mut second = successor_by(&stage, "handoff")?;
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;
    assert_code(first.wait_exit(SOON)?, 0)?;
    refused(&["--pid", &second.pid().to_string()], "another container or process")?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    assert_code(stage.clearway(&["rollback"])?.status, 68)?;
    stage.assert_clean()
}

fn a_rollback_needs_no_file_on_disk() -> Result<()> {
    let stage = Stage::new("rbgone")?;
    let mut balancer = reloaded(&stage, &[])?;
    std::fs::remove_file(stage.file())?;
    roll_back(&stage)?;
    wait_for_server(&stage, &mut balancer, "s1")?;
    balancer.wait_for_event(0, "configuration.unreadable", &[("former", &1)], SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn one_that_does_not_start_any_more_changes_nothing() -> Result<()> {
    let stage = Stage::new("rbold")?;
    let page = stage.path("sorry.http");
    std::fs::write(&page, "HTTP/1.0 503 Sorry\r\n\r\nlater\r\n")?;
    let sorry = format!("    errorfile 503 {}\nlisten f0\n", page.display());
    stage.write(&stage.plain().replacen("listen f0\n", &sorry, 1))?;
    let mut balancer = stage.start()?;
    stage.write(&other(&stage))?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    std::fs::remove_file(&page)?;
    let plan = stage.load(200.0, Duration::from_mins(1)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    let output = stage.clearway(&["rollback"])?;
    ensure!(!output.status.success(), "{}", said(&output));
    let told = complained(&output);
    ensure!(told.contains("nothing was rolled back") && told.contains("sorry.http"), "{told}");
    assert_no_client_lost(&load.finish_after(100)?)?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    ensure!(status(&stage)?["rolled_back"].is_null(), "{}", status(&stage)?);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
