//! Others meddle with the routing of this host while clients are connected: what they take is back within a second, and
//! no client is lost.

pub mod meddlers;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::kernel::counters;
use clearway_lab::namespace::Namespace;
use clearway_lab::session::{KeptSession, Session, State};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{CannotRun, SOON, Stage, assert_code, assert_no_client_lost};
use crate::takeover::NAMED;
use crate::topologies::{self, HERE};
use meddlers::{REMOVALS, ours, restores};

crate::tests![
    rules_and_routes_that_others_remove_are_back_within_a_second,
    sessions_to_servers_on_this_host_survive_that_too,
    sessions_to_servers_on_this_host_do_not_stay_on_the_way_that_they_took_meanwhile,
    sessions_survive_that_too_where_the_host_forwards_blindly,
    sessions_survive_that_lo_goes_down_and_loses_its_addresses,
    both_clearways_of_an_instance_repair_and_the_last_one_removes,
    flushed_packet_filters_do_not_reach_an_owner_table,
    sessions_survive_a_change_of_routes,
    a_program_that_removes_rules_all_the_time_does_not_keep_clearway_busy,
    a_hundred_thousand_routes_of_others_wake_nothing,
];

/// Removes something; it must be back. How soon is printed: on a quiet machine that is within a second.
fn remove(host: &Namespace, whole: &str, removals: &[&[&str]]) -> Result<()> {
    let begun = Instant::now();
    for removal in removals {
        host.ip(removal)?;
    }
    eventually(SOON, "what was removed to be back", || (ours(host).ok()? == whole).then_some(()))
        .with_context(|| format!("{removals:?}: there is {}", ours(host).unwrap_or_default()))?;
    println!("back after {:?}", begun.elapsed());
    Ok(())
}

/// A session in each family that always has something under way, and one that rests.
struct Sessions {
    busy: Vec<KeptSession>,
    resting: Vec<Session>,
}

impl Sessions {
    fn open(stage: &Stage) -> Result<Self> {
        let open = |front| Session::open(&stage.hosts.client, front, None);
        let busy = stage.fronts().map(|front| Ok(open(front)?.keep(Duration::from_millis(5))));
        let resting = stage.fronts().map(open);
        Ok(Self {
            busy: busy.into_iter().collect::<Result<_>>()?,
            resting: resting.into_iter().collect::<Result<_>>()?,
        })
    }

    /// All of them live, and the servers have seen their own addresses. They are closed.
    fn assert_alive(self) -> Result<()> {
        for mut session in self.resting {
            ensure!(session.peer_seen() == session.local_address()?.ip().to_string(), "the client is hidden");
            let state = session.beat();
            ensure!(state == State::Alive, "a session that rested is {state:?}");
        }
        for session in self.busy {
            let report = session.finish()?;
            ensure!(report.ended_by_us && report.ending == State::Closed, "a busy session: {report:?}");
        }
        Ok(())
    }
}

fn stop(mut balancer: Balancer) -> Result<()> {
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

/// It stops, and nothing is left.
fn end(stage: &Stage, balancer: Balancer) -> Result<()> {
    stop(balancer)?;
    stage.assert_clean()
}

fn rules_and_routes_that_others_remove_are_back_within_a_second() -> Result<()> {
    let stage = Stage::new("gone")?;
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    let host = &stage.hosts.balancer;
    let whole = ours(host)?;
    ensure!(whole.lines().count() == 8, "{whole}");
    let sessions = Sessions::open(&stage)?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(100.0, Duration::from_mins(2)))?;
    for removal in REMOVALS {
        remove(host, &whole, &[removal])?;
    }
    for _ in 0..5 {
        remove(host, &whole, &REMOVALS)?;
    }
    let report = load.finish_after(10)?;
    assert_no_client_lost(&report)?;
    sessions.assert_alive()?;
    let log = balancer.stderr()?;
    let again = !balancer.events("plumbing.contested", &[])?.is_empty();
    let repairs = balancer.events("plumbing.repaired", &[])?.len();
    let remedies = log.matches("ManageForeignRoutingPolicyRules=no").count();
    ensure!(remedies == 1 + usize::from(again), "the remedy, once for each: {log}");
    ensure!(repairs > 0 && again == (repairs >= 20), "{log}");
    end(&stage, balancer)
}

/// The rules of servers here are others, and their answers begin here.
fn sessions_to_servers_on_this_host_survive_that_too() -> Result<()> {
    let stage = Stage::new("gonehere")?;
    let host = &stage.hosts.balancer;
    for addresses in [topologies::loopback(), stage.hosts.front()] {
        let _server = topologies::serve_here(&stage, addresses, HERE)?;
        topologies::write(&stage, addresses, HERE)?;
        let balancer = stage.start()?;
        let whole = ours(host)?;
        let sessions = Sessions::open(&stage)?;
        for _ in 0..5 {
            remove(host, &whole, &REMOVALS)?;
        }
        sessions.assert_alive().with_context(|| format!("servers on {addresses:?}"))?;
        stop(balancer)?;
        stage.assert_kernel_clean()?;
    }
    Ok(())
}

