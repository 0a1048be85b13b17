//! What `clearway history` remembers: each start, reload, crash and takeover, with what came of it and why.

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::session::Session;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::stage::{SOON, Stage, assert_code, complained, said};
use crate::takeover::{NAMED, successor_by};

crate::tests![
    every_start_reload_crash_and_takeover_is_told_in_order,
    the_last_hundred_are_kept,
    where_there_is_no_clearway_it_says_so,
];

/// What one Clearway remembers, as JSON.
fn history(stage: &Stage, balancer: &Balancer) -> Result<Value> {
    let output = stage.clearway(&["history", "--json", "--pid", &balancer.pid().to_string()])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    serde_json::from_slice(&output.stdout).with_context(|| said(&output))
}

/// The entries.
fn entries(history: &Value) -> Result<&Vec<Value>> {
    history["reloads"].as_array().with_context(|| format!("no entries in {history}"))
}

/// What, what came of it, what asked for it, and which generation it was.
fn told(history: &Value) -> Result<Vec<Value>> {
    let brief = |one: &Value| json!([one["event"], one["result"], one["by"], one["generation"]]);
    Ok(entries(history)?.iter().map(brief).collect())
}

fn seconds(steps: &Value, name: &str) -> f64 {
    steps[name].as_f64().unwrap_or(-1.0)
}

/// The steps of an attempt, which are the whole of it.
fn steps(entry: &Value) -> Result<&Value> {
    let steps = &entry["steps"];
    let names = ["prepare", "prove", "carry", "settle", "switch", "end"];
    let sum: f64 = names.iter().map(|name| seconds(steps, name)).sum();
    let whole = entry["seconds"].as_f64().context("no seconds")?;
    ensure!((sum - whole).abs() < 1e-6, "{sum} s of {whole} s: {entry}");
    ensure!(seconds(steps, "prepare") > 0.0 && seconds(steps, "prove") > 0.0, "{entry}");
    Ok(steps)
}

fn every_start_reload_crash_and_takeover_is_told_in_order() -> Result<()> {
    let stage = Stage::new("history")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    first.signal(Signal::HUP)?;
    let serving = first.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    stage.write(&(stage.plain() + "    nonsense here\n"))?;
    assert_code(stage.clearway(&["reload", "--instance", "web"])?.status, 65)?;
    // What only tries leaves nothing.
    assert_code(stage.clearway(&["reload", "--dry-run", "--instance", "web"])?.status, 65)?;
    stage.write(&stage.plain())?;
    let worker = serving["worker"].as_u64().context("no worker")?;
    let restarted = first.log_position()?;
    first.kill_descendant(u32::try_from(worker)?)?;
    first.wait_for_event(restarted, "generation.serving", &[], SOON)?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut second = successor_by(&stage, "handoff")?;
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;

    let past = history(&stage, &first)?;
    let expected = [
        json!(["start", "took", [], 1]),
        json!(["reload", "took", ["SIGHUP"], 2]),
        json!(["reload", "refused", ["admin-socket"], 3]),
        json!(["crash", "crashed", [], 2]),
        json!(["restart", "took", [], 4]),
        json!(["takeover", "superseded", [], null]),
        json!(["takeover", "settled", [], null]),
    ];
    ensure!(told(&past)? == expected, "{:?}", told(&past)?);
    ensure!(past["forgotten"] == 0, "{past}");
    let [start, reload, refused, crash, restart, ..] = entries(&past)?.as_slice() else { unreachable!() };
    for (number, entry) in entries(&past)?.iter().enumerate() {
        let at = entry["at"].as_str().unwrap_or_default();
        ensure!(entry["id"] == number + 1 && at.len() == 27 && at.ends_with('Z'), "{entry}");
    }
    ensure!(seconds(steps(start)?, "settle") == 0.0, "nothing serves beside the first: {start}");
    ensure!(start["sockets"]["new"]["number"] == 2, "{start}");
    ensure!(seconds(steps(reload)?, "settle") >= 0.19, "{reload}");
    let handed = &reload["sockets"]["moved"][0];
    ensure!(handed["by"] == "handoff" && handed["addresses"]["number"] == 2, "{reload}");
    steps(refused)?;
    let failure = &refused["failure"];
    ensure!(failure["code"] == 65 && refused["ended"] == "exit code 1", "{refused}");
    ensure!(failure["words"]["first"].to_string().contains("nonsense"), "HAProxy's words: {refused}");
    let lines = &failure["lines"]["first"];
    ensure!(
        lines[0].as_str().is_some_and(|line| line.ends_with(": nonsense here")),
        "the file's line: {refused}"
    );
    ensure!(refused["sockets"].is_null(), "{refused}");
    // That of the master: its worker was killed.
    ensure!(crash["ended"] == "exit code 137", "{crash}");
    ensure!(steps(restart)?["settle"] == 0.0 && restart["sockets"]["moved"][0]["addresses"]["number"] == 2);

    let after = history(&stage, &second)?;
    ensure!(told(&after)? == [json!(["takeover", "took", [], 1])], "{after}");
    let words = said(&stage.clearway(&["history", "--pid", &first.pid().to_string()])?);
    let row = |line: &&str| line.contains(" reload ") && line.contains(" admin-socket ");
    ensure!(words.lines().any(|line| row(&line) && line.contains(" refused ")), "{words}");
    ensure!(words.contains("exit code 65: ") && words.contains("nonsense"), "{words}");
    ensure!(words.contains("moved by handoff: ") && words.contains(" settle "), "{words}");
    ensure!(words.trim_end().lines().last().is_some_and(|line| line.contains(" settled ")), "{words}");
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_last_hundred_are_kept() -> Result<()> {
    let stage = Stage::new("hist100")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    stage.write(&(stage.plain() + &"    nonsense here\n".repeat(40)))?;
    for _ in 0..120 {
        assert_code(stage.clearway(&["reload"])?.status, 65)?;
    }
    let past = history(&stage, &balancer)?;
    let kept = entries(&past)?;
    ensure!(kept.len() == 100 && past["forgotten"] == 21, "{} kept, {}", kept.len(), past["forgotten"]);
    let last = &kept[99];
    ensure!(kept[0]["id"] == 22 && last["id"] == 121, "{last}");
    let words = &last["failure"]["words"];
    let listed = words["first"].as_array().context("no words")?;
    ensure!(words["number"].as_u64() >= Some(30) && listed.len() < 30, "{words}");
    ensure!(words["first"].to_string().len() < 4096, "{words}");
    let table = said(&stage.clearway(&["history"])?);
    ensure!(table.contains("21 before these are not remembered"), "{table}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn where_there_is_no_clearway_it_says_so() -> Result<()> {
    let stage = Stage::new("histnone")?;
    let output = stage.clearway(&["history"])?;
    assert_code(output.status, 68)?;
    ensure!(complained(&output).starts_with("clearway: "), "{}", complained(&output));
    Ok(())
}
