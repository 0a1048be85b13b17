//! Large and many: what works with two sockets works with thousands.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::keep_alive::{Heard, KeepAlive};
use clearway_lab::load::{Expect, Plan};
use clearway_lab::session::{Session, State};
use clearway_lab::topology::FRONT;
use rustix::process::Signal;

use crate::draining::{Http, MAY_STAY};
use crate::stage::{CannotRun, SOON, Stage, assert_code, assert_no_client_lost, complained, said};

crate::tests![
    two_hundred_reloads_back_to_back,
    three_thousand_sockets,
    ten_thousand_servers,
    a_thousand_certificates,
    ten_idle_clients_on_the_users_stats_socket,
    a_reload_for_which_descriptors_do_not_suffice,
];

fn two_hundred_reloads_back_to_back() -> Result<()> {
    let stage = Stage::new("hundreds")?;
    let http = Http::beside(&stage, MAY_STAY)?;
    stage.write(&(stage.transparent() + &http.text))?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_SETTLE", "10ms")])?;
    let mut sessions: Vec<Session> = stage
        .fronts()
        .iter()
        .map(|front| Session::open(&stage.hosts.client, *front, None))
        .collect::<Result<_>>()?;
    // Those that wait between two requests, and those with a request under way.
    let (mut kept, mut begun) = (http.connections(&stage)?, http.connections(&stage)?);
    begun.iter_mut().try_for_each(KeepAlive::begin)?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(200.0, Duration::from_mins(10)))?;
    for number in 2..202 {
        let position = balancer.log_position()?;
        balancer.signal(Signal::HUP)?;
        balancer.wait_for_event(position, "generation.serving", &[("generation", &number)], SOON)?;
    }
    assert_no_client_lost(&load.finish_after(20)?)?;
    for session in &mut sessions {
        ensure!(session.beat() == State::Alive, "a session from before the first reload has ended");
    }
    for connection in kept.iter_mut().chain(&mut begun) {
        let heard = connection.ask();
        ensure!(heard == Heard::Last, "an HTTP connection from before the first reload: {heard:?}");
    }
    drop(sessions);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn three_thousand_sockets() -> Result<()> {
    let stage = Stage::new("sockets")?;
    let extra = format!(
        "listen many\n    mode tcp\n    bind {}:20000-22999\n    server s {}\n",
        FRONT[0],
        SocketAddr::new(stage.hosts.servers(clearway_lab::topology::Family::V4)[0], crate::stage::PORT)
    );
    stage.write(&(stage.plain() + &extra))?;
    let mut balancer = stage.start()?;
    let targets: Vec<SocketAddr> = (0..300).map(|n| SocketAddr::new(FRONT[0], 20_000 + n * 10)).collect();
    let plan = Plan::open(&targets, 100.0, Duration::from_mins(5)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan.patient_for(Duration::from_secs(10)))?;
    for _ in 0..3 {
        let output = stage.clearway(&["reload"])?;
        ensure!(said(&output).contains(": 3002 sockets taken over"), "{}", said(&output));
    }
    assert_no_client_lost(&load.finish_after(1)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn ten_thousand_servers() -> Result<()> {
    let stage = Stage::new("servers")?;
    let mut text = stage.plain();
    text.push_str("backend many\n");
    for number in 0..10_000 {
        let _ = writeln!(text, "    server s{number} 10.2.{}.{}:80", number / 250 + 10, number % 250 + 1);
    }
    stage.write(&text)?;
    let mut balancer = stage.start()?;
    let load = clearway_lab::load::start(
        &stage.hosts.client,
        stage.load(100.0, Duration::from_mins(5)).expecting(Expect::Anything),
    )?;
    for _ in 0..2 {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    assert_no_client_lost(&load.finish_after(1)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_thousand_certificates() -> Result<()> {
    let stage = Stage::new("certs")?;
    let directory = stage.path("certs");
    std::fs::create_dir(&directory)?;
    let pem = stage.path("one.pem");
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "1", "-subj", "/CN=clearway.test", "-keyout"])
        .arg(&pem)
        .arg("-out")
        .arg(stage.path("cert.pem"))
        .output();
    let Ok(made) = made else { return Err(CannotRun("`openssl` is not installed".to_owned()).into()) };
    ensure!(made.status.success(), "{}", complained(&made));
    let both = std::fs::read(&pem)?.into_iter().chain(std::fs::read(stage.path("cert.pem"))?);
    let both: Vec<u8> = both.collect();
    for number in 0..1000 {
        std::fs::write(directory.join(format!("{number}.pem")), &both)?;
    }
    let extra = format!(
        "listen tls\n    bind {}:8443 ssl crt {}\n    server s 127.0.0.1:9\n",
        FRONT[0],
        directory.display()
    );
    stage.write(&(stage.plain() + &extra))?;
    let mut balancer = stage.start()?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    ensure!(said(&output).contains(": 3 sockets taken over"), "{}", said(&output));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn ten_idle_clients_on_the_users_stats_socket() -> Result<()> {
    // HAProxy counts all stats sockets together, ten at a time by default (docs/facts H11).
    let stage = Stage::new("idle")?;
    let socket = stage.path("stats.sock");
    stage.write(&format!("global\n    stats socket {} level admin\n{}", socket.display(), stage.plain()))?;
    let mut balancer = stage.start()?;
    let connect = || UnixStream::connect(&socket).context("connecting to the stats socket");
    let idle: Vec<UnixStream> = (0..10).map(|_| connect()).collect::<Result<_>>()?;
    for _ in 0..2 {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    drop(idle);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_reload_for_which_descriptors_do_not_suffice() -> Result<()> {
    let stage = Stage::new("nofile")?;
    let many = format!("listen many\n    bind {}:20000-20399\n    server s 127.0.0.1:9\n", FRONT[0]);
    stage.write(&format!("global\n    maxconn 20\n{}{many}", stage.plain()))?;
    let mut balancer = stage.launch_under(&["prlimit", "--nofile=700:700"], &[])?;
    stage.wait_ready(&mut balancer)?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    let output = stage.clearway(&["reload"])?;
    ensure!(!output.status.success(), "it took: {}", said(&output));
    let words = complained(&output);
    ensure!(words.contains("nofile"), "the limit is not named: {words}");
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("generation 1 serving"), "{status}");
    stage.wait_ready(&mut balancer)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
