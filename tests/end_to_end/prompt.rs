//! Nothing waits in the event loop: while a program, a file, another Clearway or a client hangs, `GET /status` is answered
//! at once.
//!
//! A machine that is busy with something else is slow now and then, so of many answers a quarter is held to 50 ms, and
//! the longest to what no busy machine needs. What hangs here hangs until the test lets it go, so a loop that
//! waited for it would not answer at all.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, haproxy_program};
use clearway_lab::kernel::processes_in;
use clearway_lab::process::{copy_executable, write_executable};
use clearway_lab::wait::{eventually, patience};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Signal;

use crate::hung::Hung;
use crate::questions;
use crate::stage::{SOON, Stage, assert_code, complained, signal};
use crate::takeover::NAMED;

crate::tests![
    while_haproxy_hangs_at_its_version,
    while_haproxy_hangs_at_a_condition,
    while_haproxy_hangs_at_its_start,
    while_the_kernel_hangs_at_the_start_of_haproxy,
    one_that_cannot_be_executed_is_refused_with_the_reason,
    while_the_configuration_hangs,
    while_the_directory_of_the_pid_file_hangs,
    while_clients_of_the_admin_socket_do_not_read,
    while_successors_do_not_read,
    while_the_predecessor_says_nothing_more,
    while_a_holder_that_has_come_does_not_read,
    while_the_holder_from_before_does_not_read,
];

/// How many times the status is asked for, and how quickly it is answered at once.
const TIMES: usize = 20;
const AT_ONCE: Duration = Duration::from_millis(50);

/// Longer than a machine with something else to do needs for one answer.
const NEVER: Duration = Duration::from_secs(3);

/// The admin socket of the only Clearway of a stage.
fn admin_socket(stage: &Stage) -> Result<UnixStream> {
    let mut entries = fs::read_dir(stage.run_directory())?.flatten().map(|entry| entry.path());
    let path = entries.find(|path| path.extension().is_some_and(|end| end == "sock"));
    Ok(UnixStream::connect(path.context("no admin socket")?)?)
}