/// The kernel keeps the way of a socket. What an IPv6 server has sent while ours was away would go astray when it is
/// back, too, until its fourth retransmission.
fn sessions_to_servers_on_this_host_do_not_stay_on_the_way_that_they_took_meanwhile() -> Result<()> {
    let stage = Stage::new("goneway")?;
    let host = &stage.hosts.balancer;
    for (addresses, removals) in [
        (topologies::loopback(), &REMOVALS[..]),
        (topologies::loopback(), &REMOVALS[2..]),
        (stage.hosts.front(), &REMOVALS[..]),
        (stage.hosts.front(), &REMOVALS[2..]),
    ] {
        let _server = topologies::serve_here(&stage, addresses, HERE)?;
        topologies::write(&stage, addresses, HERE)?;
        let mut balancer = stage.start()?;
        let whole = ours(host)?;
        let sessions = Sessions::open(&stage)?;
        // It cannot put back what it does not hear of.
        balancer.signal(Signal::STOP)?;
        for removal in removals {
            host.ip(removal)?;
        }
        // Each busy session has sent at least one line meanwhile: there always is one under way.
        let retransmitted = || -> Result<u64> { Ok(*counters(host)?.get("TcpRetransSegs").unwrap_or(&0)) };
        let before = retransmitted()?;
        eventually(SOON, "answers to go astray", || (retransmitted().ok()? >= before + 4).then_some(()))?;
        balancer.signal(Signal::CONT)?;
        eventually(SOON, "everything to be back", || (ours(host).ok()? == whole).then_some(()))?;
        sessions.assert_alive().with_context(|| format!("servers on {addresses:?}, {removals:?}"))?;
        stop(balancer)?;
        stage.assert_kernel_clean()?;
    }
    Ok(())
}

/// Many a router runs with `ip_early_demux=0`: then nothing ties a packet to its socket before it is routed.
fn sessions_survive_that_too_where_the_host_forwards_blindly() -> Result<()> {
    let stage = Stage::new("goneblind")?;
    let host = &stage.hosts.balancer;
    host.sysctl("net/ipv4/ip_early_demux", "0")?;
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    let whole = ours(host)?;
    let sessions = Sessions::open(&stage)?;
    for _ in 0..5 {
        remove(host, &whole, &REMOVALS)?;
    }
    sessions.assert_alive()?;
    end(&stage, balancer)
}

fn sessions_survive_that_lo_goes_down_and_loses_its_addresses() -> Result<()> {
    let stage = Stage::new("lodown")?;
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    let host = &stage.hosts.balancer;
    let whole = ours(host)?;
    let sessions = Sessions::open(&stage)?;
    // The kernel silently removes IPv4 routes then.
    remove(host, &whole, &[&["-4", "address", "flush", "dev", "lo"]])?;
    host.ip(&["link", "set", "lo", "down"])?;
    balancer.wait_for_event(0, "plumbing.not-repaired", &[], SOON)?;
    host.ip(&["link", "set", "lo", "up"])?;
    let begun = Instant::now();
    eventually(SOON, "everything to be back", || (ours(host).ok()? == whole).then_some(()))?;
    println!("back after {:?}", begun.elapsed());
    sessions.assert_alive()?;
    stop(balancer)
}

fn both_clearways_of_an_instance_repair_and_the_last_one_removes() -> Result<()> {
    let stage = Stage::new("bothfix")?;
    stage.write(&stage.transparent())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let host = &stage.hosts.balancer;
    let whole = ours(host)?;
    let old = Sessions::open(&stage)?;
    let second = stage.launch(&[], &[NAMED])?;
    second.wait_for_event(0, "generation.serving", &[], SOON)?;
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;
    ensure!(ours(host)? == whole, "{}", ours(host)?);
    let new = Sessions::open(&stage)?;
    for _ in 0..3 {
        remove(host, &whole, &REMOVALS)?;
    }
    // The first one leaves when its sessions have ended, and takes nothing along.
    old.assert_alive()?;
    assert_code(first.wait_exit(SOON)?, 0)?;
    ensure!(ours(host)? == whole, "the one that left first removed something: {}", ours(host)?);
    remove(host, &whole, &REMOVALS)?;
    new.assert_alive()?;
    ensure!(second.events("plumbing.not-repaired", &[])?.is_empty(), "{}", second.stderr()?);
    end(&stage, second)
}

