//! `bind ... interface NAME`, and an interface that is deleted and made anew: the socket in custody is dead then.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::kernel::ss;
use clearway_lab::load::{Ask, Class, Expect, ask_once};
use clearway_lab::wait::eventually_because;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, assert_no_client_lost, assert_only_accepted_ones_lost, said};

crate::tests![
    an_interface_that_is_made_anew_gets_new_sockets_at_a_reload,
    an_interface_that_is_made_anew_gets_new_sockets_after_a_crash,
    a_network_that_is_gone_is_no_health,
];

/// The balancer's addresses on a second cable to the client, and the client's.
const NEAR: [&str; 2] = ["10.8.0.1", "fd08::1"];
const FAR: [&str; 2] = ["10.8.0.2/24", "fd08::2/64"];
const CABLE: &str = "vip0";

fn lay_cable(stage: &Stage) -> Result<()> {
    let (balancer, client) = (&stage.hosts.balancer, &stage.hosts.client);
    balancer.ip(&["link", "add", CABLE, "type", "veth", "peer", "name", "far0", "netns", client.name()])?;
    balancer.ip(&["address", "add", &format!("{}/24", NEAR[0]), "dev", CABLE])?;
    balancer.ip(&["address", "add", &format!("{}/64", NEAR[1]), "dev", CABLE, "nodad"])?;
    client.ip(&["address", "add", FAR[0], "dev", "far0"])?;
    client.ip(&["address", "add", FAR[1], "dev", "far0", "nodad"])?;
    for (host, end) in [(balancer, CABLE), (client, "far0")] {
        host.ip(&["link", "set", end, "addrgenmode", "none", "up"])?;
    }
    Ok(())
}

fn cut_cable(stage: &Stage) -> Result<()> {
    stage.hosts.balancer.ip(&["link", "del", CABLE]).map(|_| ())
}

/// Where clients find the sockets of the cable.
fn targets() -> Result<Vec<SocketAddr>> {
    NEAR.iter().map(|address| Ok(SocketAddr::new(address.parse()?, 8080))).collect()
}

fn write(stage: &Stage) -> Result<()> {
    let [v4, v6] = NEAR;
    stage.write(&format!(
        "{}listen cable\n    bind {v4}:8080 interface {CABLE}\n    bind {v6}:8080 v6only interface {CABLE}\n    \
         server s 10.2.0.2:8080\n\
         log-forward logs\n    dgram-bind {v4}:514 interface {CABLE}\n    log stderr local0\n",
        stage.plain()
    ))
}

fn served(stage: &Stage, balancer: &mut Balancer) -> Result<()> {
    for target in targets()? {
        balancer.wait_ready(&stage.hosts.client, target, Ask::Line, SOON)?;
    }
    Ok(())
}

/// No process listens on the new interface: its clients are refused, which is the outage.
fn refused(stage: &Stage) -> Result<()> {
    for target in targets()? {
        stage.hosts.client.enter(|| {
            // Until the neighbours of the new cable know each other.
            eventually_because(SOON, &format!("{target} to refuse"), || {
                let answer = ask_once(target, Ask::Line, Duration::from_secs(2));
                ensure!(matches!(answer, Err(Class::Refused)), "{target} answered {answer:?}");
                Ok(())
            })
        })??;
    }
    Ok(())
}

/// What `ss` shows of the cable: one socket for each line, and (`%if7`) none of an interface that is gone.
fn sockets(stage: &Stage) -> Result<Vec<String>> {
    let all = [ss(&stage.hosts.balancer, &["-tln"])?, ss(&stage.hosts.balancer, &["-uln"])?].concat();
    let local = all.iter().filter_map(|line| line.split_whitespace().nth(3));
    let ours = local.filter(|local| NEAR.iter().any(|near| local.contains(near)));
    let mut ours: Vec<String> = ours.map(str::to_owned).collect();
    ours.sort();
    Ok(ours)
}

fn assert_one_each(stage: &Stage) -> Result<()> {
    let [v4, v6] = NEAR;
    let wanted = [format!("{v4}%{CABLE}:514"), format!("{v4}%{CABLE}:8080"), format!("[{v6}]%{CABLE}:8080")];
    eventually_because(SOON, "one socket for each line", || {
        let seen = sockets(stage)?;
        ensure!(seen == wanted, "{seen:?}");
        Ok(())
    })
}

fn reload(stage: &Stage) -> Result<String> {
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0).with_context(|| said(&output))?;
    Ok(said(&output))
}

/// The log has said of each socket why it is no longer used, and where its line is.
fn assert_explained(stage: &Stage, balancer: &Balancer, position: u64) -> Result<()> {
    let text = std::fs::read_to_string(stage.file())?;
    for (word, address) in [
        ("bind 10.8.0.1:8080", "10.8.0.1:8080"),
        ("bind fd08::1:8080", "[fd08::1]:8080"),
        ("dgram-bind 10.8.0.1:514", "udp4@10.8.0.1:514"),
    ] {
        let line = text.lines().position(|line| line.contains(word)).context("no such line")? + 1;
        let words = format!("the socket of {address} (");
        let found = balancer.wait_for_log(position, &words, SOON)?;
        let explained = found.contains("the interface `vip0` was deleted and made anew");
        ensure!(explained && found.contains(&format!("haproxy.cfg:{line})")), "{found}");
    }
    Ok(())
}

