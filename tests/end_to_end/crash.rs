//! HAProxy dies: new clients wait in the sockets that Clearway holds, and are served by the next one.

use std::time::Duration;

use anyhow::{Result, ensure};
use clearway_lab::load::Expect;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, assert_nobody_lost, assert_only_accepted_ones_lost};

crate::tests![
    a_killed_worker_is_replaced_and_nobody_is_refused,
    a_killed_master_is_replaced_and_nobody_is_refused,
    a_crash_with_a_missing_map_is_tried_again_until_it_is_mended,
];

fn worker(log: &str) -> Option<u32> {
    let line = log.lines().rfind(|line| line.contains(" serves, worker "))?;
    line.split(" serves, worker ").nth(1)?.split(':').next()?.parse().ok()
}

fn master(log: &str) -> Option<u32> {
    let line = log.lines().rfind(|line| line.contains(" started, pid "))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn kill_repeatedly(name: &str, which: fn(&str) -> Option<u32>) -> Result<()> {
    let stage = Stage::new(name)?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let plan = stage.load(300.0, Duration::from_mins(1)).patient_for(Duration::from_secs(10));
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    for round in 0..10 {
        std::thread::sleep(Duration::from_millis(1200)); // it has served for longer than a crash loop would
        let position = balancer.log_position()?;
        let Some(pid) = which(&balancer.stderr()?) else { anyhow::bail!("no pid in the log") };
        balancer.kill_descendant(pid)?;
        balancer.wait_for_log(position, "although nobody asked it to", SOON)?;
        balancer.wait_for_log(position, &format!("generation {} serves", round + 2), SOON)?;
    }
    assert_only_accepted_ones_lost(&load.finish_after(101)?, 10)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_killed_worker_is_replaced_and_nobody_is_refused() -> Result<()> {
    kill_repeatedly("worker", worker)
}

fn a_killed_master_is_replaced_and_nobody_is_refused() -> Result<()> {
    kill_repeatedly("master", master)
}

fn a_crash_with_a_missing_map_is_tried_again_until_it_is_mended() -> Result<()> {
    let stage = Stage::new("mend")?;
    let map = stage.path("names.map");
    std::fs::write(&map, "10.0.0.0/8 inside\n")?;
    let rule = format!("    tcp-request connection reject if {{ src,map_ip({}) nobody }}\n", map.display());
    stage.write(&stage.plain().replacen("    server ", &(rule + "    server "), 1))?;
    let mut balancer = stage.start()?;
    std::fs::remove_file(&map)?;
    let Some(pid) = worker(&balancer.stderr()?) else { anyhow::bail!("no worker in the log") };
    balancer.kill_descendant(pid)?;
    let line = balancer.wait_for_log(0, "came to nothing", SOON)?;
    ensure!(line.contains("names.map"), "the file is not named: {line}");
    // Nobody accepts now, and nobody is refused: whoever comes waits.
    let plan = stage
        .load(20.0, Duration::from_mins(1))
        .patient_for(Duration::from_secs(15))
        .expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    eventually(SOON, "clients to be waiting", || {
        let listeners = clearway_lab::kernel::listeners(&stage.hosts.balancer).ok()?;
        (listeners.iter().map(|(_, waiting)| waiting).sum::<u32>() > 5).then_some(())
    })?;
    std::fs::write(&map, "10.0.0.0/8 inside\n")?;
    balancer.wait_for_log(0, "2 of 2 sockets taken over", SOON)?;
    assert_nobody_lost(&load.finish_after(6)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
