//! A holder is quiet in every state of a balancer, and holds as soon as there is something to hold.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::session::Session;
use rustix::process::Signal;

use super::{end, holder, wait_until_it_holds};
use crate::stage::{SOON, Stage, assert_code};
use crate::takeover::NAMED;

crate::tests![
    beside_a_balancer_that_drains,
    beside_a_balancer_that_loads_its_first_configuration,
    beside_a_successor_that_cannot_start_and_has_lost_its_predecessor,
];

/// A balancer that tells everything.
const TALKING: [(&str, &str); 2] = [NAMED, ("CLEARWAY_LOG", "json,debug")];

/// For so long the two are watched, which looked for each other hundreds of times a second once.
const WATCHED: Duration = Duration::from_secs(4);

/// More lines about each other than this are a chase, however slow the machine is; a look-out has pauses of 1, 2, 4
/// seconds.
const MOST: usize = 8;

/// Watches them for a while.
fn assert_quiet(holder: &Balancer, balancer: &Balancer) -> Result<()> {
    let (since, begun) = ([holder.log_position()?, balancer.log_position()?], Instant::now());
    while begun.elapsed() < WATCHED {
        std::thread::sleep(Duration::from_millis(100));
        for (one, since) in [holder, balancer].into_iter().zip(since) {
            let said = one.stderr_since(since)?;
            let about: Vec<&str> =
                said.lines().filter(|line| line.contains("holder") || line.contains("balancer")).collect();
            ensure!(about.len() <= MOST, "{} lines, the last: {:?}", about.len(), about.last());
        }
    }
    Ok(())
}

fn beside_a_balancer_that_drains() -> Result<()> {
    let stage = Stage::new("hqdrain")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &TALKING)?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    first.signal(Signal::TERM)?;
    first.wait_for_event(0, "stop.requested", &[], SOON)?;
    let holder = holder(&stage, &[])?;
    assert_quiet(&holder, &first)?;
    ensure!(first.is_running()?, "it has not waited for its session");
    // The next one finds the holder, whichever balancer drains.
    let mut second = stage.start_with(&[], &[NAMED])?;
    wait_until_it_holds(&holder, 0)?;
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    second.signal(Signal::KILL)?;
    second.wait_exit(SOON)?;
    holder.wait_for_event(0, "hold.lost", &[("sockets", &2)], SOON)?;
    end(holder)?;
    stage.assert_clean()
}

/// A line for `global` with which HAProxy loads its configuration for as long as the file is there.
fn loading(stage: &Stage) -> Result<(String, PathBuf)> {
    let (script, wait) = (stage.path("wait.lua"), stage.path("wait"));
    std::fs::write(&wait, "")?;
    let text = format!("os.execute('while [ -e {} ]; do sleep 0.05; done')\n", wait.display());
    std::fs::write(&script, text)?;
    Ok((format!("global\n    lua-load {}\n", script.display()), wait))
}

fn beside_a_balancer_that_loads_its_first_configuration() -> Result<()> {
    let stage = Stage::new("hqload")?;
    let (line, wait) = loading(&stage)?;
    stage.write(&(line + &stage.plain()))?;
    let mut first = stage.launch(&[], &TALKING)?;
    // It has looked for a holder before that, and found none.
    first.wait_for_event(0, "generation.started", &[("generation", &1)], SOON)?;
    let holder = holder(&stage, &[])?;
    first.wait_for_event(0, "holder.connected", &[], SOON)?;
    assert_quiet(&holder, &first)?;
    std::fs::remove_file(wait)?;
    wait_until_it_holds(&holder, 0)?;
    stage.wait_ready(&mut first)?;
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    end(holder)?;
    stage.assert_clean()
}

fn beside_a_successor_that_cannot_start_and_has_lost_its_predecessor() -> Result<()> {
    let stage = Stage::new("hqlost")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let (line, wait) = loading(&stage)?;
    stage.write(&(line + &stage.plain()))?;
    let mut second = stage.launch(&[], &TALKING)?;
    second.wait_for_event(0, "takeover.begun", &[], SOON)?;
    first.signal(Signal::KILL)?;
    first.wait_exit(SOON)?;
    // What it is told to load is no configuration by now.
    stage.write("nonsense\n")?;
    second.signal(Signal::HUP)?;
    std::fs::remove_file(wait)?;
    let holder = holder(&stage, &[])?;
    second.wait_for_event(0, "holder.connected", &[], SOON)?;
    assert_quiet(&holder, &second)?;
    stage.write(&stage.plain())?;
    second.signal(Signal::HUP)?;
    wait_until_it_holds(&holder, 0)?;
    stage.wait_ready(&mut second)?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    end(holder)?;
    stage.assert_clean()
}
