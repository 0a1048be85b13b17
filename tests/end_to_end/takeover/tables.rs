//! Stick tables with `peers` pass from one Clearway to the next, as from one generation to the next (decision 0029).

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::session::Session;
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;

use super::NAMED;
use crate::holder::{end, holder};
use crate::parity::{ask, with_socket};
use crate::stage::{SOON, Stage, assert_code};

crate::tests![
    stick_tables_outlive_a_takeover_and_a_reload_right_after_it,
    stick_tables_outlive_a_stop_with_a_holder_if_the_next_one_comes_while_it_drains,
];

fn launch(stage: &Stage) -> Result<Balancer> {
    let balancer = stage.launch(&["-L", "me"], &[NAMED])?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    Ok(balancer)
}

/// A process that nothing has told of a predecessor counts as taught after five seconds, and before that teaches
/// no other: the reload follows at once.
fn stick_tables_outlive_a_takeover_and_a_reload_right_after_it() -> Result<()> {
    let stage = Stage::new("tkpeer")?;
    let table = "    stick-table type string size 1k expire 1h store gpc0 peers mates\n";
    let text = stage.plain() + "peers mates\n    peer me 127.0.0.1:10000\nbackend counts\n" + table;
    let socket = with_socket(&stage, &text)?;
    let mut serving = launch(&stage)?;
    eventually(SOON, "HAProxy to know that it is alone", || {
        ask(&socket, "show peers").ok()?.contains("resync_timeout=<PAST>").then_some(())
    })?;
    ask(&socket, "set table counts key client data.gpc0 42")?;
    let kept = |worker: u32, what: &str| {
        eventually_because(SOON, "the entry to be there", || {
            let pid = format!("Pid: {worker}");
            ensure!(ask(&socket, "show info")?.lines().any(|line| line == pid), "another process answers");
            let answer = ask(&socket, "show table counts")?;
            ensure!(answer.contains("key=client") && answer.contains("gpc0=42"), "{answer}");
            Ok(())
        })
        .with_context(|| format!("after {what}"))
    };
    let worker = |balancer: &Balancer| balancer.haproxy_processes().last().copied().context("a worker");
    for round in 1..=2 {
        let mut next = launch(&stage)?;
        kept(worker(&next)?, &format!("takeover {round}"))?;
        let position = next.log_position()?;
        // Not by the name, which it may still be waiting for.
        next.signal(Signal::HUP)?;
        next.wait_for_event(position, "generation.serving", &[], SOON)?;
        kept(worker(&next)?, &format!("a reload right after takeover {round}"))?;
        let mut former = std::mem::replace(&mut serving, next);
        assert_code(former.wait_exit(SOON)?, 0)?;
    }
    assert_code(serving.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// What drains connects to its local peer, which the next one is.
fn stick_tables_outlive_a_stop_with_a_holder_if_the_next_one_comes_while_it_drains() -> Result<()> {
    let stage = Stage::new("tkpeerh")?;
    let table = "    stick-table type string size 1k expire 1h store gpc0 peers mates\n";
    let text = stage.plain() + "peers mates\n    peer me 127.0.0.1:10000\nbackend counts\n" + table;
    let socket = with_socket(&stage, &text)?;
    let holder = holder(&stage, &[])?;
    let mut serving = launch(&stage)?;
    eventually(SOON, "HAProxy to know that it is alone", || {
        ask(&socket, "show peers").ok()?.contains("resync_timeout=<PAST>").then_some(())
    })?;
    ask(&socket, "set table counts key client data.gpc0 42")?;
    for round in 1..=2 {
        let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
        serving.signal(Signal::TERM)?;
        serving.wait_for_event(0, "stop.requested", &[], SOON)?;
        let mut next = launch(&stage)?;
        eventually_because(SOON, "the entry to be there", || {
            let answer = ask(&socket, "show table counts")?;
            ensure!(answer.contains("key=client") && answer.contains("gpc0=42"), "{answer}");
            Ok(())
        })
        .with_context(|| format!("after stop {round}"))?;
        eventually(SOON, "HAProxy to know that it is alone", || {
            ask(&socket, "show peers").ok()?.contains("resync_timeout=<PAST>").then_some(())
        })?;
        session.close();
        std::mem::swap(&mut serving, &mut next);
        assert_code(next.wait_exit(SOON)?, 0)?;
    }
    assert_code(serving.stop(Signal::TERM, SOON)?, 0)?;
    end(holder)?;
    stage.assert_clean()
}
