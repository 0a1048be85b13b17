//! A reload that goes wrong at any step leaves the old generation serving; a crash brings back what served.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::{Ask, Expect, RunningLoad};
use clearway_lab::process::{is_alive, write_executable};
use clearway_lab::session::{Session, State};
use clearway_lab::topology::Family;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{
    PORT, SOON, Stage, assert_code, assert_no_client_lost, assert_only_accepted_ones_lost, complained, said,
    signal,
};
use crate::steps::Steps;

crate::tests![
    one_that_dies_while_it_settles_changes_nothing,
    one_that_died_is_not_committed_while_another_holds_its_standard_error,
    if_the_serving_one_dies_meanwhile_the_new_one_takes_over,
    a_kill_at_any_moment_of_a_reload_refuses_no_client,
    a_configuration_that_dies_young_gives_way_to_the_one_before,
    one_that_gave_way_is_not_watched_back_in,
    a_crash_with_another_file_on_disk_brings_back_what_served,
    a_crash_with_a_broken_file_on_disk_brings_back_what_served,
    a_crash_without_a_file_on_disk_brings_back_what_served,
    a_directory_of_files_is_brought_back_too,
    too_many_old_generations_are_warned_about_and_the_idlest_is_cut,
    an_old_generation_may_have_an_age,
];

/// The plain configuration with another server: `s2` instead of `s1`.
pub fn other(stage: &Stage) -> String {
    let mut text = stage.plain();
    for family in Family::BOTH {
        let servers = stage.hosts.servers(family);
        let named = |at: usize| format!("server s {}", SocketAddr::new(servers[at], PORT));
        text = text.replace(&named(0), &named(1));
    }
    text
}

/// Waits until both fronts are answered by this server.
pub fn wait_for_server(stage: &Stage, balancer: &mut Balancer, name: &str) -> Result<()> {
    for front in stage.fronts() {
        let host = &stage.hosts.client;
        balancer.wait_for_answer(host, front, Ask::Line, |answer| answer.ends_with(name), SOON)?;
    }
    Ok(())
}

fn load(stage: &Stage) -> Result<RunningLoad> {
    let plan = stage.load(200.0, Duration::from_mins(1)).expecting(Expect::Anything);
    clearway_lab::load::start(&stage.hosts.client, plan.patient_for(Duration::from_secs(10)))
}

fn oom_score_adjustment(pid: u32) -> Option<i32> {
    std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).ok()?.trim().parse().ok()
}

/// The processes of the newest generation, once there are two.
fn newest(balancer: &Balancer, former: &[u32]) -> Result<Vec<u32>> {
    eventually(SOON, "a second master and worker", || {
        let new: Vec<u32> =
            balancer.haproxy_processes().into_iter().filter(|pid| !former.contains(pid)).collect();
        (new.len() == 2).then_some(new)
    })
}

