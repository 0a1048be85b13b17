//! HAProxy's counters go on in the next one: `stats-file` (3.0), which Clearway writes, and `shm-stats-file` (3.3), which HAProxy
//! does by itself.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::Ask;
use clearway_lab::wait::eventually_because;
use rustix::process::Signal;

use crate::parity::{ask, counted, with_socket};
use crate::stage::{CannotRun, SOON, Stage, assert_code, haproxy_version, said};
use crate::takeover::NAMED;
use crate::transaction::only_the_newest_listens;

crate::tests![
    counters_go_on_after_a_reload_a_crash_and_a_stop,
    counters_go_on_with_conditions_a_relative_path_and_another_user,
    counters_go_on_after_a_takeover,
    a_file_that_cannot_be_written_is_said_once_and_the_reload_goes_on,
    counters_in_shared_memory_go_on,
];

fn needs(wanted: (u32, u32), what: &str) -> Result<()> {
    let (major, minor) = haproxy_version()?;
    if (major, minor) < wanted {
        let why = format!("`{what}` came with HAProxy {}.{}; this is {major}.{minor}", wanted.0, wanted.1);
        return Err(CannotRun(why).into());
    }
    Ok(())
}

/// Each front and server with a name of its own, without which HAProxy keeps no counters.
pub fn named(stage: &Stage) -> String {
    let plain = stage.plain();
    let lines = plain.lines().enumerate().map(|(number, line)| match line.trim_start() {
        rest if rest.starts_with("listen ") => format!("{line}\n    guid g{number}\n"),
        rest if rest.starts_with("server ") => format!("{line} guid g{number}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn connect(stage: &Stage, balancer: &mut Balancer) -> Result<()> {
    for _ in 0..5 {
        balancer.wait_ready(&stage.hosts.client, stage.fronts()[0], Ask::Line, SOON)?;
    }
    Ok(())
}

/// How many connections all objects have counted.
fn total(dump: &str) -> u64 {
    counted(dump).values().sum()
}

fn all(socket: &Path) -> Result<u64> {
    Ok(total(&ask(socket, "dump stats-file")?))
}

/// Waits until they have counted at least so many.
fn count_on(socket: &Path, least: u64, after: &str) -> Result<()> {
    eventually_because(SOON, "the counters", || {
        let now = all(socket)?;
        ensure!(now >= least, "{now} are counted after {after}, {least} before");
        Ok(())
    })
}

/// Reloads, and waits until the former HAProxy answers no question any more.
fn reload(stage: &Stage, balancer: &Balancer) -> Result<()> {
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    only_the_newest_listens(stage, balancer)
}

fn counters_go_on_after_a_reload_a_crash_and_a_stop() -> Result<()> {
    needs((3, 0), "stats-file")?;
    let stage = Stage::new("stfile")?;
    let file = stage.path("counters");
    let socket = with_socket(&stage, &format!("    stats-file {}\n{}", file.display(), named(&stage)))?;
    let mut balancer = stage.start()?;
    connect(&stage, &mut balancer)?;
    for round in 0..2 {
        let before = all(&socket)?;
        ensure!(before >= 10, "{before} are counted");
        reload(&stage, &balancer)?;
        count_on(&socket, before, &format!("reload {round}"))?;
    }
    // What was counted at the last reload is there after a crash; what came later is lost.
    let saved = total(&std::fs::read_to_string(&file)?);
    connect(&stage, &mut balancer)?;
    let from = balancer.log_position()?;
    balancer.kill_descendant(*balancer.haproxy_processes().last().context("a worker")?)?;
    balancer.wait_for_event(from, "generation.serving", &[], SOON)?;
    count_on(&socket, saved, "a crash")?;
    connect(&stage, &mut balancer)?;
    let before = all(&socket)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(
        total(&std::fs::read_to_string(&file)?) >= before,
        "what was counted before the stop is not in the file"
    );
    let mut balancer = stage.start()?;
    count_on(&socket, before, "a stop")?;
    ensure!(balancer.events("found.counters-not-saved", &[])?.is_empty(), "{}", balancer.stderr()?);
    let beside = std::fs::read_dir(file.parent().context("a directory")?)?.flatten();
    let beside: Vec<_> = beside.map(|entry| entry.file_name()).collect();
    ensure!(!beside.iter().any(|name| name.to_string_lossy().contains(".clearway-")), "left: {beside:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The first line that counts, from where HAProxy was started; its worker sees nothing of that directory.
fn counters_go_on_with_conditions_a_relative_path_and_another_user() -> Result<()> {
    needs((3, 0), "stats-file")?;
    let stage = Stage::new("stcond")?;
    let (directory, root) = (stage.path("here"), stage.path("root"));
    std::fs::create_dir(&directory)?;
    std::fs::create_dir(&root)?;
    let lines = format!(
        "    user nobody\n    chroot {}\n.if defined(NOT_THERE)\n    stats-file wrong\n.else\n    stats-file counters\n.endif\n{}",
        root.display(),
        named(&stage)
    );
    let socket = with_socket(&stage, &lines)?;
    let mut balancer = stage.start_with(&["-C", &directory.display().to_string()], &[])?;
    connect(&stage, &mut balancer)?;
    let before = all(&socket)?;
    reload(&stage, &balancer)?;
    count_on(&socket, before, "a reload")?;
    ensure!(directory.join("counters").exists() && !directory.join("wrong").exists(), "another file");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn counters_go_on_after_a_takeover() -> Result<()> {
    needs((3, 0), "stats-file")?;
    let stage = Stage::new("sttake")?;
    let file = stage.path("counters");
    let socket = with_socket(&stage, &format!("    stats-file {}\n{}", file.display(), named(&stage)))?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    connect(&stage, &mut first)?;
    let before = all(&socket)?;
    let mut second = stage.launch(&[], &[NAMED])?;
    second.wait_for_event(0, "generation.serving", &[], SOON)?;
    let saved = std::fs::read_to_string(&file)?;
    ensure!(total(&saved) >= before, "what was counted before the takeover is not in the file");
    // The former one, which counts on its own, writes nothing any more.
    assert_code(first.wait_exit(SOON)?, 0)?;
    ensure!(std::fs::read_to_string(&file)? == saved, "it was written again");
    count_on(&socket, before, "a takeover")?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_file_that_cannot_be_written_is_said_once_and_the_reload_goes_on() -> Result<()> {
    needs((3, 0), "stats-file")?;
    let stage = Stage::new("stnone")?;
    let file = stage.path("nowhere/counters");
    with_socket(&stage, &format!("    stats-file {}\n{}", file.display(), named(&stage)))?;
    let mut balancer = stage.start()?;
    for _ in 0..3 {
        reload(&stage, &balancer)?;
    }
    let said = balancer.events("found.counters-not-saved", &[])?;
    let [once] = &said[..] else { anyhow::bail!("said {} times: {said:?}", said.len()) };
    let text = once.to_string();
    ensure!(text.contains(&file.display().to_string()) && text.contains("create it"), "{text}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn counters_in_shared_memory_go_on() -> Result<()> {
    needs((3, 3), "shm-stats-file")?;
    let stage = Stage::new("stshm")?;
    let file = stage.path("shared");
    let lines = format!(
        "    expose-experimental-directives\n    shm-stats-file {}\n{}",
        file.display(),
        named(&stage)
    );
    let socket = with_socket(&stage, &lines)?;
    let mut balancer = stage.start()?;
    let status = || -> Result<String> { ask(&socket, "show stat typed") };
    let counted = || -> Result<u64> {
        let text = status()?;
        let totals = text.lines().filter(|line| line.contains(".stot.") && line.starts_with('F'));
        Ok(totals.filter_map(|line| line.rsplit(':').next()?.parse::<u64>().ok()).sum())
    };
    connect(&stage, &mut balancer)?;
    for round in 0..3 {
        let before = counted()?;
        ensure!(before >= 5, "{before} are counted: {}", status()?);
        reload(&stage, &balancer)?;
        eventually_because(SOON, "the counters", || {
            let now = counted()?;
            ensure!(now >= before, "{now} are counted after reload {round}, {before} before");
            Ok(())
        })?;
    }
    let trial = stage.clearway(&["reload", "--dry-run"])?;
    assert_code(trial.status, 0).with_context(|| said(&trial))?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
