//! Under a service manager as systemd is one: it hears what happens, keeps the listening sockets while the unit is
//! restarted, and hands them to the next process. Here the test plays systemd, by its rules (`sd_notify(3)`,
//! `sd_listen_fds(3)`).

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::{Ask, Class, Expect, RunningLoad, ask_once};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{
    SOON, Stage, assert_code, assert_no_client_lost, assert_only_accepted_ones_lost, complained,
};

mod manager;

use manager::Manager;

crate::tests![
    systemd_hears_what_happens,
    a_restart_of_the_unit_refuses_no_client,
    a_killed_unit_refuses_no_client,
    the_store_follows_the_configuration,
    a_stop_with_release_empties_the_store,
    sockets_of_a_socket_unit_stay_where_they_are,
    what_is_not_usable_is_let_go,
];

const QUICK: (&str, &str) = ("CLEARWAY_DRAIN_TIMEOUT", "2s");

/// How a connection to the first front goes, once.
fn refused(stage: &Stage) -> Result<bool> {
    let ask = || ask_once(stage.fronts()[0], Ask::Line, Duration::from_secs(1)) == Err(Class::Refused);
    stage.hosts.client.enter(ask)
}

/// No process has the sockets any more. A child that another test has just forked may have them until its exec.
fn wait_until_refused(stage: &Stage) -> Result<()> {
    eventually(SOON, "clients to be refused", || refused(stage).ok()?.then_some(()))
}

/// Clients that wait for as long as a restart takes.
fn patient_load(stage: &Stage) -> Result<RunningLoad> {
    let plan = stage.load(200.0, Duration::from_mins(2)).expecting(Expect::Anything);
    clearway_lab::load::start(&stage.hosts.client, plan.patient_for(Duration::from_secs(20)))
}

/// Waits until so many more have been served.
fn wait_for_more(load: &RunningLoad, more: u64) -> Result<()> {
    let wanted = load.progress().0 + more;
    eventually(SOON, "clients to be served", || (load.progress().0 >= wanted).then_some(()))
}