fn one_that_dies_while_it_settles_changes_nothing() -> Result<()> {
    let stage = Stage::new("settle")?;
    stage.write(&stage.plain())?;
    let (steps, mut balancer) = Steps::start(&stage, &[("CLEARWAY_SETTLE", "10m")])?;
    steps.take_seen();
    let load = load(&stage)?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let former = balancer.haproxy_processes();
    let output = std::thread::scope(|scope| {
        let reload = scope.spawn(|| stage.clearway(&["reload"]));
        let new = newest(&balancer, &former)?;
        // It is to be ready, not merely listening.
        steps.wait_until_seen("takes Proved")?;
        let status = said(&stage.clearway(&["status"])?);
        ensure!(status.contains("generation 1 serving"), "committed too early: {status}");
        // Were memory to run out now, the new one would go, and Clearway last.
        let order = [new[1], former[1], balancer.pid()].map(oom_score_adjustment);
        let [Some(young), Some(old), Some(ours)] = order else { anyhow::bail!("{order:?}") };
        ensure!(young > old && old > ours, "the order in which the kernel kills: {order:?}");
        balancer.kill_descendant(new[0])?;
        reload.join().map_err(|_| anyhow::anyhow!("the reload panicked"))?
    })?;
    assert_code(output.status, 74)?;
    ensure!(complained(&output).contains("was ready, and then ended"), "{}", complained(&output));
    ensure!(session.beat() == State::Alive, "the session of the old generation was lost");
    assert_only_accepted_ones_lost(&load.finish_after(10)?, 1)?;
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("generation 1 serving") && status.contains("DID NOT TAKE"), "{status}");
    drop(session);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn one_that_died_is_not_committed_while_another_holds_its_standard_error() -> Result<()> {
    let stage = Stage::new("held-stderr")?;
    stage.write(&stage.plain())?;
    // Shorter than the time for which Clearway waits for last words.
    let (steps, mut balancer) = Steps::start(&stage, &[("CLEARWAY_SETTLE", "400ms")])?;
    let (holder, script) = (stage.path("holder"), stage.path("check"));
    // In a session of its own, it is not killed with the group of the master, so it says its number only from there. The
    // check is repeated, this is not.
    let text = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\n[ -e {0}.once ] && exit\n: > {0}.once\n\
         setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 300' &\n",
        holder.display()
    );
    write_executable(&script, &text)?;
    let checks = format!(
        "listen checks\n    bind 127.0.0.1:8999\n    option external-check\n    external-check command {}\n    \
         server s 127.0.0.1:1 check inter 100ms\n",
        script.display()
    );
    let text = format!("global\n    external-check\n    insecure-fork-wanted\n{}{checks}", stage.plain());
    stage.write(&text)?;
    let load = load(&stage)?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let former = balancer.haproxy_processes();
    // Clearway stands there until it is dead: it has proved itself, and is not committed.
    steps.stop_at("takes Proved");
    balancer.signal(Signal::HUP)?;
    steps.wait()?;
    let pid = eventually(SOON, "an external check", || std::fs::read_to_string(&holder).ok())?;
    let holder = pid.trim().parse()?;
    let master = newest(&balancer, &former)?[0];
    balancer.kill_descendant(master)?;
    eventually(SOON, "it to be dead", || (!is_alive(master)).then_some(()))?;
    steps.go_on();
    eventually(SOON, "it to be reaped", || (!Path::new(&format!("/proc/{master}")).exists()).then_some(()))?;
    let outcome = balancer.wait_for_event(0, "generation.failed", &[("generation", &2)], SOON);
    let held = std::fs::read_link(format!("/proc/{holder}/fd/2"));
    signal(holder, Signal::KILL)?;
    ensure!(held.is_ok_and(|at| at.to_string_lossy().starts_with("pipe:")), "no process held it");
    let log = balancer.stderr()?;
    outcome.with_context(|| log.clone())?;
    let served = balancer.events("generation.serving", &[("generation", &2)])?;
    ensure!(served.is_empty(), "it was committed when it was gone:\n{log}");
    ensure!(session.beat() == State::Alive, "the session of the old generation was lost");
    assert_only_accepted_ones_lost(&load.finish_after(10)?, 1)?;
    drop(session);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn if_the_serving_one_dies_meanwhile_the_new_one_takes_over() -> Result<()> {
    let stage = Stage::new("takes")?;
    stage.write(&stage.plain())?;
    // Ten minutes are more than any deadline below.
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_SETTLE", "10m")])?;
    let former = balancer.haproxy_processes();
    let load = load(&stage)?;
    balancer.signal(Signal::HUP)?;
    newest(&balancer, &former)?;
    balancer.kill_descendant(former[0])?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    assert_only_accepted_ones_lost(&load.finish_after(10)?, 1)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_kill_at_any_moment_of_a_reload_refuses_no_client() -> Result<()> {
    let stage = Stage::new("moment")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let plan = stage.load(200.0, Duration::from_mins(2)).patient_for(Duration::from_secs(15));
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    let mut kills = 0;
    for after in [0, 5, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200, 250, 300, 400] {
        for which in [0, 1] {
            let former = balancer.haproxy_processes();
            balancer.signal(Signal::HUP)?;
            std::thread::sleep(Duration::from_millis(after)); // the moment that is tried
            let new = balancer.haproxy_processes().into_iter().filter(|pid| !former.contains(pid)).nth(which);
            if let Some(pid) = new.or(former.first().copied()) {
                kills += u64::from(balancer.kill_descendant(pid).is_ok());
            }
            eventually(SOON, "one generation to serve alone", || {
                let status = said(&stage.clearway(&["status"]).ok()?);
                (status.starts_with("serving") && !status.contains("draining")).then_some(())
            })?;
        }
    }
    // The process of that moment may have ended by itself before it was killed.
    ensure!(kills > 0, "nothing was killed");
    assert_only_accepted_ones_lost(&load.finish_after(10)?, kills)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_configuration_that_dies_young_gives_way_to_the_one_before() -> Result<()> {
    let stage = Stage::new("young")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let load = load(&stage)?;
    stage.write(&other(&stage))?;
    let former = balancer.haproxy_processes();
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let new: Vec<u32> =
        balancer.haproxy_processes().into_iter().filter(|pid| !former.contains(pid)).collect();
    balancer.kill_descendant(new[1])?;
    balancer.wait_for_event(0, "generation.crashed", &[("back_to", &1)], SOON)?;
    balancer.wait_for_event(0, "configuration.differs", &[("former", &1), ("level", &"WARN")], SOON)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    wait_for_server(&stage, &mut balancer, "s1")?;
    assert_only_accepted_ones_lost(&load.finish_after(10)?, 1)?;
    // A reload that is asked for gets what is on the disk.
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn one_that_gave_way_is_not_watched_back_in() -> Result<()> {
    let stage = Stage::new("back")?;
    stage.write(&stage.plain())?;
    let variables = [("CLEARWAY_WATCH", "on"), ("CLEARWAY_WATCH_QUIET", "100ms")];
    let mut balancer = stage.start_with(&[], &variables)?;
    let former = balancer.haproxy_processes();
    stage.write(&other(&stage))?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    let new = newest(&balancer, &former)?;
    balancer.kill_descendant(new[1])?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    std::thread::sleep(Duration::from_secs(1)); // ten quiet times: the rejected one may not be tried again
    wait_for_server(&stage, &mut balancer, "s1")?;
    let again = balancer.events("generation.started", &[("generation", &4)])?;
    ensure!(again.is_empty(), "the rejected file was loaded again");
    // The next change is one.
    stage.write(&(other(&stage) + "# better\n"))?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &4)], SOON)?;
    wait_for_server(&stage, &mut balancer, "s2")?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

/// Serves for long enough to be trusted, changes what is on the disk, kills, and looks which one serves then.
fn brings_back(stage: &Stage, arguments: &[&str], why: &str, change: impl Fn() -> Result<()>) -> Result<()> {
    let mut balancer = stage.start_with(arguments, &[])?;
    wait_for_server(stage, &mut balancer, "s1")?;
    let load = load(stage)?;
    change()?;
    let worker = *balancer.haproxy_processes().last().context("a worker")?;
    balancer.kill_descendant(worker)?;
    balancer.wait_for_event(0, why, &[("former", &1)], SOON)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    wait_for_server(stage, &mut balancer, "s1")?;
    // Again: the copy is still there.
    let position = balancer.log_position()?;
    let worker = *balancer.haproxy_processes().last().context("a worker")?;
    balancer.kill_descendant(worker)?;
    balancer.wait_for_event(position, "generation.serving", &[("generation", &3)], SOON)?;
    assert_only_accepted_ones_lost(&load.finish_after(10)?, 2)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_crash_with_another_file_on_disk_brings_back_what_served() -> Result<()> {
    let stage = Stage::new("another")?;
    stage.write(&stage.plain())?;
    brings_back(&stage, &[], "configuration.differs", || stage.write(&other(&stage)))
}

fn a_crash_with_a_broken_file_on_disk_brings_back_what_served() -> Result<()> {
    let stage = Stage::new("brokend")?;
    stage.write(&stage.plain())?;
    brings_back(&stage, &[], "configuration.differs", || stage.write("nonsense\n"))
}

fn a_crash_without_a_file_on_disk_brings_back_what_served() -> Result<()> {
    let stage = Stage::new("without")?;
    stage.write(&stage.plain())?;
    brings_back(&stage, &[], "configuration.unreadable", || Ok(std::fs::remove_file(stage.file())?))
}

fn a_directory_of_files_is_brought_back_too() -> Result<()> {
    let stage = Stage::new("dird")?;
    let text = stage.plain();
    let (defaults, rest) = text.split_once("listen ").context("a listen section")?;
    stage.write(defaults)?;
    let directory = stage.path("conf.d");
    std::fs::create_dir(&directory)?;
    std::fs::write(directory.join("10.cfg"), format!("listen {rest}"))?;
    let name = directory.display().to_string();
    brings_back(&stage, &["-f", &name], "configuration.unreadable", || {
        Ok(std::fs::remove_dir_all(&directory)?)
    })
}

/// Waits until the workers before the newest have closed their listening sockets: they do so when they have seen
/// the signal, which may be a moment after the reload's answer, and accept until then.
pub fn only_the_newest_listens(stage: &Stage, balancer: &Balancer) -> Result<()> {
    eventually(SOON, "only one process of HAProxy to listen", || {
        let listening = clearway_lab::kernel::ss(&stage.hosts.balancer, &["-tlnp"]).ok()?;
        let listens = |pid: &u32| listening.iter().any(|line| line.contains(&format!("pid={pid},")));
        (balancer.haproxy_processes().iter().filter(|pid| listens(pid)).count() == 1).then_some(())
    })
}

/// A generation with so many sessions, and a reload after it.
fn hold(stage: &Stage, balancer: &Balancer, sessions: usize) -> Result<Vec<Session>> {
    only_the_newest_listens(stage, balancer)?;
    let held = (0..sessions).map(|_| Session::open(&stage.hosts.client, stage.fronts()[0], None)).collect();
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    held
}

fn too_many_old_generations_are_warned_about_and_the_idlest_is_cut() -> Result<()> {
    let stage = Stage::new("many")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_OLD_GENERATIONS", "2")])?;
    let mut first = hold(&stage, &balancer, 3)?;
    let mut second = hold(&stage, &balancer, 1)?;
    let mut third = hold(&stage, &balancer, 2)?;
    let warning = balancer.wait_for_event(
        0,
        "generation.over-budget",
        &[("generation", &2), ("sessions", &1)],
        SOON,
    )?;
    ensure!(warning["level"] == "WARN", "{warning}");
    ensure!(second[0].beat() == State::Alive, "it was cut without a moment to act");
    balancer.wait_for_event(0, "generation.cut", &[("generation", &2), ("sessions", &1)], SOON)?;
    eventually(SOON, "the session to be cut", || (second[0].beat() != State::Alive).then_some(()))?;
    for session in first.iter_mut().chain(&mut third) {
        ensure!(session.beat() == State::Alive, "one was cut that was not over the budget");
    }
    drop((first, second, third));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn an_old_generation_may_have_an_age() -> Result<()> {
    let stage = Stage::new("age")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_OLD_AGE", "11s")])?;
    let mut session = hold(&stage, &balancer, 1)?;
    balancer.wait_for_event(
        0,
        "generation.over-budget",
        &[("generation", &1), ("sessions", &1), ("over", &"age")],
        SOON,
    )?;
    ensure!(session[0].beat() == State::Alive, "it was cut without a moment to act");
    balancer.wait_for_event(0, "generation.cut", &[("generation", &1), ("sessions", &1)], SOON)?;
    assert_no_client_lost(&load(&stage)?.finish_after(10)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
