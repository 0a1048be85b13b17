//! Thousands of sockets change hands: what is done for each of them looks at no other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clearway_lab::balancer::Balancer;
use clearway_lab::load::{Expect, Plan};
use clearway_lab::topology::{FRONT, Family};
use rustix::process::Signal;

use super::NAMED;
use crate::holder::{end, holder};
use crate::stage::{PORT, SOON, Stage, assert_code, assert_only_accepted_ones_lost};

crate::tests![three_thousand_sockets_change_hands];

/// Far more than it takes, far less than three thousand times three thousand of anything.
const LINEAR: Duration = Duration::from_secs(30);

/// How the balancer says that it has taken all of them over.
fn next(stage: &Stage) -> Result<Balancer> {
    // As systemd and most shells start it: the limit is to be raised before the sockets come.
    let soft = ["bash", "-c", "ulimit -Sn 1024; exec \"$@\"", "sh"];
    let balancer = stage.launch_under(&soft, &[NAMED])?;
    balancer.wait_for_event(0, "generation.serving", &[], LINEAR)?;
    balancer.wait_for_event(0, "generation.serving", &[("adopted", &3002)], LINEAR)?;
    Ok(balancer)
}

fn three_thousand_sockets_change_hands() -> Result<()> {
    let stage = Stage::new("tkmany")?;
    let server = SocketAddr::new(stage.hosts.servers(Family::V4)[0], PORT);
    let many = format!("listen many\n    bind {}:20000-22999\n    server s {server}\n", FRONT[0]);
    stage.write(&(stage.plain() + &many))?;
    let holder = holder(&stage, &[])?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    holder.wait_for_log(0, "keeping 3002 listening sockets", LINEAR)?;
    let targets: Vec<SocketAddr> = (0..300).map(|n| SocketAddr::new(FRONT[0], 20_000 + n * 10)).collect();
    let plan = Plan::open(&targets, 100.0, Duration::from_mins(5)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan.patient_for(Duration::from_secs(20)))?;
    // From a balancer that serves.
    let from = holder.log_position()?;
    let mut second = next(&stage)?;
    holder.wait_for_log(from, "keeping 3002 listening sockets", LINEAR)?;
    assert_code(first.wait_exit(LINEAR)?, 0)?;
    // From the holder.
    let from = holder.log_position()?;
    second.signal(Signal::KILL)?;
    second.wait_exit(SOON)?;
    holder.wait_for_event(from, "hold.lost", &[], SOON)?;
    let mut third = next(&stage)?;
    assert_only_accepted_ones_lost(&load.finish_after(1)?, 1)?;
    assert_code(third.stop(Signal::TERM, SOON)?, 0)?;
    end(holder)?;
    stage.assert_clean()
}
