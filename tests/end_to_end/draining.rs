//! An old generation that drains: what it costs, and what its clients see.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_lab::keep_alive::{Asking, Heard, KeepAlive};
use clearway_lab::load::{Expect, Plan};
use clearway_lab::process::Facts;
use clearway_lab::server::{Mode, Server};
use clearway_lab::session::{Session, State};
use clearway_lab::topology::Family;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, assert_no_client_lost};
use crate::transaction::only_the_newest_listens;

crate::tests![
    a_generation_without_a_request_burns_nothing,
    it_burns_nothing_while_others_connect,
    every_request_on_a_kept_connection_is_answered,
    it_answers_once_more_where_idle_connections_may_stay,
    it_closes_idle_connections_properly,
];

/// HTTP beside what a stage has: servers, and the addresses where HAProxy listens for them.
pub struct Http {
    /// IPv4 and IPv6.
    pub fronts: [SocketAddr; 2],
    /// What belongs into the configuration.
    pub text: String,
    _servers: Vec<Server>,
}

/// Where idle connections may stay until their next answer: what the manual calls for, so that no request meets the
/// end of its connection.
pub const MAY_STAY: &str = "option idle-close-on-response";

/// Where HAProxy and the servers speak HTTP.
const PORT: u16 = 8081;

impl Http {
    /// Frontends for both families, with this option or none.
    pub fn beside(stage: &Stage, option: &str) -> Result<Self> {
        let servers = stage.hosts.start_servers(PORT, Mode::Http)?;
        let fronts = stage.fronts().map(|front| SocketAddr::new(front.ip(), PORT));
        let mut text = String::new();
        for (index, (front, family)) in fronts.into_iter().zip(Family::BOTH).enumerate() {
            let server = SocketAddr::new(stage.hosts.servers(family)[0], PORT);
            let v6only = if front.is_ipv6() { " v6only" } else { "" };
            write!(
                text,
                "listen h{index}\n    mode http\n    {option}\n    bind {front}{v6only}\n    server s {server}\n"
            )?;
        }
        Ok(Self { fronts, text, _servers: servers })
    }

    /// A connection to each frontend, each with an answer behind it.
    pub fn connections(&self, stage: &Stage) -> Result<Vec<KeepAlive>> {
        let open = |front: &SocketAddr| {
            let mut connection = KeepAlive::open(&stage.hosts.client, *front)?;
            let heard = connection.ask();
            ensure!(heard == Heard::Answered, "the first answer of {front}: {heard:?}");
            Ok(connection)
        };
        self.fronts.iter().map(open).collect()
    }
}

/// The time of processors that these have used.
fn processor_time(processes: &[u32]) -> Result<Duration> {
    let ticks: Result<Vec<u64>> = processes.iter().map(|pid| Ok(Facts::of(*pid)?.cpu_ticks)).collect();
    Ok(Duration::from_millis(ticks?.into_iter().sum::<u64>() * 10))
}

/// Some time, and what processes have used of it.
#[derive(Debug)]
struct Span {
    burnt: Duration,
    took: Duration,
}

impl Span {
    fn of(processes: &[u32]) -> Result<Self> {
        let (before, begun) = (processor_time(processes)?, Instant::now());
        std::thread::sleep(Duration::from_secs(1)); // what is used in this time counts
        let burnt = processor_time(processes)?.saturating_sub(before);
        Ok(Self { burnt, took: begun.elapsed() })
    }
}

