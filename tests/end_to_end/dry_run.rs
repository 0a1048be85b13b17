//! `clearway reload --dry-run`: a generation starts, proves itself and ends. Clients, the kernel and what serves do not notice.

use std::os::unix::net::UnixListener;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::kernel::Snapshot;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, assert_no_client_lost, complained, said};

crate::tests![
    clients_and_the_kernel_do_not_notice_a_trial,
    a_trial_says_what_a_reload_would_change,
    a_file_that_is_refused_is_told_in_haproxys_words,
    with_every_strategy_a_trial_loses_no_client,
    a_trial_of_a_transparent_file_puts_nothing_into_the_kernel,
    what_would_take_datagrams_is_not_tried,
    a_trial_does_not_outlive_the_crash_of_what_serves,
];

fn dry_run(stage: &Stage) -> Result<Output> {
    stage.clearway(&["reload", "--dry-run"])
}

/// It would take, and what it said.
fn takes(stage: &Stage) -> Result<String> {
    let output = dry_run(stage)?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    ensure!(said(&output).starts_with("a reload would take; nothing was changed\n"), "{}", said(&output));
    Ok(said(&output))
}

/// What is in the kernel stays as it is while this is done.
fn unchanged(stage: &Stage, mut what: impl FnMut() -> Result<()>) -> Result<()> {
    let before = Snapshot::take(&stage.hosts.balancer)?;
    what()?;
    let differences = before.diff(&Snapshot::take(&stage.hosts.balancer)?);
    ensure!(differences.is_empty(), "the kernel has changed:\n{}", differences.join("\n"));
    Ok(())
}

/// Only the first generation is there, and the last reload is none of these.
fn nothing_happened(stage: &Stage) -> Result<()> {
    let status: serde_json::Value =
        serde_json::from_slice(&stage.clearway(&["status", "--json"])?.stdout).context("the status")?;
    let generations = status["generations"].as_array().context("generations")?;
    ensure!(generations.len() == 1 && generations[0]["generation"] == 1, "{status}");
    ensure!(status["last_attempt"]["generation"] == 1, "{status}");
    Ok(())
}

