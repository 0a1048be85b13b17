//! The pid file: it names Clearway, to which signals go.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, said};

crate::tests![
    signals_to_the_process_of_the_pid_file_reload_and_drain,
    the_pid_file_of_the_configuration_is_clearways,
    a_pid_file_that_cannot_be_written_is_named_at_the_start,
    what_a_pid_file_replaces_is_said,
    a_newcomer_writes_its_own_pid_and_its_predecessor_leaves_it_alone,
];

fn pid_in(file: &Path) -> Result<u32> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.strip_suffix('\n').context("a line")?.parse().context("a number")
}

/// As hooks do it.
fn kill(signal: &str, file: &Path) -> Result<()> {
    let script = format!("kill -{signal} $(cat {})", file.display());
    ensure!(Command::new("sh").args(["-c", &script]).status()?.success(), "{script}");
    Ok(())
}

/// A thread writes it, which a busy machine may let wait.
fn of_clearway(balancer: &Balancer, file: &Path) -> Result<()> {
    let what = format!("{} with the pid of Clearway, {}", file.display(), balancer.pid());
    eventually(SOON, &what, || pid_in(file).ok().filter(|pid| *pid == balancer.pid()).map(drop))
}

fn gone(file: &Path) -> Result<()> {
    eventually(SOON, &format!("{} removed", file.display()), || (!file.exists()).then_some(()))
}

fn signals_to_the_process_of_the_pid_file_reload_and_drain() -> Result<()> {
    let stage = Stage::new("pidfile")?;
    let file = stage.path("h.pid");
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&["-p", &file.display().to_string()], &[])?;
    of_clearway(&balancer, &file)?;
    ensure!(std::fs::metadata(&file)?.permissions().mode() & 0o777 == 0o644, "its mode");
    ensure!(!balancer.stderr()?.contains("left out"), "{}", balancer.stderr()?);
    kill("USR2", &file)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    of_clearway(&balancer, &file)?;
    kill("USR1", &file)?;
    assert_code(balancer.wait_exit(SOON)?, 0)?;
    ensure!(!file.exists(), "it was not removed");
    stage.assert_clean()
}

fn the_pid_file_of_the_configuration_is_clearways() -> Result<()> {
    let stage = Stage::new("pidcfg")?;
    let (first, second, given) = (stage.path("a.pid"), stage.path("b.pid"), stage.path("c.pid"));
    let write = |file: &Path| {
        let lines = format!("global\n    pidfile {}\n    pidfile /nowhere/x\n", file.display());
        stage.write(&(lines + &stage.plain()))
    };
    write(&first)?;
    let mut balancer = stage.start()?;
    of_clearway(&balancer, &first)?;
    let log = balancer.stderr()?;
    ensure!(!log.contains("pidfile"), "{log}");
    let worker = *balancer.haproxy_processes().last().context("a worker")?;
    balancer.kill_descendant(worker)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    of_clearway(&balancer, &first)?;
    write(&second)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    of_clearway(&balancer, &second)?;
    gone(&first)?;
    write(&stage.path("none/pid"))?;
    let refused = stage.clearway(&["reload"])?;
    assert_code(refused.status, 65)?;
    of_clearway(&balancer, &second)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    // What the command line says counts before what the file says.
    write(&first)?;
    let mut balancer = stage.start_with(&["-p", &given.display().to_string()], &[])?;
    of_clearway(&balancer, &given)?;
    ensure!(!first.exists(), "written by HAProxy");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_pid_file_that_cannot_be_written_is_named_at_the_start() -> Result<()> {
    let stage = Stage::new("pidbad")?;
    std::os::unix::fs::symlink(stage.path("nowhere"), stage.path("link"))?;
    std::fs::create_dir(stage.path("dir"))?;
    stage.write(&stage.plain())?;
    for name in ["none/pid", "dir", "link/pid"] {
        let path = stage.path(name).display().to_string();
        let mut balancer = stage.launch(&["-p", &path], &[])?;
        assert_code(balancer.wait_exit(SOON)?, 65)?;
        let log = balancer.stderr()?;
        ensure!(log.contains(&format!("the pid file {path} cannot be written")), "{log}");
    }
    stage.assert_clean()
}

fn what_a_pid_file_replaces_is_said() -> Result<()> {
    let stage = Stage::new("pidheld")?;
    let (held, link, null) = (stage.path("held"), stage.path("link"), stage.path("null"));
    std::fs::write(&held, format!("{}\n", std::process::id()))?;
    std::os::unix::fs::symlink(stage.path("nowhere"), &link)?;
    ensure!(Command::new("mknod").arg(&null).args(["c", "1", "3"]).status()?.success(), "mknod");
    stage.write(&stage.plain())?;
    for (file, event) in [(&held, "of-another"), (&link, "was-link"), (&null, "device")] {
        let mut balancer = stage.start_with(&["-p", &file.display().to_string()], &[])?;
        let (event, path) = (format!("pid-file.{event}"), file.display());
        let said = balancer.wait_for_event(0, &event, &[("path", &path)], SOON)?;
        ensure!(file != &held || said["pid"] == std::process::id(), "{said}");
        if file != &null {
            of_clearway(&balancer, file)?;
        }
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        ensure!(file.exists() == (file == &null), "{}", file.display());
    }
    stage.assert_clean()
}

fn a_newcomer_writes_its_own_pid_and_its_predecessor_leaves_it_alone() -> Result<()> {
    let stage = Stage::new("pidtake")?;
    let file = stage.path("h.pid");
    let words = ["-p", &*file.display().to_string()];
    let named = [("CLEARWAY_INSTANCE", "pidtake")];
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&words, &named)?;
    of_clearway(&first, &file)?;
    let mut second = stage.start_with(&words, &named)?;
    assert_code(first.wait_exit(SOON)?, 0)?;
    of_clearway(&second, &file)?;
    ensure!(second.events("pid-file.of-another", &[])?.is_empty(), "{}", second.stderr()?);
    eventually(SOON, "a status", || {
        said(&stage.clearway(&["status"]).ok()?).starts_with("serving").then_some(())
    })?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(!file.exists(), "it was not removed");
    stage.assert_clean()
}
