//! The steps of the demo, each with the claims that it checks.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::progress::Progress;
use super::stage::{Stage, front};
use super::table::Claims;
use super::{DEADLINE, Options};
use crate::balancer::Balancer;
use crate::kernel::{Snapshot, processes_in};
use crate::load::{self, Ask, Class, Expect, Plan, ask_once};
use crate::session::{KeptSession, Session, State};
use crate::topology::Family;
use crate::wait::{eventually, eventually_because};

/// How long a reload leaves the next one waiting.
const BETWEEN_RELOADS: Duration = Duration::from_millis(400);
/// What no version of HAProxy understands.
const NONSENSE: &str = "teleport all clients";

/// The servers say which address they see.
pub(super) fn addresses(stage: &Stage, claims: &mut Claims) {
    for family in Family::BOTH {
        let seen = stage.session(family).map(|session| {
            format!("the client {0}; server {1} saw {0}", session.peer_seen(), session.server())
        });
        claims.add(
            &format!("The server sees the client's own address (IP{family:?})").replace("IPV", "IPv"),
            seen,
        );
    }
}

/// Reloads under load, then a reload of a broken file, then one of a repaired file.
pub(super) fn reloads(
    stage: &Stage,
    balancer: &mut Balancer,
    options: &Options,
    progress: &Progress,
    claims: &mut Claims,
) -> Result<()> {
    let sessions = [stage.session(Family::V4), stage.session(Family::V6)]
        .map(|opened| opened.map(|session| session.keep(Duration::from_millis(20))));
    let targets = Family::BOTH.map(front);
    let plan = Plan::open(&targets, options.rate, Duration::from_mins(10))
        .from(stage.lab.client_addresses())
        .expecting(Expect::OwnAddress);
    let running = load::start(&stage.lab.client, plan)?;
    let mut slowest = Duration::ZERO;
    for version in 2..=options.reloads + 1 {
        progress.step(&format!("reload {} of {} under load", version - 1, options.reloads));
        stage.write(version, "")?;
        balancer.settle()?;
        let begun = Instant::now();
        balancer.reload()?;
        stage.wait_for_version(balancer, version)?;
        slowest = slowest.max(begun.elapsed());
        std::thread::sleep(BETWEEN_RELOADS); // so that the load meets the generation between two reloads
    }
    progress.step("reloading a broken configuration");
    let broken = break_it(stage, balancer, options.reloads + 1);
    stage.write(options.reloads + 2, "")?;
    balancer.reload()?;
    let repaired = stage.wait_for_version(balancer, options.reloads + 2);
    let report = running.finish()?;
    let reloads = options.reloads;
    let none_lost = if report.total.failed() == 0 && report.total.ok > 0 {
        let latency = report.total.latency;
        Ok(format!(
            "{} connections over IPv4 and IPv6, {reloads} reloads (slowest {:.0} ms): 0 refused, reset or late; \
             p99 {:.1} ms, worst {:.1} ms",
            report.total.ok,
            slowest.as_secs_f64() * 1e3,
            latency.p99,
            latency.max
        ))
    } else {
        Err(anyhow::anyhow!("{}", report.total))
    };
    claims.add("No connection is lost by reloads, and none hides its client", none_lost);
    let lived = sessions.into_iter().map(|session| lived_through(session?)).collect::<Result<Vec<_>>>();
    let seen = lived.map(|echoes| format!("{} lines came back on 2 sessions", echoes.iter().sum::<u64>()));
    claims.add("Long sessions live through reloads", seen);
    claims.add("A broken configuration changes nothing and is reported", broken);
    claims.add("The repaired file is taken", repaired.map(|()| "the new version answers".into()));
    Ok(())
}

fn lived_through(session: KeptSession) -> Result<u64> {
    let report = session.finish()?;
    ensure!(report.ended_by_us && report.ending == State::Closed, "a session ended: {report:?}");
    Ok(report.echoes)
}

