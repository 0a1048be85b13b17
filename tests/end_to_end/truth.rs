//! "Did my reload take?", and which other process listens: what the log and `clearway status` say about it.

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind};
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, said};

crate::tests![
    status_tells_whether_the_file_on_disk_is_the_one_that_runs,
    a_file_that_the_configuration_names_is_compared_too,
    a_crash_is_told_until_a_reload_was_asked_for,
    a_reload_that_reads_nothing_new_says_so,
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

fn a_file_that_the_configuration_names_is_compared_too() -> Result<()> {
    let stage = Stage::new("dr-named")?;
    let list = stage.path("blocked.lst");
    let reject = format!("listen f0\n    tcp-request connection reject if {{ src -f {} }}\n", list.display());
    stage.write(&stage.plain().replace("listen f0\n", &reject))?;
    std::fs::write(&list, "192.0.2.1\n")?;
    let mut balancer = stage.start()?;
    ensure!(status(&stage)?["configuration"]["same"] == true, "{}", status(&stage)?);
    assert_code(stage.clearway(&["status", "--check"])?.status, 0)?;
    std::fs::write(&list, "no address\n")?;
    assert_code(stage.clearway(&["reload"])?.status, 65)?;
    let told = status(&stage)?;
    ensure!(told["configuration"]["same"] == false, "it is not what runs: {told}");
    let words = said(&stage.clearway(&["status"])?);
    ensure!(words.contains("not yet loaded: ") && words.contains("blocked.lst has changed"), "{words}");
    ensure!(words.contains("the last reload DID NOT TAKE, "), "{words}");
    let check = stage.clearway(&["status", "--check"])?;
    assert_code(check.status, 2)?;
    let line = said(&check);
    ensure!(
        line.lines().count() == 1 && line.contains("DID NOT TAKE") && line.contains("blocked.lst"),
        "{line}"
    );
    std::fs::remove_file(&list)?;
    let words = said(&stage.clearway(&["status"])?);
    ensure!(words.contains("blocked.lst is gone"), "{words}");
    std::fs::write(&list, "192.0.2.1\n192.0.2.2\n")?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_code(stage.clearway(&["status", "--check"])?.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_crash_is_told_until_a_reload_was_asked_for() -> Result<()> {
    let stage = Stage::new("dr-crash")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    assert_code(stage.clearway(&["status", "--check"])?.status, 0)?;
    let worker = *balancer.haproxy_processes().last().context("no worker")?;
    balancer.kill_descendant(worker)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    let told = status(&stage)?;
    ensure!(told["last_attempt"]["cause"] == "crash" && told["crashes"] == 1, "{told}");
    ensure!(told["last_crash"]["generation"] == 1 && told["last_crash"]["at"].is_string(), "{told}");
    let words = said(&stage.clearway(&["status"])?);
    ensure!(words.contains("a crash started generation 2, "), "{words}");
    ensure!(words.contains("crashes: 1 in all, 1 since a reload was asked for; the last one "), "{words}");
    let check = stage.clearway(&["status", "--check", "--json"])?;
    assert_code(check.status, 2)?;
    let told: serde_json::Value = serde_json::from_slice(&check.stdout)?;
    ensure!(told["serving"] == true && told["findings"][0].as_str().is_some(), "{told}");
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_code(stage.clearway(&["status", "--check"])?.status, 0)?;
    let told = status(&stage)?;
    ensure!(told["last_attempt"]["cause"] == "reload" && told["crashes"] == 1, "{told}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    assert_code(stage.clearway(&["status", "--check"])?.status, 68)
}

/// A file that is mounted by itself, replaced as `sed -i` does it: with or without a backup.
fn a_reload_that_reads_nothing_new_says_so() -> Result<()> {
    let stage = Stage::new("dr-mount")?;
    let outside = stage.path("host.cfg");
    std::fs::write(&outside, stage.plain())?;
    std::fs::write(stage.file(), "")?;
    let script = format!("mount --bind {} {} && exec \"$@\"", outside.display(), stage.file().display());
    let mut balancer = stage.launch_under(&["unshare", "--mount", "sh", "-c", &script, "sh"], &[])?;
    stage.wait_ready(&mut balancer)?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    let quiet = said(&stage.clearway(&["reload"])?);
    ensure!(!quiet.contains("NOT READ"), "nothing was replaced: {quiet}");
    std::fs::rename(&outside, stage.path("host.cfg~"))?;
    std::fs::write(&outside, stage.plain() + "# new\n")?;
    for _ in 0..2 {
        let position = balancer.log_position()?;
        let reload = stage.clearway(&["reload"])?;
        assert_code(reload.status, 0)?;
        let words = said(&reload);
        ensure!(words.contains("NOT READ: ") && words.contains("--volume=DIRECTORY:"), "{words}");
        balancer.wait_for_event(position, "configuration.not-new", &[("level", &"WARN")], SOON)?;
        let told = status(&stage)?;
        ensure!(told["configuration"]["same"] == false, "{told}");
    }
    std::fs::remove_file(stage.path("host.cfg~"))?;
    let told: serde_json::Value = serde_json::from_slice(&stage.clearway(&["reload", "--json"])?.stdout)?;
    ensure!(told["not_read"].as_array().is_some_and(|lines| lines.len() == 1), "{told}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_stranger_on_a_managed_port_is_named_and_left_alone() -> Result<()> {
    let stage = Stage::new("strange")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    ensure!(status(&stage)?["strangers"] == serde_json::json!([]), "{}", status(&stage)?);
    // The same user, `SO_REUSEPORT` on both sides: the kernel silently distributes the clients.
    let host = &stage.hosts.balancer;
    let mut stranger = Balancer::start(host, Kind::PlainMasterWorker, &stage.file(), &[], &[])?;
    clearway_lab::wait::eventually(SOON, "the stranger to be seen", || {
        let told = status(&stage).ok()?;
        told["strangers"].as_array().is_some_and(|all| all.len() == 2).then_some(())
    })?;
    let words = said(&stage.clearway(&["status"])?);
    ensure!(words.contains("STRANGER: ") && words.contains("held by haproxy (pid "), "{words}");
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    balancer.wait_for_event(0, "found.stranger", &[("level", &"WARN")], SOON)?;
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
    balancer.wait_for_event(0, "generation.serving", &[("level", &"WARN")], SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
