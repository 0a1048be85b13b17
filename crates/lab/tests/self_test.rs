//! The laboratory tested by itself: the load generator must see what is there, and a namespace must leave
//! nothing. Without root, every test is reported as ignored by its name.

#[path = "self_test/events.rs"]
mod events;
#[path = "self_test/reload.rs"]
mod reload;

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clearway_lab::balancer::{Balancer, Kind};
use clearway_lab::keep_alive::{Asking, Heard, KeepAlive};
use clearway_lab::kernel::{self, Snapshot};
use clearway_lab::load::{self, Ask, Expect, LoadReport, Plan};
use clearway_lab::namespace::Namespace;
use clearway_lab::server::{Mode, Server};
use clearway_lab::session::{Session, State};
use clearway_lab::topology::{FRONT, Family, Shape, Topology};
use clearway_lab::wait::eventually;
use libtest_mimic::{Arguments, Trial};

/// A test by itself.
type Test = fn() -> Result<()>;

/// The one that needs what `scripts/setup.sh bench` installs; without, it is reported as ignored.
const WITH_IPTABLES: &str = "a_bench_of_reloads_sees_delays";

const RUN: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let root = rustix::process::geteuid().is_root();
    let tests: [(&str, Test); 22] = [
        ("good_answers_are_ok_on_both_families", good_answers_are_ok_on_both_families),
        ("a_wrong_address_is_a_wrong_answer", a_wrong_address_is_a_wrong_answer),
        ("a_dead_port_is_refused", a_dead_port_is_refused),
        ("dropped_packets_are_timeouts", dropped_packets_are_timeouts),
        ("a_lost_syn_is_seen", a_lost_syn_is_seen),
        ("a_reset_is_a_reset", a_reset_is_a_reset),
        ("an_early_close_is_short", an_early_close_is_short),
        ("a_closed_loop_goes_as_fast_as_it_can", a_closed_loop_goes_as_fast_as_it_can),
        ("a_load_goes_on_until_so_many_ended_well", a_load_goes_on_until_so_many_ended_well),
        ("haproxy_reloads_under_load", haproxy_reloads_under_load),
        ("a_bench_of_reloads_sees_losses", reload::sees_losses),
        (WITH_IPTABLES, reload::sees_delays),
        ("a_bench_of_reloads_asks_clearway", reload::asks_clearway),
        ("a_bench_of_reloads_names_what_cannot_start", reload::names_what_cannot_start),
        ("a_bench_of_events_sees_losses", events::sees_losses),
        ("a_bench_of_events_sees_clients_that_wait", events::sees_clients_that_wait),
        ("a_bench_of_events_sees_what_is_left", events::sees_what_is_left),
        ("a_session_sees_how_it_ends", a_session_sees_how_it_ends),
        ("a_kept_connection_hears_how_it_ends", a_kept_connection_hears_how_it_ends),
        ("a_snapshot_sees_rules_routes_and_tables", a_snapshot_sees_rules_routes_and_tables),
        ("a_namespace_leaves_nothing", a_namespace_leaves_nothing),
        ("a_network_wired_to_the_host_leaves_nothing", a_network_wired_to_the_host_leaves_nothing),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let run = move || test().map_err(|error| format!("{error:#}").into());
        let cannot = name == WITH_IPTABLES && Command::new("iptables").arg("--version").output().is_err();
        Trial::test(name, run).with_ignored_flag(!root || cannot)
    });
    let mut arguments = Arguments::from_args();
    // Two at a time: the machine is small, and a load generator that is starved proves nothing.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// A lab with a client that reaches the server through the balancer's forwarding alone.
fn direct(mode: Mode) -> Result<(Topology, Vec<Server>, Vec<SocketAddr>)> {
    let lab = Topology::shaped("self", Shape { servers: 1, ..Shape::default() })?;
    let servers = lab.start_servers(80, mode)?;
    let both = Family::BOTH.into_iter().flat_map(|family| lab.servers(family));
    let targets = both.map(|address| SocketAddr::new(address, 80)).collect();
    Ok((lab, servers, targets))
}

fn load(lab: &Topology, plan: Plan) -> Result<LoadReport> {
    load::start(&lab.client, plan)?.wait()
}