fn break_it(stage: &Stage, balancer: &mut Balancer, serving: u32) -> Result<String> {
    let position = balancer.log_position()?;
    stage.write(serving + 100, NONSENSE)?;
    balancer.reload()?;
    let words = balancer.wait_for_log(position, "teleport", DEADLINE)?;
    // After the refusal there was time to switch to the broken file.
    std::thread::sleep(BETWEEN_RELOADS);
    stage.wait_for_version(balancer, serving).context("the old generation should serve on")?;
    let from = words.find("unknown").unwrap_or(0);
    Ok(format!(
        "v{serving} is still serving; HAProxy's words: {}",
        words.get(from..).unwrap_or(&words).trim()
    ))
}

/// Stops with sessions open: they go on, new ones are refused, and all ends when they end.
pub(super) fn stop(stage: &Stage, mut balancer: Balancer, claims: &mut Claims) -> Result<()> {
    let kept: Result<Vec<KeptSession>> = Family::BOTH
        .into_iter()
        .map(|family| Ok(stage.session(family)?.keep(Duration::from_millis(20))))
        .collect();
    balancer.drain()?;
    claims.add("A stop lets open sessions end properly", drained(stage, &mut balancer, kept));
    if balancer.is_running()? {
        balancer.stop(Signal::KILL, DEADLINE)?;
    }
    Ok(())
}

fn drained(stage: &Stage, balancer: &mut Balancer, kept: Result<Vec<KeptSession>>) -> Result<String> {
    let kept = kept?;
    for family in Family::BOTH {
        let refused = || ask_once(front(family), Ask::Line, Duration::from_secs(1)) == Err(Class::Refused);
        stage
            .lab
            .client
            .enter(|| eventually(DEADLINE, "new connections to be refused", || refused().then_some(())))??;
    }
    let so_far: Vec<u64> = kept.iter().map(KeptSession::beats).collect();
    eventually(DEADLINE, "the open sessions to go on after the stop", || {
        kept.iter().zip(&so_far).all(|(session, beats)| session.beats() > beats + 20).then_some(())
    })?;
    ensure!(balancer.is_running()?, "it ended although sessions were open");
    let ended = Instant::now();
    for session in kept {
        lived_through(session)?;
    }
    let status = balancer.wait_exit(DEADLINE)?;
    ensure!(status.success(), "it ended with {status}");
    let took = ended.elapsed().as_millis();
    Ok(format!(
        "2 sessions went on while new ones were refused; {took} ms after the last, all had ended, {status}"
    ))
}

/// Neither processes nor anything in the kernel.
pub(super) fn nothing_left(stage: &Stage, claim: &str, claims: &mut Claims) {
    claims.add(claim, residue(stage));
}

fn residue(stage: &Stage) -> Result<String> {
    let processes = processes_in(&stage.lab.balancer)?;
    ensure!(processes.is_empty(), "still running: {processes:?}");
    let differences = stage.before.diff(&Snapshot::take(&stage.lab.balancer)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok("nft ruleset, rules and routes of both families as before, no process".into())
}

/// SIGKILL takes HAProxy along; the next start works and sweeps.
pub(super) fn kill_and_restart(stage: &Stage, claims: &mut Claims) -> Result<()> {
    let mut balancer = stage.start()?;
    balancer.stop(Signal::KILL, DEADLINE)?;
    let along = eventually_because(DEADLINE, "HAProxy to end with its supervisor", || {
        let processes = processes_in(&stage.lab.balancer)?;
        ensure!(processes.is_empty(), "still running: {processes:?}");
        Ok("no process left".to_owned())
    });
    claims.add("SIGKILL takes HAProxy along", along);
    let mut balancer = stage.start()?;
    let seen: Result<Vec<Session>> = Family::BOTH.into_iter().map(|family| stage.session(family)).collect();
    claims.add("It starts again after SIGKILL", seen.map(|_| "both families served, clients seen".into()));
    balancer.drain()?;
    if let Err(error) = balancer.wait_exit(DEADLINE) {
        balancer.stop(Signal::KILL, DEADLINE)?;
        bail!("the second stop did not end: {error:#}");
    }
    Ok(())
}
