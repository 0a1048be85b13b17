//! Files on a filesystem that does not answer, as on a hard mount of an NFS server that is gone: Clearway does not wait
//! for them where a client waits for Clearway.
//!
//! The filesystem is one in user space with a program that never answers: a process that uses it hangs in the
//! kernel (state D) until its end is closed.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, clearway_program};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{CannotRun, SOON, Stage, assert_code, assert_no_client_lost, complained, said};

crate::tests![
    polling_a_filesystem_that_hangs_stops_neither_a_restart_nor_a_status,
    watching_one_does_not_either,
    a_reload_from_one_is_refused_and_a_stop_is_a_stop,
];

/// A directory that hangs, until this is dropped.
pub struct Hung {
    at: PathBuf,
    _program: File,
}

impl Hung {
    /// Lets it hang from now on.
    pub fn over(at: PathBuf) -> Result<Self> {
        let cannot =
            |why: &dyn std::fmt::Display| CannotRun(format!("no filesystem can be made to hang: {why}"));
        let program = File::options().read(true).write(true).open("/dev/fuse");
        let program = program.map_err(|error| cannot(&format!("/dev/fuse: {error}")))?;
        // The kernel's end is where `mount` has its standard input.
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=040000,user_id=0,group_id=0", "clearway-hung"])
            .arg(&at)
            .stdin(Stdio::from(program.try_clone()?))
            .output()
            .context("running mount")?;
        if !mounted.status.success() {
            return Err(cannot(&complained(&mounted)).into());
        }
        Ok(Self { at, _program: program })
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // Only then the end is closed, and processes that hang go on.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// A stage with a configuration that is a link into a directory.
fn stage(name: &str) -> Result<Stage> {
    let stage = Stage::new(name)?;
    fs::create_dir(stage.path("config"))?;
    symlink("config/haproxy.cfg", stage.file())?;
    stage.write(&stage.plain())?;
    Ok(stage)
}

/// Waits until a thread of a process hangs.
fn wait_for_a_thread_that_hangs(pid: u32) -> Result<()> {
    let hangs = |task: &Path| {
        let stat = fs::read_to_string(task.join("stat")).ok()?;
        stat.rsplit_once(')')?.1.trim_start().starts_with('D').then_some(())
    };
    eventually(SOON, "a thread that hangs", || {
        fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().find_map(|task| hangs(&task.path()))
    })
}

/// Runs Clearway's command line, but not for ever.
fn ask(stage: &Stage, words: &[&str]) -> Result<Output> {
    let mut command = stage.hosts.balancer.command("timeout");
    let limit = SOON * clearway_lab::wait::patience();
    command.arg(limit.as_secs().to_string()).arg(clearway_program()?).args(words);
    command.env("CLEARWAY_RUN_DIRECTORY", stage.run_directory()).output().context("running `timeout`")
}

/// Everything that must be answered while a look hangs.
fn goes_on(stage: &Stage, balancer: &mut Balancer, hung: Hung) -> Result<()> {
    wait_for_a_thread_that_hangs(balancer.pid())?;
    let plan = stage.load(100.0, SOON).expecting(clearway_lab::load::Expect::Anything).patient_for(SOON);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    let output = ask(stage, &["status"])?;
    ensure!(said(&output).contains("its files do not answer"), "{}{}", said(&output), complained(&output));

    balancer.kill_descendant(*balancer.haproxy_processes().first().context("no HAProxy")?)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    let output = ask(stage, &["reload"])?;
    assert_code(output.status, 66)?;
    ensure!(complained(&output).contains("its files do not answer"), "{}", complained(&output));

    drop(hung);
    eventually(SOON, "a reload that takes", || {
        ask(stage, &["reload"]).ok().filter(|output| output.status.success())
    })?;
    ensure!(said(&ask(stage, &["status"])?).contains("serving"));
    crate::stage::assert_only_accepted_ones_lost(&load.finish_after(10)?, 1)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn polling_a_filesystem_that_hangs_stops_neither_a_restart_nor_a_status() -> Result<()> {
    let stage = stage("hu-poll")?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_WATCH", "poll")])?;
    let hung = Hung::over(stage.path("config"))?;
    goes_on(&stage, &mut balancer, hung)
}

fn watching_one_does_not_either() -> Result<()> {
    let stage = stage("hu-watch")?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_WATCH", "on"), ("CLEARWAY_LOG", "json,debug")])?;
    balancer.wait_for_log(0, "changed: 0", SOON)?;
    let hung = Hung::over(stage.path("config"))?;
    // A hint that leads there.
    let link = stage.path("link");
    symlink("config/haproxy.cfg", &link)?;
    fs::rename(link, stage.file())?;
    goes_on(&stage, &mut balancer, hung)
}

fn a_reload_from_one_is_refused_and_a_stop_is_a_stop() -> Result<()> {
    let stage = stage("hu-reload")?;
    let mut balancer = stage.start()?;
    let plan = stage.load(100.0, SOON).expecting(clearway_lab::load::Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    let _hung = Hung::over(stage.path("config"))?;
    for _ in 0..2 {
        let output = ask(&stage, &["reload"])?;
        assert_code(output.status, 66)?;
        ensure!(complained(&output).contains("its files do not answer"), "{}", complained(&output));
    }
    ensure!(said(&ask(&stage, &["status"])?).contains("generation 1 serving"));
    assert_no_client_lost(&load.finish_after(10)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
