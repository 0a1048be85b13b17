//! HAProxy dies: new clients wait in the sockets that Clearway holds, and are served by the next one.

use std::time::Duration;

use anyhow::{Result, ensure};
use clearway_lab::load::{Expect, LoadReport};
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code};

crate::tests![
    a_killed_worker_is_replaced_and_nobody_is_refused,
    a_killed_master_is_replaced_and_nobody_is_refused,
    a_crash_with_a_broken_file_is_tried_again_until_it_is_mended,
];

fn worker(log: &str) -> Option<u32> {
    let line = log.lines().rfind(|line| line.contains(" serves, worker "))?;
    line.split(" serves, worker ").nth(1)?.split(':').next()?.parse().ok()
}

fn master(log: &str) -> Option<u32> {
    let line = log.lines().rfind(|line| line.contains(" started, pid "))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Nobody may be refused or time out; what the killed process had accepted is lost, and only that.
fn assert_only_accepted_ones_lost(report: &LoadReport, kills: u64) -> Result<()> {
    let total = &report.total;
    ensure!(
        total.refused == 0 && total.timeout == 0,
        "new clients were lost: {total}; {:?}",
        report.failures.first()
    );
    ensure!(total.failed() <= kills * 20, "more was lost than could have been accepted: {total}");
    ensure!(total.ok > 100, "too little was tried: {total}");
    Ok(())
}

fn kill_repeatedly(name: &str, which: fn(&str) -> Option<u32>) -> Result<()> {
    let stage = Stage::new(name)?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let plan = stage.load(300.0, Duration::from_mins(1)).patient_for(Duration::from_secs(10));
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    for round in 0..3 {
        std::thread::sleep(Duration::from_millis(1200)); // it has served for longer than a crash loop would
        let position = balancer.log_position()?;
        let Some(pid) = which(&balancer.stderr()?) else { anyhow::bail!("no pid in the log") };
        balancer.kill_descendant(pid)?;
        balancer.wait_for_log(position, "although nobody asked it to", SOON)?;
        balancer.wait_for_log(position, &format!("generation {} serves", round + 2), SOON)?;
    }
    assert_only_accepted_ones_lost(&load.finish()?, 3)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_killed_worker_is_replaced_and_nobody_is_refused() -> Result<()> {
    kill_repeatedly("worker", worker)
}

fn a_killed_master_is_replaced_and_nobody_is_refused() -> Result<()> {
    kill_repeatedly("master", master)
}

fn a_crash_with_a_broken_file_is_tried_again_until_it_is_mended() -> Result<()> {
    let stage = Stage::new("mend")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    stage.write("nonsense\n")?;
    let Some(pid) = worker(&balancer.stderr()?) else { anyhow::bail!("no worker in the log") };
    balancer.kill_descendant(pid)?;
    balancer.wait_for_log(0, "came to nothing", SOON)?;
    // Nobody accepts now, and nobody is refused: whoever comes waits.
    let plan = stage
        .load(20.0, Duration::from_mins(1))
        .patient_for(Duration::from_secs(15))
        .expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    std::thread::sleep(Duration::from_millis(500)); // clients are to be waiting
    stage.write(&stage.plain())?;
    balancer.wait_for_log(0, "2 of 2 sockets taken over", SOON)?;
    let report = load.finish()?;
    ensure!(report.total.failed() == 0 && report.total.ok > 5, "{}", report.total);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
