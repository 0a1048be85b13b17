//! What Clearway asks HAProxy before a start (`haproxy -v`, `haproxy -cc`): a program that does not answer keeps
//! nothing else waiting, and it has no right that the answer does not need.
//!
//! The program is a script before the real one. What the file `hangs` has (`-v`, `-cc`, or the `-W` of a start), it does
//! not answer: it says its number, and reads from a pipe that is never written to.

use std::fs;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, haproxy_program};
use clearway_lab::process::write_executable;
use clearway_lab::wait::eventually;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, complained, said, signal};

crate::tests![
    one_that_hangs_at_its_version_keeps_nothing_waiting,
    one_that_hangs_at_a_condition_keeps_nothing_waiting,
    a_question_is_asked_without_rights,
    a_question_does_not_outlive_clearway,
    idle_clients_of_the_stats_socket_do_not_keep_a_generation_from_proving_itself,
];

/// A stage with a configuration that has a condition that must be asked about.
pub fn stage(name: &str) -> Result<Stage> {
    let stage = Stage::new(name)?;
    let line = "    source 0.0.0.0 usesrc clientip\n";
    let text = stage.transparent();
    ensure!(text.contains(line), "the configuration has another line: {text}");
    stage.write(&text.replace(line, &format!(".if !streq(a,b)\n{line}.endif\n")))?;
    write_program(&stage)?;
    Ok(stage)
}

/// Puts the script there; a new file each time, so that its version is asked for anew.
fn write_program(stage: &Stage) -> Result<()> {
    let folder = stage.path("bin");
    fs::create_dir_all(&folder)?;
    let (here, real) = (folder.display(), haproxy_program());
    let text = format!(
        "#!/bin/sh\ncase $1 in -v|-cc|-W)\n    grep ^Cap /proc/$$/status > {here}/rights$1\n    if [ \"$(cat {here}/hangs)\" = \
         x$1 ]; then\n        echo $$ > {here}/new; mv {here}/new {here}/asked\n        read never < {here}/pipe\n    fi;;\n\
         esac\nexec {real} \"$@\"\n"
    );
    let new = folder.join("haproxy.new");
    write_executable(&new, &text)?;
    fs::rename(new, folder.join("haproxy"))?;
    if !folder.join("pipe").exists() {
        fs::write(folder.join("hangs"), "")?;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, folder.join("pipe"), rustix::fs::FileType::Fifo, mode, 0)?;
    }
    Ok(())
}

pub fn start(stage: &Stage) -> Result<Balancer> {
    let path = format!("{}:/usr/bin:/bin", stage.path("bin").display());
    stage.start_with(&[], &[("PATH", &path)])
}

/// Lets the next question of this kind hang, asks for a reload, and waits until it does: the number of the process.
pub fn hang(stage: &Stage, balancer: &mut Balancer, question: &str) -> Result<u32> {
    let_hang(stage, question)?;
    balancer.signal(Signal::HUP)?;
    hung(stage)
}

/// Lets the next question of this kind hang.
pub fn let_hang(stage: &Stage, question: &str) -> Result<()> {
    let _ = fs::remove_file(stage.path("bin").join("asked"));
    fs::write(stage.path("bin").join("hangs"), format!("x{question}"))?;
    write_program(stage)
}

/// Waits until it does: the number of the process.
pub fn hung(stage: &Stage) -> Result<u32> {
    let asked = stage.path("bin").join("asked");
    let number = eventually(SOON, "the question to be asked", || fs::read_to_string(&asked).ok())?;
    number.trim().parse().context("a process id")
}

/// Lets what hangs go on, and no other question hang.
pub fn go_on(stage: &Stage) -> Result<()> {
    let folder = stage.path("bin");
    fs::write(folder.join("hangs"), "")?;
    // It reads to the end: there is a writer, and then there is none.
    fs::OpenOptions::new().write(true).open(folder.join("pipe")).context("opening the pipe")?;
    Ok(())
}

/// Whether it still hangs: it was neither killed nor reaped.
pub fn hangs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}

/// Does something while the question hangs. Clearway gives the question up after a while, so a machine that was asleep
/// meanwhile proves nothing, and it is tried again.
fn meanwhile(
    stage: &Stage,
    balancer: &mut Balancer,
    question: &str,
    mut what: impl FnMut(&Balancer) -> Result<()>,
) -> Result<()> {
    for _ in 0..3 {
        let pid = hang(stage, balancer, question)?;
        what(balancer)?;
        let in_time = hangs(pid);
        let position = balancer.log_position()?;
        fs::write(stage.path("bin").join("hangs"), "")?;
        if in_time {
            signal(pid, Signal::KILL)?;
            return Ok(());
        }
        write_program(stage)?;
        balancer.signal(Signal::HUP)?;
        balancer.wait_for_event(position, "generation.serving", &[], SOON)?;
    }
    anyhow::bail!("it was done only after the question to HAProxy (`{question}`) had been given up")
}

