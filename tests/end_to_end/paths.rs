//! Unix sockets with a file that is removed or replaced, or is that of another container: a reload, a restart after a
//! crash and a takeover bind them anew, and leave alone those that clients reach.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::wait::eventually_because;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code};
use crate::takeover::NAMED;

crate::tests![
    a_path_that_is_removed_is_bound_anew_at_a_reload,
    a_path_that_another_program_has_taken_is_bound_anew_at_a_reload,
    a_path_that_leads_nowhere_is_bound_anew_after_a_crash,
    a_path_in_a_directory_that_is_gone_stops_no_reload,
    a_path_that_leads_to_its_socket_keeps_it,
    each_container_in_a_row_of_takeovers_is_reached_at_its_own_path,
];

/// A front and a stats socket below this folder.
fn with_paths(stage: &Stage, folder: &Path) -> String {
    let (front, stats) = (folder.join("front.sock"), folder.join("stats.sock"));
    let text = stage.plain();
    let bound = text.replace("listen f0\n", &format!("listen f0\n    bind unix@{}\n", front.display()));
    format!("global\n    stats socket {} level admin\n{bound}", stats.display())
}

fn paths(folder: &Path) -> [PathBuf; 2] {
    [folder.join("front.sock"), folder.join("stats.sock")]
}

/// Both answer at their paths.
fn answer(folder: &Path) -> Result<()> {
    let [front, stats] = paths(folder);
    let connect = |path: &Path| {
        let stream =
            UnixStream::connect(path).with_context(|| format!("connecting to {}", path.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        anyhow::Ok(stream)
    };
    let mut greeting = [0; 4];
    connect(&front)?.read_exact(&mut greeting).context("a greeting of the front")?;
    let mut asked = connect(&stats)?;
    asked.write_all(b"show info\n")?;
    let mut said = String::new();
    asked.read_to_string(&mut said).context("an answer of the stats socket")?;
    ensure!(said.contains("Pid:"), "{said}");
    Ok(())
}

fn begin(name: &str) -> Result<(Stage, PathBuf, Balancer)> {
    let stage = Stage::new(name)?;
    let folder = stage.path("sockets");
    std::fs::create_dir(&folder)?;
    stage.write(&with_paths(&stage, &folder))?;
    let balancer = stage.start()?;
    answer(&folder)?;
    Ok((stage, folder, balancer))
}

fn reload(stage: &Stage) -> Result<()> {
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0)
}

fn end(stage: &Stage, mut balancer: Balancer) -> Result<()> {
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_path_that_is_removed_is_bound_anew_at_a_reload() -> Result<()> {
    let (stage, folder, balancer) = begin("pathgone")?;
    for path in paths(&folder) {
        std::fs::remove_file(path)?;
    }
    reload(&stage)?;
    answer(&folder)?;
    // A file that is no socket stands for no socket either.
    for path in paths(&folder) {
        std::fs::remove_file(&path)?;
        std::fs::write(&path, "")?;
    }
    reload(&stage)?;
    answer(&folder)?;
    end(&stage, balancer)
}

fn a_path_that_another_program_has_taken_is_bound_anew_at_a_reload() -> Result<()> {
    let (stage, folder, balancer) = begin("pathtaken")?;
    let [front, stats] = paths(&folder);
    for path in [&front, &stats] {
        std::fs::remove_file(path)?;
    }
    // One that is alive, and one that is dead.
    let _other = UnixListener::bind(&front)?;
    drop(UnixDatagram::bind(&stats)?);
    reload(&stage)?;
    answer(&folder)?;
    end(&stage, balancer)
}

fn a_path_that_leads_nowhere_is_bound_anew_after_a_crash() -> Result<()> {
    let (stage, folder, balancer) = begin("pathcrash")?;
    for path in paths(&folder) {
        std::fs::remove_file(path)?;
    }
    let worker = balancer.haproxy_processes().last().copied().context("a worker")?;
    balancer.kill_descendant(worker)?;
    eventually_because(SOON, "the sockets to answer at their paths", || answer(&folder))?;
    end(&stage, balancer)
}

fn a_path_in_a_directory_that_is_gone_stops_no_reload() -> Result<()> {
    let (stage, folder, mut balancer) = begin("pathdir")?;
    std::fs::remove_dir_all(&folder)?;
    let from = balancer.log_position()?;
    reload(&stage)?;
    balancer.wait_for_event(from, "socket.path-gone", &[], SOON)?;
    stage.wait_ready(&mut balancer)?;
    std::fs::create_dir(&folder)?;
    reload(&stage)?;
    answer(&folder)?;
    end(&stage, balancer)
}

fn a_path_that_leads_to_its_socket_keeps_it() -> Result<()> {
    let (stage, folder, balancer) = begin("pathkept")?;
    let files = || -> Result<Vec<u64>> {
        paths(&folder).iter().map(|path| Ok(std::fs::metadata(path)?.ino())).collect()
    };
    let before = files()?;
    for _ in 0..2 {
        reload(&stage)?;
        answer(&folder)?;
        ensure!(files()? == before, "files {before:?} have become {:?}", files()?);
    }
    end(&stage, balancer)
}

/// A container has its own file system: here a folder of its own, bound over the one that the configuration names.
fn container(stage: &Stage, own: &Path, named: &Path) -> Result<Balancer> {
    let script = format!("mount --bind {} {} && exec \"$@\"", own.display(), named.display());
    let balancer = stage.launch_under(&["unshare", "--mount", "sh", "-c", &script, "sh"], &[NAMED])?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    Ok(balancer)
}

fn each_container_in_a_row_of_takeovers_is_reached_at_its_own_path() -> Result<()> {
    let stage = Stage::new("pathrow")?;
    let [named, blue, green] = ["sockets", "blue", "green"].map(|name| stage.path(name));
    for folder in [&named, &blue, &green] {
        std::fs::create_dir(folder)?;
    }
    stage.write(&with_paths(&stage, &named))?;
    let mut last: Option<Balancer> = None;
    for own in [&blue, &green, &blue, &green] {
        let new = container(&stage, own, &named)?;
        answer(own)?;
        if let Some(mut old) = last.replace(new) {
            assert_code(old.wait_exit(SOON)?, 0)?;
        }
        answer(own)?;
        assert_code(stage.clearway(&["reload", "--instance", "web"])?.status, 0)?;
        answer(own)?;
    }
    if let Some(mut last) = last {
        assert_code(last.stop(Signal::TERM, SOON)?, 0)?;
    }
    stage.assert_clean()
}
