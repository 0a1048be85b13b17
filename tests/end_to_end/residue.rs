//! No trace: what is in the kernel lives and dies with the process, or is swept by the next one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::kernel::{Snapshot, has_owner_tables, processes_in};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{EVENTS, SOON, Stage, assert_code, said};

crate::tests![
    after_sigkill_the_kernel_removes_an_owned_table_and_the_next_start_the_rest,
    haproxy_dies_with_clearway_also_under_another_user,
    cleanup_removes_what_the_dead_left_and_nothing_else,
    cleanup_leaves_a_living_instance_alone,
    two_private_instances_do_not_meet,
    foreign_rules_make_it_choose_others,
];

/// Kills Clearway by a signal that it cannot catch, and waits until every process is gone.
fn kill(stage: &Stage, balancer: &mut clearway_lab::balancer::Balancer) -> Result<()> {
    balancer.signal(Signal::KILL)?;
    balancer.wait_exit(SOON)?;
    eventually(Duration::from_secs(5), "HAProxy to end with Clearway", || {
        processes_in(&stage.hosts.balancer).ok().filter(Vec::is_empty)
    })
    .with_context(|| format!("left: {:?}", processes_in(&stage.hosts.balancer)))?;
    Ok(())
}

fn after_sigkill_the_kernel_removes_an_owned_table_and_the_next_start_the_rest() -> Result<()> {
    let stage = Stage::new("kill")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let owned = Snapshot::take(&stage.hosts.balancer)?.output("nft list ruleset").contains("flags owner");
    ensure!(owned == has_owner_tables(), "owner tables are used exactly where the kernel has them: {owned}");
    kill(&stage, &mut balancer)?;
    // Before Linux 5.12 it stays until the next start, as is documented.
    let after = Snapshot::take(&stage.hosts.balancer)?;
    let stays = after.output("nft list ruleset").contains("clearway");
    ensure!(stays != owned, "after SIGKILL, the table (with owner: {owned}) is there: {stays}");
    let mut next = stage.start()?;
    next.wait_for_event(0, "plumbing.swept", &[], SOON)?;
    assert_code(next.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn haproxy_dies_with_clearway_also_under_another_user() -> Result<()> {
    let stage = Stage::new("user")?;
    stage.write(&format!("global\n    user nobody\n{}", stage.plain()))?;
    let mut balancer = stage.start()?;
    kill(&stage, &mut balancer)?;
    // And with a generation that drains besides.
    let mut balancer = stage.start()?;
    let session = clearway_lab::session::Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    ensure!(balancer.haproxy_processes().len() == 4, "two generations: {:?}", balancer.haproxy_processes());
    kill(&stage, &mut balancer)?;
    drop(session);
    stage.assert_clean()
}

fn cleanup_removes_what_the_dead_left_and_nothing_else() -> Result<()> {
    let stage = Stage::new("clean")?;
    for command in [
        &["rule", "add", "pref", "950", "fwmark", "0x1/0x1", "lookup", "100"] as &[&str],
        &["route", "add", "local", "default", "dev", "lo", "table", "100"],
    ] {
        stage.hosts.balancer.ip(command)?;
    }
    let with_foreign = Snapshot::take(&stage.hosts.balancer)?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    kill(&stage, &mut balancer)?;
    let output = stage.clearway(&["cleanup"])?;
    assert_code(output.status, 0)?;
    ensure!(said(&output).contains("removed: "), "{}", said(&output));
    let differences = with_foreign.diff(&Snapshot::take(&stage.hosts.balancer)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    let again = stage.clearway(&["cleanup"])?;
    ensure!(said(&again) == "nothing was left behind\n", "{}", said(&again));
    Ok(())
}

fn cleanup_leaves_a_living_instance_alone() -> Result<()> {
    let stage = Stage::new("alive")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let living = Snapshot::take(&stage.hosts.balancer)?;
    assert_code(stage.clearway(&["cleanup"])?.status, 0)?;
    let differences = living.diff(&Snapshot::take(&stage.hosts.balancer)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    stage.wait_ready(&mut balancer)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn two_private_instances_do_not_meet() -> Result<()> {
    let stage = Stage::new("two")?;
    stage.write(&stage.transparent())?;
    let mut first = stage.start()?;
    let other = stage.path("other.cfg");
    std::fs::write(
        &other,
        stage.transparent().replace(":8080 v6only", ":9090 v6only").replace("10.1.0.1:8080", "10.1.0.1:9090"),
    )?;
    let directory = stage.run_directory();
    let mut second = clearway_lab::balancer::Balancer::start(
        &stage.hosts.balancer,
        clearway_lab::balancer::Kind::Clearway,
        &other,
        &[],
        &[("CLEARWAY_RUN_DIRECTORY", directory.as_str()), EVENTS],
    )?;
    second.wait_for_event(0, "generation.serving", &[("generation", &1)], SOON)?;
    let ambiguous = stage.clearway(&["status"])?;
    assert_code(ambiguous.status, 68)?;
    let alone = Snapshot::take(&stage.hosts.balancer)?;
    ensure!(alone.output("nft list ruleset").matches("table inet clearway_").count() == 2, "two tables");
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.wait_ready(&mut first)?;
    let mut session = clearway_lab::session::Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    ensure!(session.peer_seen() == session.local_address()?.ip().to_string(), "the client is hidden");
    ensure!(session.beat() == clearway_lab::session::State::Alive, "the session has lost its plumbing");
    drop(session);
    assert_code(first.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn foreign_rules_make_it_choose_others() -> Result<()> {
    let stage = Stage::new("foreign")?;
    // Another program already uses bit 29, and the first preferences.
    stage.hosts.balancer.ip(&[
        "rule",
        "add",
        "pref",
        "901",
        "fwmark",
        "0x20000000/0x20000000",
        "lookup",
        "main",
    ])?;
    let before = Snapshot::take(&stage.hosts.balancer)?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let plan = stage.load(100.0, Duration::from_secs(1));
    crate::stage::assert_no_client_lost(&clearway_lab::load::start(&stage.hosts.client, plan)?.wait()?)?;
    let rules = stage.hosts.balancer.ip(&["rule"])?;
    ensure!(
        rules.lines().filter(|line| line.contains("0x20000000")).count() == 1,
        "the bit of others is used: {rules}"
    );
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    let differences = before.diff(&Snapshot::take(&stage.hosts.balancer)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    // Asked for explicitly, the conflict is named.
    let mut refused = stage.launch(&[], &[("CLEARWAY_MARK", "0x20000000")])?;
    assert_code(refused.wait_exit(SOON)?, 64)?;
    ensure!(refused.stderr()?.contains("0x20000000"), "{}", refused.stderr()?);
    Ok(())
}