fn an_interface_that_is_made_anew_gets_new_sockets_at_a_reload() -> Result<()> {
    let stage = Stage::new("device")?;
    lay_cable(&stage)?;
    write(&stage)?;
    let mut balancer = stage.start()?;
    served(&stage, &mut balancer)?;
    ensure!(reload(&stage)?.contains("5 sockets taken over"), "an interface that stays changes nothing");
    assert_one_each(&stage)?;
    // Clients of everything else are to notice nothing.
    let plan = stage.load(200.0, Duration::from_mins(1)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;

    cut_cable(&stage)?;
    // As long as there is none, a reload works for all others, and the sockets wait.
    ensure!(reload(&stage)?.contains("5 sockets taken over"));
    lay_cable(&stage)?;
    refused(&stage)?;
    let position = balancer.log_position()?;
    ensure!(reload(&stage)?.contains("2 sockets taken over"));
    assert_explained(&stage, &balancer, position)?;
    served(&stage, &mut balancer)?;
    assert_one_each(&stage)?;
    // From now on they are taken over again.
    ensure!(reload(&stage)?.contains("5 sockets taken over"));
    served(&stage, &mut balancer)?;

    assert_no_client_lost(&load.finish_after(50)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(sockets(&stage)?.is_empty(), "{:?}", sockets(&stage)?);
    Ok(())
}

fn an_interface_that_is_made_anew_gets_new_sockets_after_a_crash() -> Result<()> {
    let stage = Stage::new("device-crash")?;
    lay_cable(&stage)?;
    write(&stage)?;
    let mut balancer = stage.start()?;
    served(&stage, &mut balancer)?;
    let plan = stage.load(200.0, Duration::from_mins(1)).expecting(Expect::Anything);
    let plan = plan.patient_for(Duration::from_secs(10));
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    std::thread::sleep(Duration::from_millis(1200)); // it has served for longer than a crash loop would

    cut_cable(&stage)?;
    lay_cable(&stage)?;
    refused(&stage)?;
    let position = balancer.log_position()?;
    let log = balancer.stderr()?;
    let worker = log.lines().find_map(|line| line.split(" serves, worker ").nth(1)?.split(':').next());
    balancer.kill_descendant(worker.context("no worker in the log")?.parse()?)?;
    balancer.wait_for_event(position, "generation.serving", &[("generation", &2)], SOON)?;
    assert_explained(&stage, &balancer, position)?;
    served(&stage, &mut balancer)?;
    assert_one_each(&stage)?;

    assert_only_accepted_ones_lost(&load.finish_after(50)?, 1)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

/// What a container sees that shares the network of one that is started again.
fn a_network_that_is_gone_is_no_health() -> Result<()> {
    let stage = Stage::new("netgone")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let ask = |words: &[&str]| stage.clearway(words);
    assert_code(ask(&["health"])?.status, 0)?;
    let links = stage.hosts.balancer.ip(&["-brief", "link"])?;
    // `lo  UNKNOWN ...`, `to-client@if3  UP ...`
    let names = links.lines().filter_map(|line| line.split([' ', '@']).next()).filter(|name| *name != "lo");
    for name in names.collect::<Vec<_>>() {
        // Those that every namespace has cannot be deleted.
        if stage.hosts.balancer.ip(&["link", "del", name]).is_err() {
            println!("{name} stays");
        }
    }
    let health = ask(&["health"])?;
    ensure!(!health.status.success() && said(&health).contains("the network is gone"), "{}", said(&health));
    balancer.wait_for_event(0, "network.gone", &[], SOON)?;
    let told: serde_json::Value = serde_json::from_slice(&ask(&["health", "--json"])?.stdout)?;
    ensure!(told["serving"] == false && told["reason"].as_str().is_some(), "{told}");
    let status = said(&ask(&["status"])?);
    ensure!(status.contains("UNREACHABLE: the network is gone"), "{status}");
    let status: serde_json::Value = serde_json::from_slice(&ask(&["status", "--json"])?.stdout)?;
    ensure!(status["state"] == "serving" && status["network_gone"] == true, "{status}");
    let check = ask(&["status", "--check"])?;
    assert_code(check.status, 2).with_context(|| said(&check))?;
    ensure!(said(&check).contains("serving: the network is gone"), "{}", said(&check));
    let doctor = said(&ask(&["doctor"])?);
    ensure!(doctor.contains("the network that Clearway began in is gone"), "{doctor}");
    // It counts as soon as there is one again.
    lay_cable(&stage)?;
    assert_code(ask(&["health"])?.status, 0)?;
    assert_code(ask(&["status", "--check"])?.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