fn good_answers_are_ok_on_both_families() -> Result<()> {
    let (lab, _servers, targets) = direct(Mode::Line)?;
    let plan = Plan::open(&targets, 1000.0, RUN).from(lab.client_addresses());
    let report = load(&lab, plan.expecting(Expect::OwnAddress))?;
    ensure!(report.total.ok == 500 && report.total.failed() == 0, "{report}");
    ensure!(report.targets.len() == 2 && report.targets.values().all(|side| side.ok == 250), "{report}");
    ensure!(report.total.answers.len() == 8, "every client address was seen: {:?}", report.total.answers);

    let (lab, _servers, targets) = direct(Mode::Http)?;
    let plan = Plan::open(&targets, 200.0, RUN).asking(Ask::Http).expecting(Expect::OwnAddress);
    let report = load(&lab, plan)?;
    ensure!(report.total.ok == 100 && report.total.failed() == 0, "{report}");
    Ok(())
}

fn a_wrong_address_is_a_wrong_answer() -> Result<()> {
    let (lab, _servers, targets) = direct(Mode::Line)?;
    let report = load(&lab, Plan::open(&targets, 200.0, RUN).expecting(Expect::Peer(FRONT[0])))?;
    ensure!(report.total.wrong_answer == 100 && report.total.failed() == 100, "{report}");
    ensure!(report.failures.len() == 20, "the first failures are kept word for word");
    Ok(())
}

fn a_dead_port_is_refused() -> Result<()> {
    let lab = Topology::three_hosts("self")?;
    let dead = FRONT.map(|address| SocketAddr::new(address, 81));
    let report = load(&lab, Plan::open(&dead, 500.0, RUN))?;
    ensure!(report.total.refused == 250 && report.total.count() == 250, "{report}");
    Ok(())
}

fn dropped_packets_are_timeouts() -> Result<()> {
    let (lab, _servers, targets) = direct(Mode::Line)?;
    lab.server.nft(&drop_syns("tcp dport 80"))?;
    let begun = Instant::now();
    let plan = Plan::open(&targets, 200.0, RUN).patient_for(Duration::from_millis(400));
    let report = load(&lab, plan)?;
    ensure!(report.total.timeout == 100 && report.total.count() == 100, "{report}");
    ensure!(begun.elapsed() < Duration::from_secs(3), "the run is bounded, but took {:?}", begun.elapsed());
    Ok(())
}

/// What `wrk` cannot see: the answer is quick, `connect()` is not.
fn a_lost_syn_is_seen() -> Result<()> {
    let (lab, _servers, targets) = direct(Mode::Line)?;
    lab.server.nft(&drop_syns("tcp dport 80"))?;
    let running = load::start(&lab.client, Plan::open(&targets, 100.0, RUN))?;
    std::thread::sleep(RUN);
    lab.server.nft("flush ruleset")?;
    let report = running.wait()?;
    ensure!(report.total.failed() == 0 && report.total.syn_retransmitted >= 40, "{report}");
    ensure!(report.total.latency.p50 > 900.0, "{report}");
    Ok(())
}

fn drop_syns(what: &str) -> String {
    format!("table inet t {{ chain c {{ type filter hook input priority 0; {what} tcp flags syn drop; }}; }}")
}

fn a_reset_is_a_reset() -> Result<()> {
    let (lab, _servers, targets) = direct(Mode::Reset)?;
    let report = load(&lab, Plan::open(&targets, 200.0, RUN))?;
    ensure!(report.total.reset == 100 && report.total.count() == 100, "{report}");
    Ok(())
}

fn an_early_close_is_short() -> Result<()> {
    let (lab, _servers, targets) = direct(Mode::Mute)?;
    let report = load(&lab, Plan::open(&targets, 200.0, RUN))?;
    ensure!(report.total.short == 100 && report.total.count() == 100, "{report}");
    Ok(())
}

fn a_closed_loop_goes_as_fast_as_it_can() -> Result<()> {
    let (lab, _servers, targets) = direct(Mode::Line)?;
    let plan = Plan::closed(&targets, 16, RUN).from(lab.client_addresses());
    let report = load(&lab, plan.expecting(Expect::OwnAddress))?;
    ensure!(report.total.failed() == 0 && report.per_second() > 500.0, "{report}");
    let speed = load::download(&lab.client, targets[0], RUN)?;
    ensure!(speed > 1e7, "a download of {speed} bytes per second");
    Ok(())
}

