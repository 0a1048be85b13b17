//! How an apply is asked for, and how it is told.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::apply::{applied, grown, json, plan, stop};
use crate::stage::{SOON, Stage, assert_code, said};
use crate::transaction::wait_for_server;

crate::tests![
    a_plan_says_what_would_be_done_and_changes_nothing,
    every_reload_is_planned_where_that_is_set,
    a_changed_file_is_applied_and_the_api_tells_what_it_would_be,
    what_was_applied_is_told_by_all_that_tell,
];

fn a_plan_says_what_would_be_done_and_changes_nothing() -> Result<()> {
    let stage = Stage::new("applan")?;
    stage.write(&stage.plain())?;
    let balancer = stage.start()?;
    let told = plan(&stage, 0)?;
    ensure!(told.starts_with("nothing to do: generation 1 has what is on disk"), "{told}");

    stage.write(&grown(&stage))?;
    for words in [["plan"].as_slice(), &["diff", "--plan"]] {
        let output = stage.clearway(words)?;
        assert_code(output.status, 3)?;
        let told = said(&output);
        for part in [
            "this can be changed in the HAProxy that serves (generation 1), without a reload: 2 servers added\n",
            "\n1. server added f0/t: ",
            "\n     add server f0/t 10.2.0.3:8080",
            "\nnothing was changed; `clearway apply` gives these commands",
        ] {
            ensure!(told.contains(part), "`{part}` is missing in:\n{told}");
        }
    }
    let planned = json(&stage, &["plan", "--json"])?;
    ensure!(planned["verdict"] == "at-run-time" && planned["changes"] == "2 servers added", "{planned}");
    let commands = planned["steps"][0]["commands"].as_array().context("commands")?;
    ensure!(commands.iter().all(Value::is_string) && !commands.is_empty(), "{planned}");

    stage.write(&grown(&stage).replace(":8080 v6only", ":8081 v6only"))?;
    let told = plan(&stage, 4)?;
    ensure!(told.starts_with("this needs a reload:\n") && told.contains("haproxy.cfg:"), "{told}");
    std::fs::remove_file(stage.file())?;
    assert_code(stage.clearway(&["plan"])?.status, 66)?;

    // Nothing of it was done, or tried.
    let history = json(&stage, &["history", "--json"])?;
    ensure!(history["reloads"].as_array().map(Vec::len) == Some(1), "{history}");
    stop(&stage, balancer)
}

fn every_reload_is_planned_where_that_is_set() -> Result<()> {
    let stage = Stage::new("apauto")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_APPLY", "auto")])?;
    let processes = balancer.haproxy_processes();
    stage.write(&grown(&stage))?;
    balancer.signal(Signal::HUP)?;
    balancer.wait_for_event(0, "apply.done", &[("serving", &1), ("generation", &2)], SOON)?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    stage.write(&stage.plain())?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0)?;
    ensure!(said(&output).starts_with("applied at run time: 2 servers removed ("), "{}", said(&output));
    ensure!(balancer.haproxy_processes() == processes, "there are other processes");
    // A reload of what serves already is no reload either.
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    ensure!(balancer.haproxy_processes() == processes, "there are other processes");
    stop(&stage, balancer)
}

fn a_changed_file_is_applied_and_the_api_tells_what_it_would_be() -> Result<()> {
    let stage = Stage::new("apwatch")?;
    let api = stage.path("api.sock").display().to_string();
    stage.write(&stage.plain())?;
    let variables = [
        ("CLEARWAY_APPLY", "auto"),
        ("CLEARWAY_WATCH", "on"),
        ("CLEARWAY_WATCH_QUIET", "100ms"),
        ("CLEARWAY_ADMIN", api.as_str()),
    ];
    let mut balancer = stage.start_with(&[], &variables)?;
    let processes = balancer.haproxy_processes();
    stage.write(&grown(&stage))?;
    balancer.wait_for_event(0, "apply.done", &[("serving", &1), ("generation", &2)], SOON)?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    ensure!(balancer.haproxy_processes() == processes, "there are other processes");
    for (path, wanted) in [
        ("/v1/apply?dry-run", "\"verdict\":\"nothing\""),
        ("/v1/apply", "\"result\":\"applied\""),
        ("/v1/apply?dryrun", "the field `dryrun` is not known here"),
    ] {
        let answer = post(Path::new(&api), path)?;
        ensure!(answer.contains(wanted), "{path}: {answer}");
    }
    stop(&stage, balancer)
}

/// What the API answers.
fn post(socket: &Path, path: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SOON))?;
    let head = "Host: localhost\r\nX-Clearway: 1\r\nContent-Length: 0\r\nConnection: close\r\n";
    stream.write_all(format!("POST {path} HTTP/1.1\r\n{head}\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn what_was_applied_is_told_by_all_that_tell() -> Result<()> {
    let stage = Stage::new("aptold")?;
    stage.write(&stage.plain())?;
    let balancer = stage.start()?;
    applied(&stage, &grown(&stage), "2 servers added")?;
    let words = said(&stage.clearway(&["status"])?);
    ensure!(words.contains("the last change was applied at run time, "), "{words}");
    ensure!(words.contains("configuration: the files are those that run"), "{words}");
    assert_code(stage.clearway(&["status", "--check"])?.status, 0)?;
    let history = json(&stage, &["history", "--json"])?;
    let last = history["reloads"].as_array().and_then(|all| all.last()).context("an entry")?;
    ensure!(last["result"] == "applied" && last["applied"] == "2 servers added", "{last}");
    ensure!(last["by"][0] == "apply" && last["steps"]["apply"].as_f64() > Some(0.0), "{last}");
    let words = said(&stage.clearway(&["history"])?);
    ensure!(words.contains("applied at run time: 2 servers added"), "{words}");
    let metrics = said(&stage.clearway(&["metrics"])?);
    for sample in [
        r#"clearway_applies_total{result="at-run-time",trigger="apply"} 1"#,
        "clearway_config_last_reload_successful 1",
        "clearway_apply_seconds_count 1",
    ] {
        ensure!(metrics.lines().any(|line| line == sample), "no {sample} in {metrics}");
    }
    ensure!(!metrics.contains("clearway_reloads_total{result=\"applied\""), "it is no reload: {metrics}");
    stop(&stage, balancer)
}
