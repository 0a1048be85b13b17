//! What dies in the container, or with it: what is left is what the README's table says, and the next start
//! takes it away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::kernel::{Snapshot, has_owner_tables};
use clearway_lab::wait::eventually;

use super::rig::{ANOTHER_USER, Rig};
use crate::stage::{SOON, signal};

crate::tests![
    after_docker_kill_only_tagged_rules_remain_and_docker_start_clears_them,
    a_killed_haproxy_is_replaced_and_no_client_is_refused,
];

fn after_docker_kill_only_tagged_rules_remain_and_docker_start_clears_them() -> Result<()> {
    let rig = Rig::new("kill")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let mut container = rig.start()?;
    let processes = container.processes()?;
    let load = rig.load()?;
    eventually(SOON, "some connections", || (load.progress().0 > 50).then_some(()))?;
    container.signal("KILL")?;
    let code = container.wait_exit(SOON)?;
    ensure!(code == 137, "exit code {code}");
    load.finish()?;
    let left = processes.into_iter().find(|pid| clearway_lab::process::is_alive(*pid));
    ensure!(left.is_none(), "process {left:?} is left");
    let after = Snapshot::take(&rig.stage.hosts.balancer)?;
    let left = rig.stage.before.diff(&after);
    // `ip rule: + 902: ... proto 179`: new, and tagged. A table stays only where it has no owner.
    let expected = |line: &String| {
        let untagged_table = line.starts_with("nft ") && !has_owner_tables();
        line.contains(": + ") && (line.contains("proto 179") || untagged_table)
    };
    ensure!(!left.is_empty() && left.iter().all(expected), "left in the kernel:\n{}", left.join("\n"));

    let position = container.log_position()?;
    container.start()?;
    container.wait_for_event(position, "plumbing.swept", &[], SOON)?;
    container.wait_for_event(position, "generation.serving", &[], SOON)?;
    let load = rig.load()?;
    eventually(SOON, "some connections", || (load.progress().0 > 50).then_some(()))?;
    crate::stage::assert_no_client_lost(&load.finish_after(50)?)?;
    rig.stop_and_assert_clean(&mut container)
}

fn a_killed_haproxy_is_replaced_and_no_client_is_refused() -> Result<()> {
    let rig = Rig::new("crash")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let mut container = rig.start()?;
    let plan = rig.stage.load(300.0, Duration::from_mins(1)).patient_for(Duration::from_secs(10));
    let load = clearway_lab::load::start(rig.client(), plan)?;
    for (generation, victim) in [(2, Victim::Master), (3, Victim::Worker)] {
        let (master, worker) = *container.haproxies()?.first().context("no HAProxy")?;
        let victim = if victim == Victim::Master { master } else { worker };
        signal(victim, rustix::process::Signal::KILL)?;
        container.wait_for_event(0, "generation.serving", &[("generation", &generation)], SOON)?;
    }
    let done = load.progress().0;
    eventually(SOON, "connections afterwards", || (load.progress().0 > done + 100).then_some(()))?;
    let report = load.finish_after(101)?;
    crate::stage::assert_only_accepted_ones_lost(&report, 2)?;
    rig.stop_and_assert_clean(&mut container)
}

#[derive(PartialEq)]
enum Victim {
    Master,
    Worker,
}