fn flushed_packet_filters_do_not_reach_an_owner_table() -> Result<()> {
    if !clearway_lab::kernel::has_owner_tables() {
        return Err(CannotRun("this kernel has no owner tables (Linux 5.12)".to_owned()).into());
    }
    let stage = Stage::new("nftflush")?;
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    let host = &stage.hosts.balancer;
    let tables = host.output("nft", &["list", "tables"])?;
    let table = tables.lines().find_map(|line| line.strip_prefix("table inet ")).context("a table")?;
    let ruleset = || host.output("nft", &["list", "table", "inet", table]);
    let (before, whole) = (ruleset()?, ours(host)?);
    let sessions = Sessions::open(&stage)?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(100.0, Duration::from_secs(2)))?;
    for _ in 0..5 {
        // What `systemctl reload nftables` begins with, and what `iptables-restore` of saved rules does.
        host.nft("flush ruleset")?;
        for program in restores() {
            meddlers::restore_nothing(host, program)?;
        }
        ensure!(ruleset()? == before, "the table is another one: {}", ruleset()?);
    }
    for refused in [["flush", "table"], ["delete", "table"]] {
        let words = [refused[0], refused[1], "inet", table];
        ensure!(host.output("nft", &words).is_err(), "`nft {}` was not refused", words.join(" "));
    }
    assert_no_client_lost(&load.wait()?)?;
    sessions.assert_alive()?;
    ensure!(
        ours(host)? == whole && balancer.events("plumbing.repaired", &[])?.is_empty(),
        "{}",
        balancer.stderr()?
    );
    end(&stage, balancer)
}

fn sessions_survive_a_change_of_routes() -> Result<()> {
    let stage = Stage::new("reroute")?;
    meddlers::lay_second_cable(&stage.hosts)?;
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    let sessions = Sessions::open(&stage)?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(100.0, Duration::from_secs(2)))?;
    meddlers::move_to_second_cable(&stage.hosts)?;
    sessions.assert_alive()?;
    Sessions::open(&stage)?.assert_alive()?;
    assert_no_client_lost(&load.wait()?)?;
    ensure!(meddlers::came_over_second_cable(&stage.hosts)? > 10, "nothing went over the other cable");
    ensure!(balancer.events("plumbing.repaired", &[])?.is_empty(), "{}", balancer.stderr()?);
    stop(balancer)
}

fn a_program_that_removes_rules_all_the_time_does_not_keep_clearway_busy() -> Result<()> {
    let stage = Stage::new("fight")?;
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    let host = &stage.hosts.balancer;
    let whole = ours(host)?;
    let sessions = Sessions::open(&stage)?;
    let before = balancer.facts()?;
    let begun = Instant::now();
    let mut removals = 0;
    // On a busy machine so many take longer than on a quiet one.
    while removals < 60 || begun.elapsed() < Duration::from_secs(5) {
        REMOVALS.iter().try_for_each(|removal| host.ip(removal).map(|_| ()))?;
        removals += 1;
    }
    let fight = begun.elapsed();
    let after = balancer.facts()?;
    let ticks = after.cpu_ticks - before.cpu_ticks;
    // A tenth of one processor.
    ensure!(u128::from(ticks) <= fight.as_millis() / 100, "{ticks} ticks of 10 ms in {fight:?}");
    let log = balancer.stderr()?;
    let repairs = log.matches("put back: ").count();
    let most = 8 * (usize::try_from(fight.as_secs())? + 1);
    ensure!((10..most).contains(&repairs), "{repairs} repairs in {fight:?}: {log}");
    ensure!(log.matches("again and again").count() == 1, "{log}");
    println!(
        "{removals} removals, {repairs} repairs, {ticks} ticks, {} wake-ups",
        after.wakeups - before.wakeups
    );
    // The longest pause, and everything is as before.
    eventually(Duration::from_secs(20), "peace", || (ours(host).ok()? == whole).then_some(()))?;
    drop(sessions);
    end(&stage, balancer)
}

fn a_hundred_thousand_routes_of_others_wake_nothing() -> Result<()> {
    let stage = Stage::new("bgp")?;
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    let before = balancer.facts()?;
    let took = meddlers::come_and_go(&stage, 50_000)?;
    let after = balancer.facts()?;
    let (ticks, wakeups) = (after.cpu_ticks - before.cpu_ticks, after.wakeups - before.wakeups);
    println!("100,000 changes in {took:?}: {ticks} ticks, {wakeups} wake-ups");
    ensure!(ticks <= 5 && wakeups <= 100, "{ticks} ticks of 10 ms and {wakeups} wake-ups in {took:?}");
    remove(&stage.hosts.balancer, &ours(&stage.hosts.balancer)?, &REMOVALS)?;
    end(&stage, balancer)
}
