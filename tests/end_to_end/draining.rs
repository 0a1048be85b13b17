//! An old generation that drains: what it costs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_lab::load::{Expect, Plan};
use clearway_lab::process::Facts;
use clearway_lab::session::{Session, State};
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, assert_nobody_lost};
use crate::transaction::only_the_newest_listens;

crate::tests![a_generation_that_nobody_talks_to_burns_nothing, it_burns_nothing_while_others_connect,];

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
fn a_generation_that_nobody_talks_to_burns_nothing() -> Result<()> {
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

/// Its sockets are open as long as Clearway holds them, and the kernel goes on telling of new clients whoever has not
/// taken them out of its poller: 2.6 without a master (`-W`) spent a third of a processor on that here.
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
    assert_nobody_lost(&report, 200)?;
    ensure!(session.beat() == State::Alive, "it was not there any more");
    drop(session);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
