//! What happens at three in the morning: a log that is not read, strangers, other programs that interfere.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::{Ask, ask_once};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit};

use crate::stage::{PORT, SOON, Stage, TEXT, assert_code, complained, said, signal};

crate::tests![
    a_log_that_is_not_read_stops_nothing,
    a_log_on_a_full_disk_ends_nothing,
    a_reader_of_the_log_that_is_gone_ends_nothing,
    more_sockets_than_half_the_soft_limit_of_open_files,
    a_reload_for_which_there_are_too_few_descriptors_leaves_no_haproxy,
    a_stranger_is_sent_away_from_the_admin_socket,
    a_stranger_with_our_name_is_not_believed,
    a_haproxy_that_was_reloaded_behind_our_back_drains,
    a_worker_that_hangs_does_not_outlive_its_master,
    a_haproxy_that_is_stopped_does_not_stop_the_status,
];

/// Starts Clearway with standard error where a shell puts it.
fn start_with_stderr(stage: &Stage, redirection: &str) -> Result<Balancer> {
    stage.launch_under(&["bash", "-c", &format!("exec \"$@\" {redirection}"), "sh"], &[TEXT])
}

/// It serves, reloads and stops, whatever becomes of its log.
fn assert_works(stage: &Stage, mut balancer: Balancer) -> Result<()> {
    stage.wait_ready(&mut balancer)?;
    for _ in 0..3 {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    stage.wait_ready(&mut balancer)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_log_that_is_not_read_stops_nothing() -> Result<()> {
    let stage = Stage::new("unread")?;
    stage.write(&stage.transparent())?;
    // A pipe that is full from the beginning; a process that sleeps holds its other end open.
    let script = "exec 9> >(exec sleep 30); \
        dd if=/dev/zero of=/dev/fd/9 oflag=nonblock bs=4096 count=10000 2>/dev/null; \
        exec \"$@\" 2>&9 9>&-";
    let mut balancer = stage.launch_under(&["bash", "-c", script, "sh"], &[TEXT])?;
    stage.wait_ready(&mut balancer)?;
    for _ in 0..3 {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_log_on_a_full_disk_ends_nothing() -> Result<()> {
    let stage = Stage::new("full")?;
    stage.write(&stage.transparent())?;
    assert_works(&stage, start_with_stderr(&stage, "2>/dev/full")?)
}

fn a_reader_of_the_log_that_is_gone_ends_nothing() -> Result<()> {
    let stage = Stage::new("broken")?;
    stage.write(&stage.transparent())?;
    assert_works(&stage, start_with_stderr(&stage, "2> >(exec true)")?)
}

fn more_sockets_than_half_the_soft_limit_of_open_files() -> Result<()> {
    let stage = Stage::new("many")?;
    let many = "frontend many\n    bind 10.1.0.1:20000-20599\n    default_backend none\nbackend none\n";
    stage.write(&(stage.plain() + many))?;
    let script = "ulimit -Sn 1024; exec \"$@\"";
    let mut balancer = stage.launch_under(&["bash", "-c", script, "sh"], &[TEXT])?;
    stage.wait_ready(&mut balancer)?;
    let output = stage.clearway(&["reload"])?;
    ensure!(said(&output).contains("602 sockets taken over"), "{}{}", said(&output), complained(&output));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

/// Clearway with an abstract admin socket, as on a read-only root.
fn start_abstract(stage: &Stage, instance: &str) -> Result<Balancer> {
    stage.write(&stage.plain())?;
    stage.start_with(&[], &[("CLEARWAY_INSTANCE", instance), ("CLEARWAY_RUN_DIRECTORY", "/proc/nowhere")])
}

/// A descriptor more is there at each attempt, so that each step of a start fails once for want of one: a HAProxy that
/// was started, and that Clearway then did not know, would go on and accept clients.
fn a_reload_for_which_there_are_too_few_descriptors_leaves_no_haproxy() -> Result<()> {
    let stage = Stage::new("fewfd")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    balancer.wait_for_rest(SOON)?;
    let clearway = i32::try_from(balancer.pid()).ok().and_then(Pid::from_raw);
    let given = rustix::process::prlimit(clearway, Resource::Nofile, getrlimit(Resource::Nofile))?;
    let open = std::fs::read_dir(format!("/proc/{}/fd", balancer.pid()))?.flatten();
    let open: BTreeSet<u64> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for (refused, free) in (0..).filter(|number| !open.contains(number)).take(200).enumerate() {
        let limit = Rlimit { current: Some(free + 1), ..given };
        rustix::process::prlimit(clearway, Resource::Nofile, limit)?;
        let position = balancer.log_position()?;
        balancer.signal(Signal::HUP)?;
        let served = eventually(SOON, "the reload to be over", || {
            let log = balancer.stderr_since(position).ok()?;
            let came = |text| log.contains(text).then_some(());
            came(" serves, worker ").map(|()| true).or(came(" failed: ").map(|()| false))
        })?;
        eventually(SOON, "one HAProxy alone to be there", || {
            (balancer.haproxy_processes().len() == 2).then_some(())
        })
        .with_context(|| {
            format!("with {free} as the last descriptor: {:?}", balancer.stderr_since(position))
        })?;
        if served {
            ensure!(refused > 3, "it was hardly ever refused: {refused}");
            assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
            return stage.assert_clean();
        }
    }
    anyhow::bail!("it never served again: {}", balancer.stderr()?)
}

fn a_stranger_is_sent_away_from_the_admin_socket() -> Result<()> {
    let stage = Stage::new("strange")?;
    let mut balancer = start_abstract(&stage, "e2e-strange")?;
    let program = stage.open_to_strangers()?;
    let ask = |uid: &str| -> Result<std::process::Output> {
        let mut command = stage.hosts.balancer.command("setpriv");
        command.args(["--reuid", uid, "--clear-groups"]).arg(&program);
        command.args(["status", "--instance", "e2e-strange", "--run-directory", "/proc/nowhere"]);
        command.output().context("running clearway status")
    };
    assert_code(ask("0")?.status, 0)?;
    ensure!(!ask("65534")?.status.success(), "a stranger was answered");
    balancer.wait_for_event(0, "admin-socket.foreign", &[("uid", &65534)], SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_stranger_with_our_name_is_not_believed() -> Result<()> {
    let stage = Stage::new("squat")?;
    stage.write(&stage.plain())?;
    stage.open_to_strangers()?;
    // The stranger is another user's Clearway: nothing that it says can be trusted.
    let variables = [("CLEARWAY_INSTANCE", "e2e-squat"), ("CLEARWAY_RUN_DIRECTORY", "/proc/nowhere")];
    let setpriv = ["setpriv", "--reuid", "65534", "--clear-groups"];
    let mut stranger = stage.launch_under(&setpriv, &variables)?;
    stranger.wait_for_event(0, "generation.serving", &[], SOON)?;
    let asked = stage.clearway(&["reload", "--instance", "e2e-squat"])?;
    assert_code(asked.status, 68)?;
    ensure!(complained(&asked).contains("uid 65534, which is not asked"), "{}", complained(&asked));
    let mut refused = stage.launch(&[], &[("CLEARWAY_INSTANCE", "e2e-squat")])?;
    assert_code(refused.wait_exit(SOON)?, 75)?;
    ensure!(refused.stderr()?.contains("uid 65534, which is no Clearway"), "{}", refused.stderr()?);
    assert_code(stranger.stop(Signal::TERM, SOON)?, 0)
}

fn a_haproxy_that_was_reloaded_behind_our_back_drains() -> Result<()> {
    let stage = Stage::new("behind")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let master = *balancer.haproxy_processes().first().context("a master")?;
    let former = balancer.haproxy_processes();
    eventually(SOON, "the master to hear signals", || {
        clearway_lab::process::catches(master, Signal::USR2).then_some(())
    })?;
    signal(master, Signal::USR2)?;
    eventually(SOON, "its worker to be replaced", || {
        let now = balancer.haproxy_processes();
        (now.len() == 2 && now != former).then_some(())
    })?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    balancer.wait_for_event(0, "generation.drained", &[("generation", &1)], SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_worker_that_hangs_does_not_outlive_its_master() -> Result<()> {
    let stage = Stage::new("hang")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let processes = balancer.haproxy_processes();
    let (master, worker) = (processes[0], processes[1]);
    // Stopped, it can hear nothing, and it has the listening sockets.
    signal(worker, Signal::STOP)?;
    balancer.kill_descendant(master)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    eventually(SOON, "the hanging worker to be gone", || {
        (!clearway_lab::process::is_alive(worker)).then_some(())
    })?;
    for _ in 0..20 {
        for front in stage.fronts() {
            let answer = stage.hosts.client.enter(|| ask_once(front, Ask::Line, Duration::from_secs(2)))?;
            ensure!(answer.is_ok(), "a client hangs at port {PORT}: {answer:?}");
        }
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_haproxy_that_is_stopped_does_not_stop_the_status() -> Result<()> {
    let stage = Stage::new("frozen")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_DRAIN_TIMEOUT", "1s")])?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    ensure!(session.beat() == State::Alive, "the session does not live");
    for pid in balancer.haproxy_processes() {
        signal(pid, Signal::STOP)?;
    }
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.starts_with("serving") && status.contains("generation 1 serving"), "{status}");
    // And it can be stopped: SIGKILL ends what hears nothing else.
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