fn stop(mut balancer: Balancer) -> Result<()> {
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn systemd_hears_what_happens() -> Result<()> {
    let stage = Stage::new("sdhear")?;
    stage.write(&stage.plain())?;
    let mut manager = Manager::new(&stage)?;
    let balancer = manager.start(&stage, &[QUICK])?;
    let ready = manager.wait_for("READY=1")?;
    ensure!(ready.contains("STATUS=generation 1 serves"), "{ready}");
    ensure!(manager.store.len() == 2, "ready, with {} of 2 sockets in the store", manager.store.len());
    ensure!(manager.heard[0].starts_with("STATUS="), "{:?}", manager.heard);
    for (file, end) in
        [(stage.plain(), "STATUS=generation 2 serves"), ("nonsense".to_owned(), "STATUS=generation 3 failed")]
    {
        manager.heard.clear();
        stage.write(&file)?;
        stage.clearway(&["reload"])?;
        let ready = manager.wait_for("READY=1")?;
        ensure!(ready.contains(end), "{ready}");
        let asked =
            manager.heard.iter().find(|message| message.contains("RELOADING=1")).context("no reload")?;
        let stamp = asked.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        ensure!(stamp.is_some_and(|stamp| stamp.parse::<u64>().is_ok()), "{asked}");
    }
    for pid in balancer.haproxy_processes() {
        let environment = std::fs::read(format!("/proc/{pid}/environ"))?;
        let environment = String::from_utf8_lossy(&environment);
        for name in ["NOTIFY_SOCKET", "LISTEN_", "FDSTORE"] {
            ensure!(!environment.contains(name), "pid {pid}: {environment}");
        }
    }
    stop(balancer)?;
    manager.wait_for("STOPPING=1")?;
    manager.wait_for("STATUS=stopped")?;
    ensure!(manager.store.len() == 2, "it may have been a restart, and the store has been emptied");
    drop(manager);
    stage.assert_clean()
}

fn a_restart_of_the_unit_refuses_no_client() -> Result<()> {
    let stage = Stage::new("sdrestart")?;
    stage.write(&stage.plain())?;
    let mut manager = Manager::new(&stage)?;
    let mut balancer = manager.start(&stage, &[QUICK])?;
    manager.wait_for("READY=1")?;
    let inodes = manager.inodes()?;
    let load = patient_load(&stage)?;
    for _ in 0..5 {
        wait_for_more(&load, 50)?;
        stop(balancer)?;
        manager.heard.clear();
        balancer = manager.start(&stage, &[QUICK])?;
        balancer.wait_for_event(0, "socket.kept-used", &[("sockets", &2), ("by", &"systemd")], SOON)?;
        balancer.wait_for_event(0, "generation.serving", &[("adopted", &2)], SOON)?;
        manager.wait_for("READY=1")?;
        ensure!(manager.inodes()? == inodes, "other sockets: {inodes:?}, {:?}", manager.inodes()?);
        ensure!(manager.heard.iter().all(|text| !text.contains("FDSTORE")), "{:?}", manager.heard);
    }
    assert_no_client_lost(&load.finish_after(250)?)?;
    stop(balancer)?;
    ensure!(!refused(&stage)?, "the store has the sockets, and they are closed");
    // The unit is down for good: systemd closes what it has.
    drop(manager);
    wait_until_refused(&stage)?;
    stage.assert_clean()
}

fn a_killed_unit_refuses_no_client() -> Result<()> {
    let stage = Stage::new("sdkill")?;
    stage.write(&stage.plain())?;
    let mut manager = Manager::new(&stage)?;
    let mut balancer = manager.start(&stage, &[QUICK])?;
    manager.wait_for("READY=1")?;
    let load = patient_load(&stage)?;
    for _ in 0..3 {
        // Those that have waited are served: HAProxy accepts them all at once, and would take them along.
        wait_for_more(&load, 300)?;
        balancer.signal(Signal::KILL)?;
        balancer.wait_exit(SOON)?;
        balancer = manager.start(&stage, &[QUICK])?;
        balancer.wait_for_event(0, "generation.serving", &[("adopted", &2)], SOON)?;
    }
    assert_only_accepted_ones_lost(&load.finish_after(30)?, 3)?;
    stop(balancer)?;
    drop(manager);
    stage.assert_clean()
}

fn the_store_follows_the_configuration() -> Result<()> {
    let stage = Stage::new("sdfollow")?;
    let plain = stage.plain();
    let local = |port: u16| format!("{plain}listen more\n    bind 127.0.0.1:{port} interface lo\n");
    stage.write(&local(7001))?;
    let mut manager = Manager::new(&stage)?;
    let balancer = manager.start(&stage, &[QUICK])?;
    manager.wait_for("READY=1")?;
    let names = manager.names();
    ensure!(names.len() == 3 && names.iter().any(|name| name.contains("/lo/")), "{names:?}");
    stage.write(&local(7002))?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    manager.wait_for("FDSTOREREMOVE=1")?;
    manager.wait_for("READY=1")?;
    let changed = manager.names();
    let same = names.iter().filter(|name| changed.contains(name)).count();
    ensure!(changed.len() == 3 && same == 2, "{names:?}, {changed:?}");
    // What the store does not tell by the socket itself, the name of the interface, comes back too.
    stop(balancer)?;
    let balancer = manager.start(&stage, &[QUICK])?;
    balancer.wait_for_event(0, "generation.serving", &[("adopted", &3)], SOON)?;
    stop(balancer)?;
    drop(manager);
    stage.assert_clean()
}

fn a_stop_with_release_empties_the_store() -> Result<()> {
    let stage = Stage::new("sdrelease")?;
    stage.write(&stage.plain())?;
    let mut manager = Manager::new(&stage)?;
    let mut balancer = manager.start(&stage, &[QUICK])?;
    manager.wait_for("READY=1")?;
    let output = stage.clearway(&["stop", "--release"])?;
    ensure!(output.status.success(), "{}", complained(&output));
    assert_code(balancer.wait_exit(SOON)?, 0)?;
    manager.wait_for("STATUS=stopped")?;
    ensure!(manager.store.is_empty(), "{:?}", manager.names());
    wait_until_refused(&stage)?;
    stage.assert_clean()
}

fn sockets_of_a_socket_unit_stay_where_they_are() -> Result<()> {
    let stage = Stage::new("sdunit")?;
    let front = SocketAddr::new(stage.fronts()[0].ip(), 9090);
    let server = SocketAddr::new(stage.hosts.servers(clearway_lab::topology::Family::V4)[0], 8080);
    stage.write(&format!("{}listen unit\n    bind fd@3\n    server s {server}\n", stage.plain()))?;
    let listener = stage.hosts.balancer.enter(|| TcpListener::bind(front))??;
    let mut manager = Manager::new(&stage)?;
    manager.socket_unit.push(("web".to_owned(), OwnedFd::from(listener)));
    let answers = || -> Result<bool> {
        let ask = || ask_once(front, Ask::Line, SOON).is_ok();
        stage.hosts.client.enter(ask)
    };
    let mut balancer = manager.start(&stage, &[QUICK])?;
    manager.wait_for("READY=1")?;
    for _ in 0..2 {
        ensure!(answers()?, "no process accepts from the socket of the socket unit");
        ensure!(manager.store.len() == 2, "{:?}", manager.names());
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        ensure!(answers()?, "no process accepts from the socket of the socket unit after a reload");
        stop(balancer)?;
        manager.heard.clear();
        balancer = manager.start(&stage, &[QUICK])?;
        balancer.wait_for_event(0, "socket.kept-used", &[("sockets", &2), ("by", &"systemd")], SOON)?;
        // HAProxy says nothing of the third one: it never hands on what it was given by number.
        balancer.wait_for_event(0, "generation.serving", &[("adopted", &2)], SOON)?;
        manager.wait_for("READY=1")?;
    }
    stop(balancer)?;
    drop(manager);
    stage.assert_clean()
}

fn what_is_not_usable_is_let_go() -> Result<()> {
    let stage = Stage::new("sdelse")?;
    stage.write(&stage.plain())?;
    let mut manager = Manager::new(&stage)?;
    // Of another network namespace, as after a change of PrivateNetwork=.
    let front = stage.fronts()[0];
    let elsewhere = stage.hosts.client.enter(|| TcpListener::bind(("127.0.0.1", front.port())))??;
    manager.store.push(("clearway/1/17//".to_owned(), OwnedFd::from(elsewhere)));
    let balancer = manager.start(&stage, &[QUICK])?;
    balancer.wait_for_event(0, "socket.kept-unusable", &[("by", &"systemd")], SOON)?;
    manager.wait_for("READY=1")?;
    let names = manager.names();
    ensure!(names.len() == 2 && !names.contains(&"clearway/1/17//".to_owned()), "{names:?}");
    ensure!(!refused(&stage)?, "it does not serve");
    stop(balancer)?;
    drop(manager);
    stage.assert_clean()
}