/// What a generation has from Clearway must not look closed to it, or it is told so all the time.
fn a_generation_without_a_request_burns_nothing() -> Result<()> {
    let stage = Stage::new("idle")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    // The second time there is one that drains as well.
    for generations in 1..3 {
        let processes = balancer.haproxy_processes();
        ensure!(processes.len() == 2 * generations, "{processes:?}");
        // A master has still to do for a moment when its worker serves, so one of the spans has to be quiet.
        let spans: Vec<Span> = (0..3).map(|_| Span::of(&processes)).collect::<Result<_>>()?;
        let quiet = |span: &Span| span.burnt * 50 < span.took;
        ensure!(spans.iter().any(quiet), "{generations} generation(s) used {spans:?}");
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        only_the_newest_listens(&stage, &balancer)?;
    }
    drop(session);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Its sockets are open as long as Clearway holds them, and the kernel goes on reporting new clients to a process that
/// has not taken them out of its poller: 2.6 without a master (`-W`) spent a third of a processor on that here.
fn it_burns_nothing_while_others_connect() -> Result<()> {
    let stage = Stage::new("burns")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let former = balancer.haproxy_processes();
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    only_the_newest_listens(&stage, &balancer)?;
    let before = processor_time(&former).context("of the old generation")?;
    let begun = Instant::now();
    let plan = Plan::closed(&stage.fronts(), 32, Duration::from_secs(4))
        .from(stage.hosts.client_addresses())
        .expecting(Expect::Anything)
        .patient_for(Duration::from_secs(10));
    let report = clearway_lab::load::start(&stage.hosts.client, plan)?.wait()?;
    let (burnt, took) = (processor_time(&former)?.saturating_sub(before), begun.elapsed());
    ensure!(burnt * 20 < took, "the old generation used {burnt:?} of {took:?} in which others connected");
    assert_no_client_lost(&report)?;
    ensure!(session.beat() == State::Alive, "it was not there any more");
    drop(session);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn every_request_on_a_kept_connection_is_answered() -> Result<()> {
    let stage = Stage::new("asking")?;
    let http = Http::beside(&stage, MAY_STAY)?;
    stage.write(&(stage.plain() + &http.text))?;
    let mut balancer = stage.start()?;
    let asking = Asking::start(&stage.hosts.client, &http.fronts, 8, Duration::from_millis(2));
    for _ in 0..10 {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    let report = asking.finish()?;
    ensure!(report.lost.is_empty(), "lost: {report:?}");
    ensure!(report.closed_before == 0, "an idle connection did not stay: {report:?}");
    // Each of the 16 clients met several of the reloads.
    ensure!(report.answered > 100 && report.last >= 32, "too little was tried: {report:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn it_answers_once_more_where_idle_connections_may_stay() -> Result<()> {
    let stage = Stage::new("stay")?;
    let http = Http::beside(&stage, MAY_STAY)?;
    stage.write(&(stage.plain() + &http.text))?;
    let mut balancer = stage.start()?;
    let (mut idle, mut asking) = (http.connections(&stage)?, http.connections(&stage)?);
    asking.iter_mut().try_for_each(KeepAlive::begin)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    only_the_newest_listens(&stage, &balancer)?;
    for connection in idle.iter_mut().chain(&mut asking) {
        let heard = connection.ask();
        ensure!(heard == Heard::Last, "{heard:?}");
    }
    // Nothing else kept it.
    balancer.wait_for_event(0, "generation.drained", &[("generation", &1)], SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// As HAProxy does by itself. A request that is on its way at that moment is lost, also under `haproxy -W`: that is
/// what the option is for.
fn it_closes_idle_connections_properly() -> Result<()> {
    let stage = Stage::new("idleclose")?;
    let http = Http::beside(&stage, "")?;
    stage.write(&(stage.plain() + &http.text))?;
    let mut balancer = stage.start()?;
    let mut idle = http.connections(&stage)?;
    let mut asking = http.connections(&stage)?;
    asking.iter_mut().try_for_each(KeepAlive::begin)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    only_the_newest_listens(&stage, &balancer)?;
    // A request that has begun to arrive is answered nevertheless.
    for connection in &mut asking {
        let heard = connection.ask();
        ensure!(heard == Heard::Last, "{heard:?}");
    }
    balancer.wait_for_event(0, "generation.drained", &[("generation", &1)], SOON)?;
    for connection in &mut idle {
        eventually(SOON, "the end to arrive", || connection.is_closed().ok()?.then_some(()))?;
        let heard = connection.ask();
        ensure!(heard == Heard::ClosedBefore, "{heard:?}");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