fn nothing_waits(name: &str, question: &str) -> Result<()> {
    let stage = stage(name)?;
    let mut balancer = start(&stage)?;
    meanwhile(&stage, &mut balancer, question, |balancer| {
        let status = stage.clearway(&["status"])?;
        assert_code(status.status, 0).with_context(|| complained(&status))?;
        ensure!(said(&status).contains(" serving"), "{}", said(&status));
        let position = balancer.log_position()?;
        signal(balancer.pid(), Signal::USR2)?;
        balancer.wait_for_log(position, "SIGUSR2", SOON)?;
        let children = balancer.haproxy_processes();
        balancer.kill_descendant(*children.first().context("no HAProxy")?)?;
        balancer.wait_for_event(position, "generation.crashed", &[], SOON)?;
        Ok(())
    })?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    // What ended meanwhile was reaped, whatever has started it.
    eventually(SOON, "no ended child to be left", || (!has_ended_child(balancer.pid())).then_some(()))?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn has_ended_child(parent: u32) -> bool {
    let ended = format!("Z {parent} ");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .any(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(&ended)))
}

fn one_that_hangs_at_its_version_keeps_nothing_waiting() -> Result<()> {
    nothing_waits("qu-v", "-v")
}

fn one_that_hangs_at_a_condition_keeps_nothing_waiting() -> Result<()> {
    nothing_waits("qu-cc", "-cc")
}

fn a_question_does_not_outlive_clearway() -> Result<()> {
    let stage = stage("qu-stop")?;
    let mut balancer = start(&stage)?;
    let pid = hang(&stage, &mut balancer, "-v")?;
    balancer.stop(Signal::KILL, SOON)?;
    eventually(SOON, "the question to end with Clearway", || (!hangs(pid)).then_some(()))
}

fn a_question_is_asked_without_rights() -> Result<()> {
    let stage = stage("qu-caps")?;
    let mut balancer = start(&stage)?;
    for question in ["-v", "-cc"] {
        let rights = fs::read_to_string(stage.path("bin").join(format!("rights{question}")))?;
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let line = rights.lines().find(|line| line.starts_with(set)).context("a set of capabilities")?;
            let none =
                line.split_whitespace().nth(1).is_some_and(|set| set.bytes().all(|digit| digit == b'0'));
            ensure!(none, "`haproxy {question}` has rights that it does not need: {line}");
        }
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// As many clients as the stats socket takes, and as many as may wait there, none of which says anything: they are
/// accepted as soon as a new generation accepts, and `stats maxconn` counts them together with Clearway's own
/// questions.
fn idle_clients_of_the_stats_socket_do_not_keep_a_generation_from_proving_itself() -> Result<()> {
    for threads in [1, 2, 16] {
        let stage = Stage::new("idlecli")?;
        let path = stage.path("stats.sock");
        let global = format!(
            "global\n    nbthread {threads}\n    stats socket {} level admin\n    stats timeout 1d\n",
            path.display()
        );
        stage.write(&format!("{global}{}", stage.plain()))?;
        let mut balancer = stage.start_with(&[], &[("CLEARWAY_READY_TIMEOUT", "5s")])?;
        let mut clients = Vec::new();
        for reload in 1..=10 {
            let came = fill(&path, &mut clients)?;
            ensure!(came > 10, "only {came} clients had to be accepted by the next generation");
            let output = stage.clearway(&["reload"])?;
            assert_code(output.status, 0).with_context(|| {
                format!("reload {reload} with {threads} thread(s): {}", complained(&output))
            })?;
        }
        drop(clients);
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

/// Connects until the queue is full: how many came.
fn fill(path: &std::path::Path, clients: &mut Vec<OwnedFd>) -> Result<usize> {
    let address = SocketAddrUnix::new(path)?;
    let before = clients.len();
    let mut full = 0;
    // HAProxy may still be accepting some of them.
    while full < 20 {
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => clients.push(socket),
            Err(rustix::io::Errno::AGAIN) => {
                full += 1;
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            Err(error) => return Err(error).context("connecting to the stats socket"),
        }
    }
    Ok(clients.len() - before)
}
