//! Sockets that HAProxy does not recognise: their clients are steered to the new ones, and none is reset.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::{Expect, LoadReport, Plan};
use clearway_lab::process::is_alive;
use clearway_lab::topology::FRONT;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{PORT, SOON, Stage, assert_code, assert_no_client_lost, said};
use crate::steps::Steps;

crate::tests![
    a_specific_ipv6_address_without_v6only,
    shards_that_become_fewer_and_more,
    shards_that_were_all_replaced_and_become_fewer,
    a_wildcard_that_becomes_an_address,
    plain_that_becomes_transparent,
    a_new_generation_that_dies_is_undone,
];

/// Reloads ten times under as much load as the machine gives, each time with the next of the configurations.
fn reloads(stage: &Stage, targets: &[SocketAddr], configurations: &[String]) -> Result<LoadReport> {
    stage.write(&configurations[0])?;
    let mut balancer = stage.start()?;
    let plan = Plan::closed(targets, 64, Duration::from_mins(2))
        .from(stage.hosts.client_addresses())
        .expecting(Expect::Anything)
        .patient_for(Duration::from_secs(10));
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    for round in 1..=10 {
        stage.write(&configurations[round % configurations.len()])?;
        let output = stage.clearway(&["reload"])?;
        assert_code(output.status, 0).with_context(|| said(&output))?;
    }
    let report = load.finish_after(500)?;
    // Afterwards all clients are served as well: none waits in a socket that was forgotten.
    let after = clearway_lab::load::start(
        &stage.hosts.client,
        Plan::closed(targets, 16, Duration::from_secs(1)).from(stage.hosts.client_addresses()),
    )?;
    assert_no_client_lost(&after.wait()?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()?;
    Ok(report)
}

/// The plain configuration with one more word on the IPv4 `bind` line.
fn with_option(stage: &Stage, option: &str) -> String {
    let bind = format!("bind {}\n", stage.fronts()[0]);
    stage.plain().replace(&bind, &format!("{} {option}\n", bind.trim_end()))
}

fn a_specific_ipv6_address_without_v6only() -> Result<()> {
    let stage = Stage::new("nov6only")?;
    let text = stage.plain().replace(" v6only", "");
    ensure!(!text.contains("v6only"), "{text}");
    let report = reloads(&stage, &stage.fronts()[1..], &[text])?;
    assert_no_client_lost(&report)
}

fn shards_that_become_fewer_and_more() -> Result<()> {
    let stage = Stage::new("shards")?;
    let with = |shards: &str| {
        let bind = with_option(&stage, &format!("shards {shards}"));
        // There are no more shards than threads.
        format!("global\n    nbthread 4\n{bind}")
    };
    let fewer_and_more = [with("4"), with("2")];
    ensure!(fewer_and_more[0].contains("shards 4"), "{}", fewer_and_more[0]);
    let report = reloads(&stage, &stage.fronts()[..1], &fewer_and_more)?;
    assert_no_client_lost(&report)
}

fn shards_that_were_all_replaced_and_become_fewer() -> Result<()> {
    // Those that leave first mix up the kernel's order of the others, of which some leave at the next reload.
    let stage = Stage::new("shuffled")?;
    let with = |option: &str| format!("global\n    nbthread 4\n{}", with_option(&stage, option));
    let configurations = [with("shards 4 transparent"), with("shards 4"), with("shards 2")];
    let report = reloads(&stage, &stage.fronts()[..1], &configurations)?;
    assert_no_client_lost(&report)
}

fn a_wildcard_that_becomes_an_address() -> Result<()> {
    // From the address to the wildcard the kernel prefers the old socket as long as it is open.
    let stage = Stage::new("wide")?;
    let address = stage.plain();
    let wildcard = address.replace(&format!("bind {}:{PORT}", FRONT[0]), &format!("bind :{PORT}"));
    ensure!(wildcard != address, "{wildcard}");
    let report = reloads(&stage, &stage.fronts()[..1], &[wildcard, address])?;
    assert_no_client_lost(&report)
}

fn plain_that_becomes_transparent() -> Result<()> {
    let stage = Stage::new("becomes")?;
    let plain = stage.plain();
    let transparent = with_option(&stage, "transparent");
    let report = reloads(&stage, &stage.fronts()[..1], &[plain, transparent])?;
    assert_no_client_lost(&report)
}

fn a_new_generation_that_dies_is_undone() -> Result<()> {
    let stage = Stage::new("undone")?;
    stage.write(&stage.plain().replace(" v6only", ""))?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    // While it settles, and when the clients have been steered to it.
    for (round, step, is_reaped) in [(2, "takes Proved", false), (3, "waits Clients", true)] {
        let former = balancer.haproxy_processes();
        steps.stop_at(step);
        balancer.signal(Signal::HUP)?;
        steps.wait()?;
        let new = eventually(SOON, "the second socket of the address", || {
            let listening = clearway_lab::kernel::ss(&stage.hosts.balancer, &["-tlnH"]).ok()?;
            let twice = listening.iter().filter(|line| line.contains(&stage.fronts()[1].to_string())).count();
            let new = balancer.haproxy_processes().into_iter().find(|pid| !former.contains(pid))?;
            (twice == 2).then_some(new)
        })?;
        balancer.kill_descendant(new)?;
        eventually(SOON, "it to be dead", || (!is_alive(new)).then_some(()))?;
        // Where only the thread stands still: its end is heard before that thread.
        let process = Path::new("/proc").join(new.to_string());
        eventually(SOON, "it to be reaped", || (!is_reaped || !process.exists()).then_some(()))?;
        steps.go_on();
        balancer.wait_for_event(0, "generation.failed", &[("generation", &round)], SOON)?;
        let plan = Plan::closed(&stage.fronts(), 32, Duration::from_secs(1));
        let load = clearway_lab::load::start(&stage.hosts.client, plan.from(stage.hosts.client_addresses()))?;
        assert_no_client_lost(&load.wait()?)?;
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
