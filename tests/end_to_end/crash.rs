//! HAProxy dies: new clients wait in the sockets that Clearway holds, and are served by the next one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind};
use clearway_lab::load::Expect;
use clearway_lab::process::write_executable;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{
    EVENTS, SOON, Stage, TEXT, assert_code, assert_no_client_lost, assert_only_accepted_ones_lost, said,
};

crate::tests![
    a_killed_worker_is_replaced_and_no_client_is_refused,
    a_killed_master_is_replaced_and_no_client_is_refused,
    a_crash_with_a_missing_map_is_tried_again_until_it_is_mended,
    a_start_that_never_lives_ends_clearway_with_the_reason,
    a_relative_working_directory_serves,
];

fn last(balancer: &Balancer, event: &str, field: &str) -> Option<u32> {
    let events = balancer.events(event, &[]).ok()?;
    u32::try_from(events.last()?[field].as_u64()?).ok()
}

fn worker(balancer: &Balancer) -> Option<u32> {
    last(balancer, "generation.serving", "worker")
}

fn master(balancer: &Balancer) -> Option<u32> {
    last(balancer, "generation.started", "pid")
}

fn kill_repeatedly(name: &str, which: fn(&Balancer) -> Option<u32>) -> Result<()> {
    let stage = Stage::new(name)?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let plan = stage.load(300.0, Duration::from_mins(1)).patient_for(Duration::from_secs(10));
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    for round in 0..10 {
        std::thread::sleep(Duration::from_millis(1200)); // it has served for longer than a crash loop would
        let position = balancer.log_position()?;
        let Some(pid) = which(&balancer) else { anyhow::bail!("no pid in the log") };
        balancer.kill_descendant(pid)?;
        balancer.wait_for_event(position, "generation.crashed", &[], SOON)?;
        balancer.wait_for_event(position, "generation.serving", &[("generation", &(round + 2))], SOON)?;
    }
    assert_only_accepted_ones_lost(&load.finish_after(101)?, 10)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_killed_worker_is_replaced_and_no_client_is_refused() -> Result<()> {
    kill_repeatedly("worker", worker)
}

fn a_killed_master_is_replaced_and_no_client_is_refused() -> Result<()> {
    kill_repeatedly("master", master)
}

fn a_crash_with_a_missing_map_is_tried_again_until_it_is_mended() -> Result<()> {
    let stage = Stage::new("mend")?;
    let map = stage.path("names.map");
    std::fs::write(&map, "10.0.0.0/8 inside\n")?;
    let rule = format!("    tcp-request connection reject if {{ src,map_ip({}) none }}\n", map.display());
    stage.write(&stage.plain().replacen("    server ", &(rule + "    server "), 1))?;
    let mut balancer = stage.start()?;
    std::fs::remove_file(&map)?;
    let Some(pid) = worker(&balancer) else { anyhow::bail!("no worker in the log") };
    balancer.kill_descendant(pid)?;
    let failed = balancer.wait_for_event(0, "generation.failed", &[], SOON)?;
    ensure!(failed["error"].to_string().contains("names.map"), "the file is not named: {failed}");
    // No process accepts now, and no client is refused: those that come wait.
    let plan = stage
        .load(20.0, Duration::from_mins(1))
        .patient_for(Duration::from_secs(15))
        .expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    eventually(SOON, "clients to be waiting", || {
        let listeners = clearway_lab::kernel::listeners(&stage.hosts.balancer).ok()?;
        (listeners.iter().map(|(_, waiting)| waiting).sum::<u32>() > 5).then_some(())
    })?;
    std::fs::write(&map, "10.0.0.0/8 inside\n")?;
    balancer.wait_for_event(0, "generation.serving", &[("adopted", &2)], SOON)?;
    assert_no_client_lost(&load.finish_after(6)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

/// A program of which HAProxy's master knows only after its worker has begun to answer that it cannot live with it.
fn a_start_that_never_lives_ends_clearway_with_the_reason() -> Result<()> {
    let stage = Stage::new("young5")?;
    stage.write(&stage.plain())?;
    let folder = stage.path("bin");
    std::fs::create_dir(&folder)?;
    // The worker's end is the master's, and the reverse: the proof is over when there is a line in the log.
    let text = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\ncase $1 in -v|-cc) exec {0} \"$@\";; esac\n{0} \"$@\" &\n\
         until [ \"$(grep -c ' serves, worker ' {1}/log)\" -gt \"$(cat {1}/served)\" ]; do sleep 0.01; done\n\
         grep -c ' serves, worker ' {1}/log > {1}/served\necho '[ALERT] the moon is full' >&2\nkill $!\nwait $!\nexit 7\n",
        clearway_lab::balancer::haproxy_program(),
        folder.display()
    );
    std::fs::write(folder.join("served"), "0")?;
    write_executable(&folder.join("haproxy"), &text)?;
    let log = folder.join("log");
    std::fs::write(&log, "")?;
    let redirected = format!("PATH={}:$PATH; exec \"$@\" 2>> {}", folder.display(), log.display());
    let mut balancer = stage.launch_under(&["sh", "-c", &redirected, "sh"], &[TEXT])?;
    assert_code(balancer.wait_exit(SOON)?, 74)?;
    let log = std::fs::read_to_string(&log)?;
    ensure!(log.matches(" serves, worker ").count() == 5, "it did not serve five times: {log}");
    ensure!(log.contains("none has ever lived longer: Clearway leaves"), "{log}");
    ensure!(log.contains("did not live: ") && log.contains("the moon is full"), "the reason: {log}");
    stage.assert_clean()
}

fn a_relative_working_directory_serves() -> Result<()> {
    let stage = Stage::new("relative")?;
    stage.write(&stage.plain())?;
    let parent = stage.file().parent().and_then(|path| path.parent().map(Path::to_path_buf));
    let parent = parent.context("a folder above that of the file")?;
    let folder = stage.file().parent().and_then(|path| path.file_name().map(PathBuf::from));
    let folder = folder.context("the folder of the file")?.display().to_string();
    let clearway = clearway_lab::balancer::clearway_program()?.display().to_string();
    let script = format!("cd {} && exec {clearway} haproxy -C {folder} -f haproxy.cfg", parent.display());
    let words = ["sh", "-c", &script].map(str::to_owned);
    let directory = stage.run_directory();
    let variables = [("CLEARWAY_RUN_DIRECTORY", directory.as_str()), EVENTS];
    let mut balancer = Balancer::start_words(&stage.hosts.balancer, Kind::Clearway, &words, &variables)?;
    stage.wait_ready(&mut balancer)?;
    for generation in 2..4 {
        // Its master has executed itself anew by the time it answers on the master CLI.
        eventually(SOON, "the master to answer", || {
            let status = stage.clearway(&["status"]).ok()?;
            said(&status).contains("session").then_some(())
        })?;
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        balancer.wait_for_event(0, "generation.serving", &[("generation", &generation)], SOON)?;
    }
    ensure!(balancer.events("generation.crashed", &[])?.is_empty(), "{}", balancer.stderr()?);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
