//! `clearway hold` in a container of its own: while no balancer runs at all, clients that connect wait.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clearway_lab::container::Container;
use clearway_lab::kernel::{Snapshot, has_owner_tables};
use clearway_lab::load::RunningLoad;
use clearway_lab::wait::eventually;

use super::engine::image;
use super::rig::{ANOTHER_USER, Rig};
use crate::stage::{SOON, assert_no_client_lost, assert_only_accepted_ones_lost};

crate::tests![
    the_only_balancer_removed_and_a_new_one_started_refuses_no_client,
    docker_restart_refuses_no_client,
    a_container_that_ran_out_of_memory_refuses_no_client,
    without_a_holder_what_a_removed_one_left_is_inert_and_swept_at_the_next_start,
];

/// A holder with the rights to sweep and no others.
fn holder(rig: &Rig) -> Result<Container> {
    let name = rig.name_of_instance();
    let line = ["--network=host", "--read-only", "--cap-drop=ALL", "--cap-add=NET_ADMIN", &name];
    let mut holder = Container::run(&rig.engine, "holder", &line, image(), &["hold"])?;
    holder.wait_for_event(0, "hold.begun", &[], SOON)?;
    Ok(holder)
}

/// A balancer; the holder has its sockets.
fn balancer(rig: &Rig) -> Result<Container> {
    let mut balancer = rig.run_named(&[])?;
    rig.wait_until_serving(&mut balancer)?;
    Ok(balancer)
}

fn load(rig: &Rig) -> Result<RunningLoad> {
    let plan = rig.stage.load(200.0, Duration::from_mins(1)).patient_for(Duration::from_secs(20));
    clearway_lab::load::start(rig.client(), plan)
}

/// Waits until connections that begin from here on have been answered.
fn answered(load: &RunningLoad) -> Result<()> {
    let done = load.progress().0;
    eventually(SOON, "more connections", || (load.progress().0 > done + 50).then_some(()))
}

fn end(rig: &Rig, mut holder: Container) -> Result<()> {
    let code = holder.stop(10)?;
    ensure!(code == 0, "exit code {code} of the holder: {}", holder.log_for_people());
    rig.stage.assert_kernel_clean()
}

fn the_only_balancer_removed_and_a_new_one_started_refuses_no_client() -> Result<()> {
    let rig = Rig::new("hdrm")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let mut holder = holder(&rig)?;
    let first = balancer(&rig)?;
    let load = load(&rig)?;
    answered(&load)?;
    let since = Instant::now();
    // `docker rm --force`
    drop(first);
    holder.wait_for_event(0, "hold.lost", &[("sockets", &2)], SOON)?;
    holder.wait_for_event(0, "hold.swept", &[], SOON)?;
    eventually(SOON, "the kernel to be clean", || rig.stage.assert_kernel_clean().ok())?;
    let mut second = rig.run_named(&[])?;
    second.wait_for_event(0, "generation.serving", &[("adopted", &2)], SOON)?;
    let without = since.elapsed();
    answered(&load)?;
    let report = load.finish_after(50)?;
    println!("{} ms without a balancer: {}", without.as_millis(), report.total);
    assert_only_accepted_ones_lost(&report, 1)?;
    // The first client has waited for all that time, and none for a retransmission on top of it.
    ensure!(report.total.syn_retransmitted == 0, "connections were not queued: {}", report.total);
    let code = second.stop(300)?;
    ensure!(code == 0, "exit code {code}: {}", second.log_for_people());
    end(&rig, holder)
}

/// What compose does to a service that is changed: stop, then start.
fn docker_restart_refuses_no_client() -> Result<()> {
    let rig = Rig::new("hdrestart")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let holder = holder(&rig)?;
    let mut only = balancer(&rig)?;
    let load = load(&rig)?;
    answered(&load)?;
    let position = only.log_position()?;
    only.restart(10)?;
    only.wait_for_event(position, "clearway.leaving", &[("exit_code", &0)], SOON)?;
    only.wait_for_event(position, "generation.serving", &[("adopted", &2)], SOON)?;
    answered(&load)?;
    let report = load.finish_after(50)?;
    println!("restarted: {}", report.total);
    assert_no_client_lost(&report)?;
    let code = only.stop(300)?;
    ensure!(code == 0, "exit code {code}: {}", only.log_for_people());
    end(&rig, holder)
}

/// The kernel kills the first process, and with it the container; the engine starts it again.
fn a_container_that_ran_out_of_memory_refuses_no_client() -> Result<()> {
    let rig = Rig::new("hdoom")?;
    super::memory::limited()?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let mut holder = holder(&rig)?;
    let limits = ["--memory=64m", "--memory-swap=64m", "--restart=on-failure"];
    let mut only = rig.run_named(&limits)?;
    rig.wait_until_serving(&mut only)?;
    let load = load(&rig)?;
    answered(&load)?;
    // By itself the kernel would take HAProxy, or what eats the memory: here the first process is to be the one. To
    // lower a score needs a right that not every root has.
    let pid = only.pid()?;
    std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000")?;
    let eat = "head -c 100000000 /dev/zero | tail -c 90000000 > /dev/null";
    let _killed_with_it = only.exec(&["sh", "-c", eat])?;
    holder.wait_for_event(0, "hold.lost", &[("sockets", &2)], SOON)?;
    only.wait_for_restart(pid, SOON)?;
    only.wait_for_event(0, "generation.serving", &[("adopted", &2)], SOON)?;
    answered(&load)?;
    let report = load.finish_after(50)?;
    println!("out of memory: {}", report.total);
    // With hardly any memory left HAProxy takes long for each, and has accepted more at a time.
    assert_only_accepted_ones_lost(&report, 3)?;
    let code = only.stop(300)?;
    ensure!(code == 0, "exit code {code}: {}", only.log_for_people());
    end(&rig, holder)
}

fn without_a_holder_what_a_removed_one_left_is_inert_and_swept_at_the_next_start() -> Result<()> {
    let rig = Rig::new("hdnone")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    drop(balancer(&rig)?);
    let left = rig.stage.before.diff(&Snapshot::take(&rig.stage.hosts.balancer)?);
    // Rules that nothing marks a packet for; a table stays only where the kernel knows no owners of tables.
    let expected = |line: &String| {
        line.contains(": + ")
            && (line.contains("proto 179") || line.starts_with("nft ") && !has_owner_tables())
    };
    ensure!(!left.is_empty() && left.iter().all(expected), "left in the kernel:\n{}", left.join("\n"));
    let mut second = balancer(&rig)?;
    second.wait_for_event(0, "plumbing.swept", &[], SOON)?;
    rig.stop_and_assert_clean(&mut second)
}
