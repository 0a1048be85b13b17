//! `on-marked-down shutdown-sessions` counts for sessions of old generations, too, although these make no checks any more
//! (haproxy #3330).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::server::{Mode, Server};
use clearway_lab::session::{Session, State};
use clearway_lab::topology::Family;
use clearway_lab::wait::{eventually, patience};
use rustix::process::Signal;

use crate::sessions::{generation, json, told};
use crate::stage::{PORT, SOON, Stage, assert_code, complained, signal};

crate::tests![
    sessions_of_an_old_generation_end_when_their_server_goes_down,
    the_file_of_the_old_generation_says_so,
    a_server_that_was_moved_takes_no_session_along,
    what_a_crash_leaves_is_looked_after_by_the_next_generation,
    an_old_generation_that_hangs_is_asked_again,
    hundreds_of_sessions_end,
];

/// Where checks find out whether a server is up: its clients are served elsewhere.
const CHECK: u16 = 8090;

/// As a server says it.
const ENDS: &str = "on-marked-down shutdown-sessions";

/// Within so long a session ends whose server goes down.
fn seconds() -> Duration {
    Duration::from_secs(5) * patience()
}

/// A file of proxies.
struct File<'a> {
    stage: &'a Stage,
    text: String,
}

impl<'a> File<'a> {
    fn new(stage: &'a Stage) -> Self {
        Self { stage, text: stage.plain() }
    }

    /// A proxy with a server that is checked at this port.
    fn proxy(mut self, name: &str, at: SocketAddr, check: u16, options: &str) -> Self {
        let family = if at.is_ipv4() { Family::V4 } else { Family::V6 };
        let server = SocketAddr::new(self.stage.hosts.servers(family)[0], PORT);
        let v6only = if at.is_ipv6() { " v6only" } else { "" };
        let _ = write!(
            self.text,
            "listen {name}\n    bind {at}{v6only}\n    \
             server s1 {server} check port {check} inter 200ms fall 1 rise 1 {options}\n"
        );
        self
    }

    fn defaults(mut self, options: &str) -> Self {
        let _ = write!(
            self.text,
            "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n    {options}\n"
        );
        self
    }

    fn write(self) -> Result<()> {
        self.stage.write(&self.text)
    }
}

/// Places for further proxies.
fn places(stage: &Stage) -> impl Fn(u16) -> SocketAddr + use<> {
    let [v4, _]: [IpAddr; 2] = stage.hosts.front();
    move |number| SocketAddr::new(v4, 8100 + number)
}

fn checked(stage: &Stage) -> Result<Vec<Server>> {
    stage.hosts.start_servers(CHECK, Mode::Line)
}

fn open(stage: &Stage, at: SocketAddr) -> Result<Session> {
    Session::open(&stage.hosts.client, at, None)
}

fn reload(stage: &Stage) -> Result<()> {
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))
}

/// A generation that drains beside another one, for a session with a server that is checked.
struct Drains {
    /// Dropped, the server goes down.
    checks: Vec<Server>,
    balancer: Balancer,
    session: Session,
}

impl Drains {
    fn beside_another(stage: &Stage) -> Result<Self> {
        let at = places(stage);
        File::new(stage).proxy("p", at(1), CHECK, ENDS).write()?;
        let checks = checked(stage)?;
        let balancer = stage.start()?;
        let session = open(stage, at(1))?;
        reload(stage)?;
        Ok(Self { checks, balancer, session })
    }
}

/// The worker of a generation.
fn worker(stage: &Stage, number: u64) -> Result<u32> {
    let status = told(|| json(stage, &["status"]))?;
    let worker = generation(&status, number)?["worker"].as_u64().context("no worker")?;
    Ok(u32::try_from(worker)?)
}

/// Waits until Clearway has ended so many sessions.
fn wait_until_ended(balancer: &Balancer, generation: u32, server: &str, sessions: usize) -> Result<()> {
    let fields: &[(&str, &dyn std::fmt::Display)] =
        &[("generation", &generation), ("server", &server), ("sessions", &sessions)];
    balancer.wait_for_event(0, "generation.server-down", fields, seconds()).map(drop)
}

fn assert_alive(session: &mut Session, what: &str) -> Result<()> {
    let state = session.beat();
    ensure!(state == State::Alive, "{what}: {state:?}");
    Ok(())
}

fn assert_ended(session: &mut Session, what: &str) -> Result<()> {
    let state = session.beat();
    ensure!(matches!(state, State::Closed | State::Reset), "{what}: {state:?}");
    Ok(())
}

