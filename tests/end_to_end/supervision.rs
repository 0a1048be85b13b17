//! The first process: it reaps strangers, leaves the output of others alone, and logs what a machine can read.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::Expect;
use clearway_lab::process::Facts;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{EVENTS, SOON, Stage, TEXT, assert_code, assert_no_client_lost, complained, said};

crate::tests![
    the_haproxy_under_test_serves,
    as_pid_1_it_reaps_orphans_and_stops_cleanly,
    haproxys_standard_output_is_its_own,
    the_log_can_be_json,
    the_status_tells_the_truth,
    arguments_that_fight_with_supervision_are_handled,
    several_files_and_directories_are_passed_on,
    idle_it_sleeps_and_is_small,
    idle_haproxy_sleeps_as_well,
];

fn the_haproxy_under_test_serves() -> Result<()> {
    // Clearway takes `haproxy` from PATH, the lab `$HAPROXY_BIN`: a suite that tests another one proves nothing.
    let stage = Stage::new("which")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let wanted = std::fs::canonicalize(clearway_lab::balancer::haproxy_program())?;
    let processes = balancer.haproxy_processes();
    ensure!(processes.len() == 2, "a master and a worker: {processes:?}");
    for pid in processes {
        let running = std::fs::read_link(format!("/proc/{pid}/exe"))?;
        ensure!(running == wanted, "{} runs, {} is under test", running.display(), wanted.display());
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn as_pid_1_it_reaps_orphans_and_stops_cleanly() -> Result<()> {
    let stage = Stage::new("pid1")?;
    stage.write(&stage.transparent())?;
    let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut balancer = stage.launch_under(&unshare, &[])?;
    balancer.wait_for_event(0, "clearway.starting", &[("pid", &1)], SOON)?;
    stage.wait_ready(&mut balancer)?;
    let inside = clearway_lab::process::children(balancer.pid());
    let pid_1 = inside.first().context("unshare has no child")?.to_string();
    // Orphans inside its PID namespace become its children; a first process that does not reap them collects zombies.
    let nsenter = |script: &str| -> Result<String> {
        let mut command = std::process::Command::new("nsenter");
        command.args(["-t", &pid_1, "-p", "-m", "sh", "-c", script]);
        Ok(String::from_utf8_lossy(&command.output()?.stdout).into_owned())
    };
    nsenter("for i in 1 2 3 4 5; do (sleep 0.1 &) ; done")?;
    eventually(SOON, "no orphan and no zombie to be left", || {
        let states = nsenter("cat /proc/[0-9]*/stat").ok()?;
        (!states.contains("(sleep)") && !states.contains(") Z ")).then_some(())
    })?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let drain = stage.clearway(&["drain"])?;
    assert_code(drain.status, 0).with_context(|| complained(&drain))?;
    balancer.wait_exit(SOON)?;
    stage.assert_clean()
}

fn haproxys_standard_output_is_its_own() -> Result<()> {
    let stage = Stage::new("stdout")?;
    let log = "global\n    log stdout format raw local0\n";
    let text = log.to_owned()
        + &stage.plain().replace("defaults\n", "defaults\n    log global\n    option tcplog\n");
    stage.write(&text)?;
    let mut balancer = stage.start_with(&[], &[TEXT])?;
    let line = eventually(SOON, "HAProxy's log on standard output", || {
        balancer.stdout().ok()?.lines().find(|line| line.contains("f0/s")).map(str::to_owned)
    })?;
    ensure!(line.starts_with("10.1.0."), "HAProxy's line was changed: {line}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    let output = balancer.stdout()?;
    let foreign: Vec<&str> = output.lines().filter(|line| line.contains("generation")).collect();
    ensure!(foreign.is_empty(), "Clearway wrote to standard output: {foreign:?}");
    let errors = balancer.stderr()?;
    ensure!(
        errors.contains("[WARNING]") && errors.contains("FE: 1"),
        "HAProxy's words are not passed on:\n{errors}"
    );
    let routine = ["Loading success.", "exited with code 0", "haproxy version is", "FE: 0, BE: 0"];
    ensure!(!routine.iter().any(|text| errors.contains(text)), "that says nothing:\n{errors}");
    Ok(())
}

/// Clearway, HAProxy and a program, on both streams, through all that a life brings: each line is an event.
fn the_log_can_be_json() -> Result<()> {
    let stage = Stage::new("json")?;
    let text = |mode: &str| {
        let program = "program api\n    command sh -c 'echo one; echo two >&2; exec sleep 1000'\n";
        let log = "global\n    log stdout format raw local0\n".to_owned();
        let defaults = format!("defaults\n    log global\n    option {mode}\n");
        log + &stage.plain().replace("defaults\n", &defaults) + program
    };
    stage.write(&text("tcplog"))?;
    let mut balancer = stage.start_with(&[], &[EVENTS])?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    stage.write(&text("tcplogg"))?;
    assert_code(stage.clearway(&["reload"])?.status, 65)?;
    stage.write(&text("tcplog"))?;
    let position = balancer.log_position()?;
    let worker = *balancer.haproxy_processes().last().context("no worker")?;
    balancer.kill_descendant(worker)?;
    balancer.wait_for_event(position, "generation.serving", &[], SOON)?;
    let settled = || balancer.stdout().ok().filter(|said| said.contains("f0/s"));
    eventually(SOON, "HAProxy's log on standard output", settled)?;
    eventually(SOON, "what the program says", || balancer.stderr().ok().filter(|said| said.contains("two")))?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    let parsed = |said: String| -> Result<Vec<serde_json::Value>> {
        said.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
            .collect()
    };
    let (out, err) = (parsed(balancer.stdout()?)?, parsed(balancer.raw_stderr()?)?);
    let find = |all: &[serde_json::Value], text: &str| {
        let found = all.iter().find(|one| one["message"].as_str().is_some_and(|said| said.contains(text)));
        found.cloned().with_context(|| format!("no event says `{text}`: {all:?}"))
    };
    let serving = find(&err, " serves, ")?;
    ensure!(serving["level"] == "INFO" && serving["generation"] == 1, "{serving}");
    let refused = find(&err, "config : parsing [")?;
    ensure!(refused["level"] == "ERROR" && refused["process"] == "haproxy", "{refused}");
    ensure!(refused["pid"].is_u64() && refused["generation"] == 3, "{refused}");
    for (text, stream) in [("one", "stdout"), ("two", "stderr")] {
        let said = err.iter().find(|one| one["program"] == "api" && one["message"] == text);
        ensure!(said.is_some_and(|one| one["stream"] == stream), "{said:?}");
    }
    let access = find(&out, "f0/s")?;
    ensure!(access["process"] == "haproxy" && access["stream"] == "stdout", "{access}");
    let stopped = out.iter().filter(|one| one["generation"] == 4).count();
    ensure!(stopped > 0, "what HAProxy said at its end is lost: {out:?}");
    Ok(())
}

fn the_status_tells_the_truth() -> Result<()> {
    let stage = Stage::new("status")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_INSTANCE", "e2e-status")])?;
    let output = stage.clearway(&["status", "--instance", "e2e-status", "--json"])?;
    assert_code(output.status, 0)?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(status["state"] == "serving" && status["instance"] == "e2e-status", "{status}");
    ensure!(status["custody"] == serde_json::json!(["10.1.0.1:8080", "[fd01::1]:8080"]), "{status}");
    let table = status["plumbing"]["table"].as_str().unwrap_or_default();
    ensure!(stage.hosts.balancer.output("nft", &["list", "tables"])?.contains(table), "{status}");
    let known = balancer.haproxy_processes();
    for process in ["master", "worker"] {
        let pid = status["generations"][0][process].as_u64().and_then(|pid| u32::try_from(pid).ok());
        ensure!(pid.is_some_and(|pid| known.contains(&pid)), "{process}: {status}, processes {known:?}");
    }
    ensure!(said(&stage.clearway(&["status"])?).starts_with("serving (clearway "), "for people");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    assert_code(stage.clearway(&["status"])?.status, 68)
}

fn arguments_that_fight_with_supervision_are_handled() -> Result<()> {
    let stage = Stage::new("fight")?;
    let pid_file = stage.path("pid").display().to_string();
    let global = "global\n    daemon\n    master-worker\n";
    stage.write(&(global.to_owned() + &stage.plain()))?;
    let words = ["-D", "-W", "-db", "-p", &pid_file, "-x", "/nowhere", "-sf", "1", "2"];
    let mut balancer = stage.start_with(&words, &[])?;
    let log = balancer.stderr()?;
    for flag in ["`-D`", "`-W`", "`-db`", "`-x /nowhere`", "`-sf 1 2`", "`daemon`", "`master-worker`"] {
        let lines = log.lines().filter(|line| line.contains(flag)).count();
        ensure!(lines == 1, "{flag} is explained by {lines} lines:\n{log}");
    }
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn several_files_and_directories_are_passed_on() -> Result<()> {
    let stage = Stage::new("files")?;
    let directory = stage.path("conf.d");
    std::fs::create_dir(&directory)?;
    let text = stage.transparent();
    let (first, second) = text.split_once("listen f1").context("two proxies")?;
    stage.write(first)?;
    std::fs::write(
        directory.join("10-v6.cfg"),
        format!("{}listen f1{second}", first.split("listen").next().unwrap_or_default()),
    )?;
    let directory = directory.display().to_string();
    for words in [["-f", &directory], ["--", &directory]] {
        let mut balancer = stage.start_with(&words, &[])?;
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        stage.wait_ready(&mut balancer)?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    }
    stage.assert_clean()
}

fn idle_it_sleeps_and_is_small() -> Result<()> {
    let stage = Stage::new("idle")?;
    stage.write(&stage.transparent())?;
    // As it is by default: with JSON there is one thread more.
    let mut balancer = stage.start_with(&[], &[TEXT])?;
    // The loop, and the thread that writes the log.
    eventually(SOON, "its other threads to end", || (balancer.facts().ok()?.threads == 2).then_some(()))?;
    balancer.wait_for_log(0, "canary: return path verified for 2 servers", SOON)?;
    let mut wakeups = Vec::new();
    // It looks closely for three seconds at what HAProxy's master does after it has said something.
    std::thread::sleep(Duration::from_secs(5));
    // Every ten seconds it asks HAProxy for the state of its servers and looks at HAProxy's master, at the same time:
    // two of these seconds at most, and two in which a timer comes nearer.
    for _ in 0..8 {
        let before = balancer.facts()?;
        std::thread::sleep(Duration::from_secs(1)); // nothing happens, and that is what is looked at
        wakeups.push(balancer.facts()?.wakeups - before.wakeups);
    }
    ensure!(wakeups.iter().filter(|number| **number == 0).count() >= 4, "it woke up: {wakeups:?}");
    ensure!(wakeups.iter().sum::<u64>() <= 20, "it woke up: {wakeups:?}");
    let after = balancer.facts()?;
    // Some 400 KiB are its own, the others are the pages of the program that the kernel has read and can have back.
    ensure!(after.anonymous_kib < 640 && after.resident_kib < 6144, "{after:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

/// What a HAProxy without clients may do in two seconds: it wakes up once a second and thread. One that polls a
/// descriptor with a closed other end wakes up all the time, or does not even sleep.
const WAKEUPS_OF_A_THREAD: u64 = 10;
const TICKS: u64 = 20;

fn idle_haproxy_sleeps_as_well() -> Result<()> {
    let stage = Stage::new("rest")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    eventually(SOON, "the former generation to end", || {
        (balancer.haproxy_processes().len() == 2).then_some(())
    })?;
    let plan = stage.load(200.0, Duration::from_millis(500)).expecting(Expect::Anything);
    assert_no_client_lost(&clearway_lab::load::start(&stage.hosts.client, plan)?.wait()?)?;
    let facts =
        || -> Result<Vec<Facts>> { balancer.haproxy_processes().into_iter().map(Facts::of).collect() };
    let before = facts()?;
    std::thread::sleep(Duration::from_secs(2)); // nothing happens, and that is what is looked at
    for (before, after) in before.iter().zip(facts()?) {
        let (woken, ticks) = (after.wakeups - before.wakeups, after.cpu_ticks - before.cpu_ticks);
        let sleeps = woken <= WAKEUPS_OF_A_THREAD * after.threads && ticks <= TICKS;
        ensure!(
            sleeps,
            "without a client HAProxy woke up {woken} times and used {ticks} ticks in two seconds"
        );
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