fn a_load_goes_on_until_so_many_ended_well() -> Result<()> {
    let (lab, _servers, targets) = direct(Mode::Line)?;
    let long = Plan::open(&targets, 500.0, Duration::from_mins(1));
    let report = load::start(&lab.client, long)?.finish_after(60)?;
    ensure!(report.total.failed() == 0 && (60..2000).contains(&report.total.ok), "{report}");
    // Failures do not count, and the plan's end is the end.
    let dead = FRONT.map(|address| SocketAddr::new(address, 81));
    let report = load::start(&lab.client, Plan::open(&dead, 500.0, RUN))?.finish_after(1)?;
    ensure!(report.total.ok == 0 && report.total.count() == 250, "{report}");
    Ok(())
}

fn haproxy_reloads_under_load() -> Result<()> {
    let lab = Topology::three_hosts("self")?;
    let _servers = lab.start_servers(80, Mode::Line)?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("haproxy.cfg");
    fs::write(
        &config,
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n\
         frontend f4\n bind :80\n default_backend b4\n\
         backend b4\n server s1 10.2.0.2:80\n server s2 10.2.0.3:80\n\
         frontend version\n mode http\n bind :81\n\
         http-request return status 200 content-type text/plain string v1\n",
    )?;
    let mut haproxy = Balancer::start(&lab.balancer, Kind::PlainMasterWorker, &config, &[], &[])?;
    let (service, version) = (SocketAddr::new(FRONT[0], 80), SocketAddr::new(FRONT[0], 81));
    haproxy.wait_ready(&lab.client, version, Ask::Http, DEADLINE)?;
    let mut session = Session::open(&lab.client, service, None)?;
    let running = load::start(&lab.client, Plan::open(&[service], 300.0, Duration::from_secs(20)))?;
    fs::write(&config, fs::read_to_string(&config)?.replace("v1", "v2"))?;
    haproxy.reload()?;
    haproxy.wait_for_answer(&lab.client, version, Ask::Http, |answer| answer == "v2", DEADLINE)?;
    let report = running.finish()?;
    ensure!(report.total.failed() == 0 && report.total.ok > 0, "{report}");
    ensure!(report.total.answers.keys().all(|answer| answer.starts_with("10.2.0.1 s")), "{report}");
    ensure!(session.beat() == State::Alive && session.peer_seen() == "10.2.0.1", "{session:?}");
    ensure!(haproxy.haproxy_processes().len() == 2, "a worker drains, another serves");
    ensure!(session.close() == State::Closed);
    ensure!(haproxy.facts()?.resident_kib > 0);
    let listening = kernel::listeners(&lab.balancer)?;
    ensure!(listening.iter().any(|(address, _)| address.ends_with(":80")), "{listening:?}");
    haproxy.stop(rustix::process::Signal::TERM, DEADLINE)?;
    // An orphan may stay a zombie for a moment.
    let gone = || kernel::processes_in(&lab.balancer).ok().filter(Vec::is_empty);
    clearway_lab::wait::eventually(DEADLINE, "no process to be left", gone).map(|_| ())
}

fn a_session_sees_how_it_ends() -> Result<()> {
    let (lab, mut servers, targets) = direct(Mode::Line)?;
    let open = || Session::open(&lab.client, targets[1], Some(lab.clients(Family::V6)[1]));
    let mut session = open()?;
    ensure!(session.peer_seen() == "fd01::3" && session.server() == "s1", "{session:?}");
    ensure!((0..3).all(|_| session.beat() == State::Alive) && session.echoes() == 3);
    ensure!(session.close() == State::Closed);
    let kept = open()?.keep(Duration::from_millis(2));
    clearway_lab::wait::eventually(DEADLINE, "ten beats", || (kept.beats() > 10).then_some(()))?;
    let report = kept.finish()?;
    ensure!(report.ending == State::Closed && report.ended_by_us && report.echoes > 10, "{report:?}");
    let mut silent = open()?;
    silent.set_patience(Duration::from_millis(100))?;
    servers[0].process.signal(rustix::process::Signal::STOP)?;
    ensure!(silent.beat() == State::Silent);
    let mut reset = silent;
    drop(servers);
    clearway_lab::wait::eventually(DEADLINE, "the session to end", || {
        matches!(reset.beat(), State::Reset | State::Closed).then_some(())
    })
}

