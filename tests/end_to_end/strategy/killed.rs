//! Clearway is killed at every step of the switch: nothing goes on dropping or holding packets.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::kernel::has_owner_tables;
use clearway_lab::wait::{eventually, patience};
use rustix::process::Signal;

use super::{STRATEGY, can_be_had};
use crate::stage::{SOON, Stage, assert_code, signal};
use crate::steps::Steps;

crate::tests![
    syn_drop_opens_when_clearway_is_killed_at_any_step,
    plug_opens_when_clearway_is_killed_at_any_step,
    reuseport_ends_when_clearway_is_killed_at_any_step,
    tableflip_ends_when_clearway_is_killed_at_any_step,
];

/// From before the gate is closed until it is about to be opened again, by a thread, after `does Drain`.
const STEPS: [&str; 11] = [
    "takes Proved",
    "does Switch",
    "diverts Clients",
    "waits Clients",
    "hears Switched",
    "takes Switched",
    "does Commit",
    "does Report Serving",
    "does Drain",
    "does RememberOnly",
    "opens Gate",
];

fn killed(strategy: &str) -> Result<()> {
    can_be_had(strategy)?;
    for step in
        STEPS.into_iter().filter(|step| ["syn-drop", "plug"].contains(&strategy) || *step != "opens Gate")
    {
        one(strategy, step).with_context(|| format!("{strategy}, killed before `{step}`"))?;
    }
    Ok(())
}

fn one(strategy: &str, step: &str) -> Result<()> {
    let stage = Stage::new("killed")?;
    stage.write(&stage.plain())?;
    let (steps, mut balancer) = Steps::start(&stage, &[(STRATEGY, strategy)])?;
    steps.stop_at(step);
    balancer.signal(Signal::HUP)?;
    steps.wait()?;
    signal(balancer.pid(), Signal::KILL)?;
    steps.go_on();
    balancer.wait_exit(SOON)?;
    // The next listener gets the next SYN.
    for front in stage.fronts() {
        let listener = eventually(SOON, "the port to be free", || {
            stage.hosts.balancer.enter(|| std::net::TcpListener::bind(front)).ok()?.ok()
        })?;
        gets_through(&stage, front)?;
        drop(listener);
    }
    if has_owner_tables() {
        stage.assert_kernel_clean()?;
    } else {
        assert_code(stage.clearway(&["cleanup"])?.status, 0)?;
    }
    stage.assert_clean()
}

/// The first SYN does, where the table has gone with its owner; elsewhere one that is sent within a second, which is as
/// long as the elements of the gate live.
fn gets_through(stage: &Stage, front: SocketAddr) -> Result<()> {
    let before = retransmitted(stage)?;
    let connect = |limit| stage.hosts.client.enter(move || TcpStream::connect_timeout(&front, limit));
    if !has_owner_tables() {
        let connected = || connect(Duration::from_millis(300) * patience()).ok()?.ok();
        eventually(Duration::from_secs(2), "a new SYN to get through", connected)?;
        return Ok(());
    }
    connect(SOON)?.with_context(|| format!("connecting to {front}"))?;
    let again = retransmitted(stage)? - before;
    ensure!(again == 0, "the first SYN to {front} did not get through: it was sent {again} times more");
    Ok(())
}

/// How many segments the client's kernel has sent again.
fn retransmitted(stage: &Stage) -> Result<u64> {
    let text = stage.hosts.client.output("cat", &["/proc/net/snmp"])?;
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:")).map(str::split_whitespace);
    let (names, values) = lines.next().zip(lines.next()).context("counters of TCP")?;
    let (_, value) = names.zip(values).find(|(name, _)| *name == "RetransSegs").context("RetransSegs")?;
    value.parse().context("a number")
}

fn syn_drop_opens_when_clearway_is_killed_at_any_step() -> Result<()> {
    killed("syn-drop")
}

fn plug_opens_when_clearway_is_killed_at_any_step() -> Result<()> {
    killed("plug")
}

fn reuseport_ends_when_clearway_is_killed_at_any_step() -> Result<()> {
    killed("reuseport")
}

fn tableflip_ends_when_clearway_is_killed_at_any_step() -> Result<()> {
    killed("tableflip")
}