/// How long one answer takes.
fn asked(stage: &Stage) -> Result<Duration> {
    let begun = Instant::now();
    let mut stream = admin_socket(stage)?;
    stream.set_read_timeout(Some(SOON * patience()))?;
    stream.write_all(b"GET /status HTTP/1.1\r\nhost: clearway\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("no answer at all")?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(begun.elapsed())
}

/// Asserts that it is answered at once, again and again.
fn assert_prompt(stage: &Stage, while_what: &str) -> Result<()> {
    let mut took = (0..TIMES).map(|_| asked(stage)).collect::<Result<Vec<_>>>()?;
    took.sort_unstable();
    let [best, quick, median, longest] = [0, TIMES / 4, TIMES / 2, TIMES - 1].map(|place| took[place]);
    println!(
        "while {while_what}: {best:?} at best, {quick:?} a quarter, {median:?} a half, {longest:?} at worst"
    );
    ensure!(quick < AT_ONCE * patience() && longest < NEVER * patience(), "{while_what}: {took:?}");
    Ok(())
}

/// Asserts it while HAProxy, a script before it, hangs.
fn while_haproxy_hangs(name: &str, question: &str) -> Result<()> {
    let stage = questions::stage(name)?;
    let mut balancer = questions::start(&stage)?;
    let pid = questions::hang(&stage, &mut balancer, question)?;
    assert_prompt(&stage, &format!("HAProxy hangs at `{question}`"))?;
    ensure!(questions::hangs(pid), "it does not hang any more");
    signal(pid, Signal::KILL)?;
    balancer.stop(Signal::KILL, SOON).map(drop)
}

fn while_haproxy_hangs_at_its_version() -> Result<()> {
    while_haproxy_hangs("pr-v", "-v")
}

fn while_haproxy_hangs_at_a_condition() -> Result<()> {
    while_haproxy_hangs("pr-cc", "-cc")
}

fn while_haproxy_hangs_at_its_start() -> Result<()> {
    while_haproxy_hangs("pr-start", "-W")
}

/// A HAProxy whose file can be looked at, and which is to be interpreted by a file in a directory of its own.
fn start_interpreted(stage: &Stage) -> Result<(Balancer, PathBuf)> {
    stage.write(&stage.plain())?;
    let (folder, shells) = (stage.path("bin"), stage.path("shells"));
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(&shells)?;
    copy_executable(Path::new("/bin/sh"), &shells.join("sh"))?;
    let program = folder.join("haproxy");
    write_executable(&program, &format!("#!{}/sh\nexec {} \"$@\"\n", shells.display(), haproxy_program()))?;
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let balancer = stage.start_with(&[], &[("PATH", &path), ("CLEARWAY_READY_TIMEOUT", "3s")])?;
    Ok((balancer, shells))
}

/// A reload takes again.
fn assert_mended(stage: &Stage, mut balancer: Balancer) -> Result<()> {
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn while_the_kernel_hangs_at_the_start_of_haproxy() -> Result<()> {
    let stage = Stage::new("pr-exec")?;
    let (mut balancer, shells) = start_interpreted(&stage)?;
    let hung = Hung::over(shells)?;
    let position = balancer.log_position()?;
    balancer.signal(Signal::HUP)?;
    eventually(SOON, "a process that hangs in the kernel", || {
        processes_in(&stage.hosts.balancer).ok()?.into_iter().find(|(pid, _)| hangs_in_the_kernel(*pid))
    })?;
    assert_prompt(&stage, "the kernel hangs at the start of HAProxy")?;
    balancer.wait_for_event(position, "generation.failed", &[], SOON)?;
    drop(hung);
    assert_mended(&stage, balancer)
}

fn one_that_cannot_be_executed_is_refused_with_the_reason() -> Result<()> {
    let stage = Stage::new("pr-noexec")?;
    let (balancer, shells) = start_interpreted(&stage)?;
    fs::rename(shells.join("sh"), shells.join("elsewhere"))?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 69)?;
    let said = complained(&output);
    ensure!(said.contains("starting HAProxy: exec: No such file or directory"), "{said}");
    fs::rename(shells.join("elsewhere"), shells.join("sh"))?;
    assert_mended(&stage, balancer)
}

fn hangs_in_the_kernel(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('D')))
}

/// A pipe that is never written to, in the place of the file.
fn while_the_configuration_hangs() -> Result<()> {
    let stage = Stage::new("pr-pipe")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    fs::remove_file(stage.file())?;
    mknodat(CWD, stage.file(), FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    balancer.signal(Signal::HUP)?;
    balancer.wait_for_event(0, "reload.requested", &[("by", &"SIGHUP")], SOON)?;
    assert_prompt(&stage, "the configuration is a pipe that is never written to")?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Many requests of each, so that the answers do not fit into the socket.
fn while_the_directory_of_the_pid_file_hangs() -> Result<()> {
    let stage = Stage::new("pr-pid")?;
    stage.write(&stage.plain())?;
    let folder = stage.path("pids");
    fs::create_dir(&folder)?;
    let mut balancer = stage.start_with(&["-p", &folder.join("h.pid").display().to_string()], &[])?;
    let hung = Hung::over(folder)?;
    balancer.kill_descendant(*balancer.haproxy_processes().first().context("no HAProxy")?)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    assert_prompt(&stage, "the directory of the pid file hangs")?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    drop(hung);
    stage.assert_clean()
}

fn while_clients_of_the_admin_socket_do_not_read() -> Result<()> {
    let stage = Stage::new("pr-client")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = admin_socket(&stage)?;
        client.set_nonblocking(true)?;
        let requests = b"GET /status HTTP/1.1\r\nhost: clearway\r\n\r\n".repeat(200);
        // What does not fit any more is not needed.
        let _ = client.write_all(&requests);
        clients.push(client);
    }
    assert_prompt(&stage, "five clients do not read their answers")?;
    drop(clients);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn packets() -> Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Where a Clearway of the name, or its holder, is asked for sockets.
fn door(of: &str) -> Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new_abstract_name(format!("clearway/web/{of}").as_bytes())?)
}