fn a_kept_connection_hears_how_it_ends() -> Result<()> {
    let (lab, servers, targets) = direct(Mode::Http)?;
    let mut kept = KeepAlive::open(&lab.client, targets[0])?;
    ensure!(kept.ask() == Heard::Answered, "the first request");
    kept.begin()?;
    ensure!(kept.ask() == Heard::Answered, "a request in two parts");
    drop(servers);
    eventually(DEADLINE, "the end to arrive", || kept.is_closed().ok()?.then_some(()))?;
    let heard = kept.ask();
    ensure!(heard == Heard::ClosedBefore, "the server had ended: {heard:?}");

    let (lab, _servers, targets) = direct(Mode::Reset)?;
    // The reset may be there before the connection is.
    match KeepAlive::open(&lab.client, targets[0]).map(|mut kept| kept.ask()) {
        Ok(heard) => ensure!(matches!(heard, Heard::Lost(_)), "the server resets: {heard:?}"),
        Err(error) => ensure!(format!("{error:#}").contains("reset"), "the server resets: {error:#}"),
    }

    let (lab, _servers, targets) = direct(Mode::Line)?;
    let asking = Asking::start(&lab.client, &targets, 1, Duration::from_millis(10));
    std::thread::sleep(RUN);
    let report = asking.finish()?;
    ensure!(report.answered == 0 && report.lost.len() > 2, "the server speaks no HTTP: {report:?}");
    Ok(())
}

fn a_snapshot_sees_rules_routes_and_tables() -> Result<()> {
    let host = Namespace::create("snapshot")?;
    let before = Snapshot::take(&host)?;
    host.nft("table inet x { chain pre { type filter hook prerouting priority mangle; }; }")?;
    host.ip(&["-6", "rule", "add", "pref", "902", "fwmark", "0x20/0x20", "lookup", "7", "protocol", "179"])?;
    host.ip(&["route", "add", "local", "default", "dev", "lo", "table", "7", "proto", "179"])?;
    let differences = before.diff(&Snapshot::take(&host)?);
    for command in ["nft list ruleset: + table", "ip -6 rule: + 902", "ip route show table all: + local"] {
        ensure!(differences.iter().any(|line| line.starts_with(command)), "{differences:?}");
    }
    host.nft("flush ruleset")?;
    host.ip(&["-6", "rule", "flush", "protocol", "179"])?;
    host.ip(&["route", "flush", "table", "7"])?;
    let differences = before.diff(&Snapshot::take(&host)?);
    ensure!(differences.is_empty(), "{differences:?}");
    Ok(())
}

fn a_namespace_leaves_nothing() -> Result<()> {
    let host = Namespace::create("brief")?;
    let name = host.name().to_owned();
    let mut command = host.command("sh");
    command.args(["-c", "sleep 1000 & wait"]);
    let process = host.spawn(command)?;
    clearway_lab::wait::eventually(DEADLINE, "two processes inside", || {
        (kernel::processes_in(&host).ok()?.len() == 2).then_some(())
    })?;
    let inside: Vec<u32> = kernel::processes_in(&host)?.into_iter().map(|(pid, _)| pid).collect();
    drop((host, process));
    ensure!(!fs::exists(format!("/run/netns/{name}"))?);
    ensure!(inside.into_iter().all(|pid| !clearway_lab::process::is_alive(pid)));
    Ok(())
}

fn a_network_wired_to_the_host_leaves_nothing() -> Result<()> {
    let host = Namespace::host()?;
    let interfaces = || host.ip(&["-oneline", "link"]).map(|lines| lines.matches(": cw").count());
    let before = Snapshot::take(&host)?;
    let work = || -> Result<()> {
        let lab = Topology::wired_to_host("wired")?;
        ensure!(interfaces()? == 2, "two cables");
        let _servers = lab.start_servers(80, Mode::Line)?;
        let targets: Vec<_> =
            Family::BOTH.map(|family| SocketAddr::new(lab.servers(family)[0], 80)).into_iter().collect();
        // From the host itself, which is what a proxy on it is.
        let report = load::start(&host, Plan::open(&targets, 100.0, RUN))?.wait()?;
        ensure!(report.total.failed() == 0 && report.total.ok > 0, "{}", report.total);
        bail!("a test that fails at its end")
    };
    let error = work().map_or_else(|error| error.to_string(), |()| String::new());
    ensure!(error.contains("at its end"), "{error}");
    ensure!(interfaces()? == 0, "a cable is left");
    let differences = before.diff(&Snapshot::take(&host)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}