/// One of the addresses is one that HAProxy does not take over: it binds a second socket there.
fn clients_and_the_kernel_do_not_notice_a_trial() -> Result<()> {
    let stage = Stage::new("dryload")?;
    stage.write(&stage.plain().replace(" v6only", ""))?;
    let mut balancer = stage.start()?;
    let plan = stage.load(200.0, Duration::from_mins(1)).expecting(clearway_lab::load::Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    unchanged(&stage, || {
        for _ in 0..5 {
            let text = takes(&stage)?;
            ensure!(text.contains("it would bind a second socket"), "{text}");
            ensure!(text.contains("listening sockets that it would take over: 1\n"), "{text}");
        }
        clearway_lab::wait::eventually(SOON, "the trials to be gone", || nothing_happened(&stage).ok())
    })?;
    assert_no_client_lost(&load.finish()?)?;
    // The number is used by what serves next.
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    let log = balancer.stderr()?;
    ensure!(log.matches("generation 2 was tried and would serve").count() == 5, "{log}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_trial_says_what_a_reload_would_change() -> Result<()> {
    let stage = Stage::new("drydiff")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let text = takes(&stage)?;
    ensure!(text.contains("listening sockets that it would take over: 2\n"), "{text}");
    ensure!(!text.contains("it would listen on") && text.contains("files: the files are those"), "{text}");
    let socket = stage.path("new.sock");
    let other = stage.path("other.sock");
    let _of_another = UnixListener::bind(&other)?;
    let changed = stage
        .plain()
        .replace(
            "bind 10.1.0.1:8080",
            &format!(
                "bind 10.1.0.1:8081 backlog 77\n    bind {}\n    bind {}",
                socket.display(),
                other.display()
            ),
        )
        .replace("server s 10.2.0.2:8080", "server s 10.2.0.9:8080\n    server t 10.2.0.3:8080")
        .replace(" v6only", " v6only backlog 33");
    stage.write(&changed)?;
    let text = takes(&stage)?;
    for words in [
        "files: not yet loaded: ",
        "listening sockets that it would take over: 1\n",
        "it would no longer listen on: 10.1.0.1:8080\n",
        "10.1.0.1:8081",
        "server f0/s: 10.2.0.9:8080 (is 10.2.0.2:8080)\n",
        "server f0/t: new, 10.2.0.3:8080\n",
        ": 33 (is ",
        &socket.display().to_string(),
    ] {
        ensure!(text.contains(words), "`{words}` is missing in:\n{text}");
    }
    // Nothing of it is there.
    ensure!(!socket.exists(), "the trial has made a socket");
    ensure!(
        std::os::unix::net::UnixStream::connect(&other).is_ok(),
        "the trial has taken the place of a socket"
    );
    let left: Vec<_> = std::fs::read_dir(stage.path(""))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    ensure!(!left.iter().any(|name| name.contains(".sock.")), "left: {left:?}");
    let listening = stage.hosts.balancer.output("ss", &["-Hltn"])?;
    ensure!(listening.contains(":8080") && !listening.contains(":8081"), "{listening}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_file_that_is_refused_is_told_in_haproxys_words() -> Result<()> {
    let stage = Stage::new("drybad")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    stage.write(&format!("{}    nonsense here\n", stage.plain()))?;
    for _ in 0..2 {
        let output = dry_run(&stage)?;
        assert_code(output.status, 65)?;
        for words in ["nonsense", "clearway: a reload would fail: "] {
            ensure!(complained(&output).contains(words), "{words}: {}", complained(&output));
        }
    }
    nothing_happened(&stage)?;
    // It is no reload that failed.
    ensure!(!said(&stage.clearway(&["status"])?).contains("DID NOT TAKE"), "the status tells of a reload");
    // A port that another one has is found as by a reload.
    let taken = stage.hosts.balancer.enter(|| std::net::TcpListener::bind("10.1.0.1:8099"))??;
    stage.write(&stage.plain().replace("bind 10.1.0.1:8080", "bind 10.1.0.1:8099"))?;
    let output = dry_run(&stage)?;
    ensure!(!output.status.success(), "{}", said(&output));
    ensure!(complained(&output).contains("10.1.0.1:8099"), "{}", complained(&output));
    drop(taken);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn with_every_strategy_a_trial_loses_no_client() -> Result<()> {
    for strategy in ["reuseport", "syn-drop", "plug", "tableflip", "auto"] {
        let stage = Stage::new("drystrat")?;
        stage.write(&stage.plain())?;
        let mut balancer = stage.start_with(&[], &[("CLEARWAY_STRATEGY", strategy)])?;
        let plan = stage.load(200.0, Duration::from_mins(1)).expecting(clearway_lab::load::Expect::Anything);
        let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
        unchanged(&stage, || {
            for _ in 0..3 {
                takes(&stage).context(strategy)?;
            }
            clearway_lab::wait::eventually(SOON, "the trials to be gone", || nothing_happened(&stage).ok())
        })
        .context(strategy)?;
        assert_no_client_lost(&load.finish()?).context(strategy)?;
        assert_code(stage.clearway(&["reload"])?.status, 0).context(strategy)?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

fn a_trial_of_a_transparent_file_puts_nothing_into_the_kernel() -> Result<()> {
    let stage = Stage::new("drytrans")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    stage.write(&stage.transparent())?;
    unchanged(&stage, || {
        let text = takes(&stage)?;
        ensure!(text.contains("the transparent plumbing would be put into the kernel"), "{text}");
        ensure!(text.contains("server f0/s: 10.2.0.2:8080, transparent (is 10.2.0.2:8080)"), "{text}");
        Ok(())
    })?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    balancer.wait_for_event(0, "generation.drained", &[("generation", &1)], SOON)?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(100.0, Duration::from_mins(1)))?;
    stage.write(&stage.plain())?;
    unchanged(&stage, || {
        let text = takes(&stage)?;
        ensure!(text.contains("the transparent plumbing would be taken out of the kernel"), "{text}");
        Ok(())
    })?;
    // Clients are still seen as they are.
    assert_no_client_lost(&load.finish()?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn what_would_take_datagrams_is_not_tried() -> Result<()> {
    let stage = Stage::new("drydgram")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    stage.write(&format!(
        "{}log-forward l\n    dgram-bind 127.0.0.1:5140\n    log 127.0.0.1:5141 local0\n",
        stage.plain()
    ))?;
    let output = dry_run(&stage)?;
    assert_code(output.status, 64)?;
    ensure!(complained(&output).contains("`clearway check`"), "{}", complained(&output));
    nothing_happened(&stage)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// A trial that takes long to load: what serves dies meanwhile, and is started again at once.
fn a_trial_does_not_outlive_the_crash_of_what_serves() -> Result<()> {
    let stage = Stage::new("drycrash")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    // HAProxy waits for the writer of what it reads.
    let pipe = stage.path("slow.lst");
    stage.hosts.balancer.output("mkfifo", &[&*pipe.display().to_string()])?;
    let slow = format!("    acl slow src -f {}\n    server s ", pipe.display());
    stage.write(&stage.plain().replacen("    server s ", &slow, 1))?;
    let mut command = stage.hosts.balancer.command(clearway_lab::balancer::clearway_program()?);
    command.args(["reload", "--dry-run"]).env("CLEARWAY_RUN_DIRECTORY", stage.run_directory());
    let trial = command.stderr(std::process::Stdio::piped()).spawn()?;
    balancer.wait_for_event(0, "generation.started", &[("generation", &2)], SOON)?;
    stage.write(&stage.plain())?;
    let log = balancer.stderr()?;
    let worker = log.split("generation 1 serves, worker ").nth(1).and_then(|rest| rest.split(':').next());
    crate::stage::signal(worker.context("the worker")?.parse()?, Signal::KILL)?;
    let output = trial.wait_with_output()?;
    ensure!(
        complained(&output).contains("the generation that serves has ended meanwhile"),
        "{}",
        complained(&output)
    );
    ensure!(!output.status.success(), "{}", said(&output));
    balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    stage.wait_ready(&mut balancer)?;
    // What serves is what served before.
    let text = takes(&stage)?;
    ensure!(!text.contains("server f0/s"), "{text}");
    // The pipe's other end, at last.
    drop(std::fs::OpenOptions::new().write(true).read(true).open(&pipe)?);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
