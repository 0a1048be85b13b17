//! "Did my reload take?", and who else is there: what the log and `clearway status` say about it.

use anyhow::{Result, ensure};
use clearway_lab::balancer::{Balancer, Kind};
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, said};

crate::tests![
    status_tells_whether_the_file_on_disk_is_the_one_that_runs,
    a_stranger_on_a_managed_port_is_named_and_left_alone,
    a_socket_that_is_never_handed_over_is_named_with_its_line,
    an_empty_configuration_is_warned_about,
];

fn status(stage: &Stage) -> Result<serde_json::Value> {
    Ok(serde_json::from_slice(&stage.clearway(&["status", "--json"])?.stdout)?)
}

fn status_tells_whether_the_file_on_disk_is_the_one_that_runs() -> Result<()> {
    let stage = Stage::new("drift")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    ensure!(status(&stage)?["configuration"]["same"] == true, "{}", status(&stage)?);
    stage.write(&(stage.plain() + "# a word\n"))?;
    let told = status(&stage)?;
    ensure!(told["configuration"]["same"] == false, "{told}");
    let words = said(&stage.clearway(&["status"])?);
    ensure!(words.contains("configuration: ") && words.contains("haproxy.cfg"), "{words}");
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    ensure!(status(&stage)?["configuration"]["same"] == true, "{}", status(&stage)?);
    std::fs::remove_file(stage.file())?;
    ensure!(status(&stage)?["configuration"]["same"] == false, "{}", status(&stage)?);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_stranger_on_a_managed_port_is_named_and_left_alone() -> Result<()> {
    let stage = Stage::new("strange")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    ensure!(status(&stage)?["strangers"] == serde_json::json!([]), "{}", status(&stage)?);
    // The same user, `SO_REUSEPORT` on both sides: the kernel shares the clients out without a word.
    let host = &stage.hosts.balancer;
    let mut stranger = Balancer::start(host, Kind::PlainMasterWorker, &stage.file(), &[], &[])?;
    clearway_lab::wait::eventually(SOON, "the stranger to be seen", || {
        let told = status(&stage).ok()?;
        told["strangers"].as_array().is_some_and(|all| all.len() == 2).then_some(())
    })?;
    let words = said(&stage.clearway(&["status"])?);
    ensure!(words.contains("STRANGER: ") && words.contains("held by haproxy (pid "), "{words}");
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let line = balancer.wait_for_log(0, "a stranger listens where we do", SOON)?;
    ensure!(line.contains("WARN"), "{line}");
    ensure!(stranger.is_running()?, "the stranger was killed");
    stranger.stop(Signal::TERM, SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_socket_that_is_never_handed_over_is_named_with_its_line() -> Result<()> {
    let stage = Stage::new("named")?;
    stage.write(&stage.plain().replace(" v6only", ""))?;
    let mut balancer = stage.start()?;
    for _ in 0..2 {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    let log = balancer.stderr()?;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("lacks `v6only`")).collect();
    ensure!(lines.len() == 1 && lines[0].contains("haproxy.cfg:"), "once, with its place: {lines:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn an_empty_configuration_is_warned_about() -> Result<()> {
    let stage = Stage::new("empty")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    stage.write("")?;
    stage.clearway(&["reload"])?;
    let line = balancer.wait_for_log(0, "it listens nowhere", SOON)?;
    ensure!(line.contains("WARN"), "{line}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