/// Says at the door of the Clearway what it is, and nothing more; reads nothing.
fn knock(stage: &Stage, role: &str) -> Result<OwnedFd> {
    let hello = format!(r#"{{"message":"hello","protocol":1,"lowest":1,"version":"test","role":"{role}"}}"#);
    stage.hosts.balancer.enter(|| {
        let socket = packets()?;
        rustix::net::connect(&socket, &door("takeover")?)?;
        rustix::net::send(&socket, hello.as_bytes(), SendFlags::NOSIGNAL)?;
        Ok(socket)
    })?
}

/// A configuration with so many servers that what is known of them fills a connection several times.
fn with_many_servers(stage: &Stage) -> String {
    format!("{}backend many\n    server-template s 3000 127.0.0.1:9\n", stage.plain())
}

fn while_successors_do_not_read() -> Result<()> {
    let stage = Stage::new("pr-succ")?;
    stage.write(&with_many_servers(&stage))?;
    let mut balancer = stage.start_with(&[], &[NAMED])?;
    let first = knock(&stage, "successor")?;
    balancer.wait_for_event(0, "takeover.requested", &[("takeover", &1)], SOON)?;
    let more = (0..5).map(|_| knock(&stage, "successor")).collect::<Result<Vec<_>>>()?;
    assert_prompt(&stage, "a successor does not read")?;
    balancer.wait_for_event(0, "takeover.sockets-not-sent", &[], SOON)?;
    drop((first, more));
    eventually(SOON, "it to serve as before", || {
        stage.clearway(&["reload"]).ok()?.status.success().then_some(())
    })?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Asserts it while Clearway has been welcomed, without a single socket, by something that neither reads nor says
/// anything from then on.
fn while_the_other_end_is_silent(
    stage: &Stage,
    of: &str,
    meanwhile: impl FnOnce(&mut Balancer) -> Result<()>,
    in_the_end: &str,
) -> Result<()> {
    let listening = stage.hosts.balancer.enter(|| {
        let socket = packets()?;
        rustix::net::bind(&socket, &door(of)?)?;
        rustix::net::listen(&socket, 1)?;
        anyhow::Ok(socket)
    })??;
    let mut balancer = stage.launch(&[], &[NAMED])?;
    let conversation = rustix::net::accept(&listening)?;
    rustix::net::recv(&conversation, &mut [0_u8; 4096], RecvFlags::empty())?;
    let welcome = r#"{"message":"welcome","protocol":1,"version":"test","sockets":0}"#;
    rustix::net::send(&conversation, welcome.as_bytes(), SendFlags::NOSIGNAL)?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    meanwhile(&mut balancer)?;
    assert_prompt(stage, &format!("the other end of `{of}` is silent"))?;
    balancer.wait_for_log(0, in_the_end, SOON)?;
    drop((conversation, listening));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn while_the_predecessor_says_nothing_more() -> Result<()> {
    let stage = Stage::new("pr-pred")?;
    stage.write(&stage.plain())?;
    let lock = SocketAddr::from_abstract_name("clearway/web")?;
    let lock = stage.hosts.balancer.enter(|| UnixListener::bind_addr(&lock))??;
    while_the_other_end_is_silent(&stage, "takeover", |_| Ok(()), " serves, worker ")?;
    drop(lock);
    Ok(())
}

fn reload_often(stage: &Stage) -> Result<()> {
    (0..3).try_for_each(|_| assert_code(stage.clearway(&["reload", "--instance", "web"])?.status, 0))
}

fn while_a_holder_that_has_come_does_not_read() -> Result<()> {
    let stage = Stage::new("pr-came")?;
    stage.write(&with_many_servers(&stage))?;
    let mut balancer = stage.start_with(&[], &[NAMED])?;
    let holder = knock(&stage, "holder")?;
    balancer.wait_for_event(0, "holder.connected", &[], SOON)?;
    reload_often(&stage)?;
    assert_prompt(&stage, "a holder does not read")?;
    balancer.wait_for_event(0, "holder.given-up", &[], SOON)?;
    drop(holder);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn while_the_holder_from_before_does_not_read() -> Result<()> {
    let stage = Stage::new("pr-hold")?;
    stage.write(&with_many_servers(&stage))?;
    while_the_other_end_is_silent(&stage, "hold", |_| reload_often(&stage), "is given up: no answer within")
}