fn sessions_of_an_old_generation_end_when_their_server_goes_down() -> Result<()> {
    let stage = Stage::new("mdends")?;
    let (at, six) = (places(&stage), SocketAddr::new(stage.hosts.front()[1], 8101));
    let proxies = File::new(&stage)
        .proxy("ends", at(1), CHECK, ENDS)
        .proxy("ends6", six, CHECK, ENDS)
        .proxy("silent", at(2), CHECK, "")
        .proxy("fine", at(3), PORT, ENDS)
        .defaults(&format!("default-server {ENDS}"));
    proxies.proxy("inherits", at(4), CHECK, "").write()?;
    let checks = checked(&stage)?;
    let mut balancer = stage.start()?;
    let [mut ends, mut silent, mut fine, mut inherits] =
        [open(&stage, at(1))?, open(&stage, at(2))?, open(&stage, at(3))?, open(&stage, at(4))?];
    let mut ends6 = open(&stage, six)?;
    reload(&stage)?;
    let mut new = open(&stage, at(2))?;
    for session in [&mut ends, &mut ends6, &mut silent, &mut fine, &mut inherits] {
        assert_alive(session, "after the reload")?;
    }
    drop(checks);
    for server in ["ends/s1", "ends6/s1", "inherits/s1"] {
        wait_until_ended(&balancer, 1, server, 1)?;
    }
    assert_ended(&mut ends, "its server is down")?;
    assert_ended(&mut ends6, "its server is down")?;
    assert_ended(&mut inherits, "its server is down")?;
    // It comes up again, and goes down once more.
    let again = checked(&stage)?;
    let back = eventually(SOON, "the server to be up again", || open(&stage, at(1)).ok())?;
    drop((back, again));
    eventually(SOON, "it to be down again", || open(&stage, at(1)).is_err().then_some(()))?;
    for (session, what) in [(&mut silent, "the file does not say so"), (&mut fine, "its server is up")] {
        assert_alive(session, what)?;
    }
    assert_alive(&mut new, "HAProxy was not told to end it")?;
    let all = balancer.events("generation.server-down", &[])?;
    ensure!(all.len() == 3, "{all:?}");
    drop((silent, fine, new));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Without the state of servers being carried over, and with a HAProxy that says nothing.
fn the_file_of_the_old_generation_says_so() -> Result<()> {
    let stage = Stage::new("mdold")?;
    let at = places(&stage);
    let write = |options| File::new(&stage).proxy("p", at(1), CHECK, options).write();
    write("")?;
    let checks = checked(&stage)?;
    let mut balancer = stage.start_with(&["-q"], &[("CLEARWAY_CARRY", "off")])?;
    let mut first = open(&stage, at(1))?;
    write(ENDS)?;
    reload(&stage)?;
    let mut second = open(&stage, at(1))?;
    write("")?;
    reload(&stage)?;
    drop(checks);
    wait_until_ended(&balancer, 2, "p/s1", 1)?;
    assert_ended(&mut second, "its file says so")?;
    assert_alive(&mut first, "its file does not say so")?;
    let all = balancer.events("generation.server-down", &[])?;
    ensure!(all.len() == 1, "{all:?}");
    drop((first, second));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The new file has the name for a server elsewhere, which is down: the old one goes on.
fn a_server_that_was_moved_takes_no_session_along() -> Result<()> {
    let stage = Stage::new("mdmoved")?;
    let at = places(&stage);
    let file = || File::new(&stage).proxy("same", at(2), CHECK, ENDS).proxy("moved", at(1), CHECK, ENDS);
    file().write()?;
    let checks = checked(&stage)?;
    let mut balancer = stage.start()?;
    let (mut same, mut moved) = (open(&stage, at(2))?, open(&stage, at(1))?);
    let servers = stage.hosts.servers(Family::V4);
    let text = file().text;
    let (before, after) = text.split_once("listen moved").context("no such proxy")?;
    let elsewhere = after.replace(&servers[0].to_string(), &servers[1].to_string());
    stage.write(&format!("{before}listen moved{elsewhere}"))?;
    reload(&stage)?;
    drop(checks);
    wait_until_ended(&balancer, 1, "same/s1", 1)?;
    eventually(SOON, "the other one to be down", || open(&stage, at(1)).is_err().then_some(()))?;
    assert_ended(&mut same, "its server is down")?;
    std::thread::sleep(Duration::from_secs(2));
    assert_alive(&mut moved, "another server is down")?;
    drop((same, moved));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn what_a_crash_leaves_is_looked_after_by_the_next_generation() -> Result<()> {
    let stage = Stage::new("mdcrash")?;
    let Drains { checks, mut balancer, mut session } = Drains::beside_another(&stage)?;
    let worker = worker(&stage, 2)?;
    signal(worker, Signal::SEGV)?;
    balancer.wait_for_event(0, "generation.serving", &[("generation", &3)], SOON)?;
    assert_alive(&mut session, "another generation has crashed")?;
    drop(checks);
    wait_until_ended(&balancer, 1, "p/s1", 1)?;
    assert_ended(&mut session, "its server is down")?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn an_old_generation_that_hangs_is_asked_again() -> Result<()> {
    let stage = Stage::new("mdhangs")?;
    let Drains { checks, mut balancer, mut session } = Drains::beside_another(&stage)?;
    let worker = worker(&stage, 1)?;
    signal(worker, Signal::STOP)?;
    drop(checks);
    let said = balancer.wait_for_event(0, "found.old-sessions", &[], SOON)?;
    ensure!(said["detail"].as_str().is_some_and(|why| why.starts_with("generation 1: ")), "{said}");
    // The others do not wait for it.
    assert_code(stage.clearway(&["health"])?.status, 0)?;
    signal(worker, Signal::CONT)?;
    balancer.wait_for_event(0, "generation.server-down", &[("generation", &1), ("sessions", &1)], SOON)?;
    assert_ended(&mut session, "its server is down")?;
    let all = balancer.events("found.old-sessions", &[])?;
    ensure!(all.len() == 1, "said again and again: {all:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn hundreds_of_sessions_end() -> Result<()> {
    const SESSIONS: usize = 500;
    let stage = Stage::new("mdmany")?;
    let at = places(&stage);
    File::new(&stage).proxy("p", at(1), CHECK, ENDS).proxy("fine", at(2), PORT, ENDS).write()?;
    let checks = checked(&stage)?;
    let mut balancer = stage.start()?;
    let sessions: Result<Vec<Session>> = (0..SESSIONS).map(|_| open(&stage, at(1))).collect();
    let mut sessions = sessions?;
    let mut fine = open(&stage, at(2))?;
    reload(&stage)?;
    drop(checks);
    wait_until_ended(&balancer, 1, "p/s1", SESSIONS)?;
    for session in &mut sessions {
        assert_ended(session, "its server is down")?;
    }
    assert_alive(&mut fine, "its server is up")?;
    drop(fine);
    balancer.wait_for_event(0, "generation.drained", &[("generation", &1)], SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
