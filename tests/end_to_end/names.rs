//! Servers by name, over real DNS: where they go, the plumbing and the canary go along, as with those that are added at
//! run time. Nothing is reloaded.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::{Ask, ask_once};
use clearway_lab::names::Names;
use clearway_lab::topology::{BACK, Family};
use clearway_lab::wait::eventually;
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{PORT, SOON, Stage, assert_code, assert_no_client_lost, said};
use crate::topologies::{loopback, serve_here};

crate::tests![
    names_that_move_to_this_host_and_away_are_followed,
    a_template_is_followed_server_by_server,
    a_server_that_is_added_at_run_time_is_followed,
];

/// HAProxy is asked every ten seconds.
const PATIENT: Duration = Duration::from_secs(40);

/// The beginning of the configuration: the resolver, and the socket for commands. HAProxy ignores IPv6 answers where
/// it sees no way to the IPv6 Internet (`dns-accept-family auto`, the default since 3.3), and the lab has none.
fn beginning(stage: &Stage, names: &Names) -> String {
    format!(
        "global\n stats socket {} level admin\n.if version_atleast(3.3)\n dns-accept-family ipv4,ipv6\n.endif\n\
         resolvers lab\n nameserver n {}\n hold valid 1s\n hold obsolete 1s\n timeout resolve 1s\n timeout retry 1s\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout \
         server 1h\n",
        stage.path("stats").display(),
        names.address()
    )
}

/// A `listen` for each family with this line for its server; `{4}` is 4 or 6.
fn listens(stage: &Stage, server: &str) -> String {
    let family = |(index, front): (usize, SocketAddr)| {
        let (number, only) = if front.is_ipv4() { ("4", "") } else { ("6", " v6only") };
        let source = if front.is_ipv4() { "0.0.0.0" } else { "ipv6@" };
        let server = server.replace("{4}", number);
        format!(
            "listen f{index}\n bind {front}{only}\n source {source} usesrc clientip\n {server} resolvers lab \
             resolve-prefer ipv{number} init-addr none\n"
        )
    };
    stage.fronts().into_iter().enumerate().map(family).collect()
}

/// What the canary says of each server: address, verdict and line.
fn canary(stage: &Stage) -> Result<Vec<(String, String, String)>> {
    let status: Value = serde_json::from_str(&said(&stage.clearway(&["status", "--json"])?))?;
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let all = status["canary"].as_array().context("a canary")?;
    Ok(all.iter().map(|one| (text(one, "address"), text(one, "verdict"), text(one, "line"))).collect())
}

/// Waits until the canary has come to these and no others, and they work.
fn canary_is_at(stage: &Stage, addresses: &[SocketAddr]) -> Result<()> {
    let mut wanted: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    wanted.sort();
    let there = eventually(PATIENT, &format!("the canary to come to {wanted:?}"), || {
        let seen = canary(stage).ok()?;
        let mut at: Vec<&String> = seen.iter().map(|(address, ..)| address).collect();
        at.sort();
        (at == wanted.iter().collect::<Vec<_>>() && seen.iter().all(|one| one.1 == "works")).then_some(())
    });
    there.with_context(|| format!("{:?}", canary(stage)))
}

/// Both fronts answer by the server of this name, which sees the client.
fn answered_by(stage: &Stage, name: &str) -> Result<()> {
    for front in stage.fronts() {
        let seen = eventually(PATIENT, &format!("an answer of {name} through {front}"), || {
            let answer = stage.hosts.client.enter(|| ask_once(front, Ask::Line, Duration::from_secs(2)));
            answer.ok()?.ok().filter(|answer| answer.trim_end().ends_with(name))
        })?;
        ensure!(seen.starts_with(&front.ip().to_string()[..5]), "the server saw {seen}");
    }
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(100.0, Duration::from_secs(1)))?;
    assert_no_client_lost(&load.wait()?)
}

/// How many rules for loopback servers there are, and whether connections are tracked.
fn plumbing(stage: &Stage) -> Result<(usize, bool)> {
    let host = &stage.hosts.balancer;
    let rules = host.ip(&["-4", "rule"])? + &host.ip(&["-6", "rule"])?;
    let ruleset = host.output("nft", &["list", "ruleset"])?;
    Ok((rules.matches("904:").count(), ruleset.contains("ct mark")))
}

fn plumbing_is(stage: &Stage, wanted: (usize, bool)) -> Result<()> {
    let there = eventually(PATIENT, &format!("the plumbing to be {wanted:?}"), || {
        (plumbing(stage).ok()? == wanted).then_some(())
    });
    there.with_context(|| format!("{:?}", plumbing(stage)))
}

fn names_that_move_to_this_host_and_away_are_followed() -> Result<()> {
    let stage = Stage::new("nmove")?;
    let names = Names::start(&stage.hosts.balancer)?;
    let _lo = serve_here(&stage, loopback(), PORT)?;
    let _own = clearway_lab::server::Server::start(
        &stage.hosts.balancer,
        "own",
        &BACK.map(|own| SocketAddr::new(own, PORT)),
        clearway_lab::server::Mode::Line,
    )?;
    let remote = Family::BOTH.map(|family| stage.hosts.servers(family)[0]);
    let go = |to: [IpAddr; 2]| {
        for (name, address) in ["server4.lab", "server6.lab"].into_iter().zip(to) {
            names.set(name, &[address]);
        }
        to.map(|address| SocketAddr::new(address, PORT))
    };
    let at = go(remote);
    let server = format!("server s server{{4}}.lab:{PORT}");
    stage.write(&(beginning(&stage, &names) + &listens(&stage, &server)))?;
    // This host has no default route: its own servers have no way at all to the usual address of the canary.
    let probe = [("CLEARWAY_CANARY_ADDRESS", "10.1.0.250,fd01::fa")];
    let mut balancer = stage.start_with(&[], &probe)?;
    for (to, server, wanted) in [
        (None, "s1", (0, false)),
        (Some(loopback()), "here", (2, false)),
        (Some(BACK), "own", (0, true)),
        (Some(remote), "s1", (0, false)),
    ] {
        let at = to.map_or(at, go);
        canary_is_at(&stage, &at).with_context(|| server.to_owned())?;
        plumbing_is(&stage, wanted).with_context(|| server.to_owned())?;
        answered_by(&stage, server)?;
    }
    // Servers without an address in the files have a line nevertheless.
    let lines = canary(&stage)?;
    let file = stage.file().display().to_string();
    ensure!(lines.iter().all(|(_, _, line)| line.starts_with(&format!("`s`, {file}:"))), "{lines:?}");
    let doctor = said(&stage.clearway(&["doctor", "-f", &file])?);
    ensure!(doctor.contains("the files do not say, so what is in their way is not known here"), "{doctor}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_kernel_clean()
}

fn a_template_is_followed_server_by_server() -> Result<()> {
    let stage = Stage::new("ntempl")?;
    let names = Names::start(&stage.hosts.balancer)?;
    let _lo = serve_here(&stage, loopback(), PORT)?;
    let set = |addresses: [&[IpAddr]; 2]| {
        for (name, addresses) in ["pool4.lab", "pool6.lab"].into_iter().zip(addresses) {
            names.set(name, addresses);
        }
        let all = addresses.into_iter().flatten();
        all.map(|address| SocketAddr::new(*address, PORT)).collect::<Vec<_>>()
    };
    let [v4, v6] = Family::BOTH.map(|family| stage.hosts.servers(family));
    let both = set([&v4, &v6]);
    ensure!(both.len() == 4, "{both:?}");
    let server = format!("server-template t 3 pool{{4}}.lab:{PORT}");
    stage.write(&(beginning(&stage, &names) + &listens(&stage, &server)))?;
    let mut balancer = stage.start()?;
    canary_is_at(&stage, &both)?;
    let lines = canary(&stage)?;
    ensure!(
        lines.iter().any(|(_, _, line)| line.starts_with("`t2`, ") && line.contains(".cfg:")),
        "{lines:?}"
    );
    plumbing_is(&stage, (0, false))?;
    // One of them comes here, then only that is left.
    let [here4, here6] = loopback();
    canary_is_at(&stage, &set([&[v4[0], here4], &[v6[0], here6]]))?;
    plumbing_is(&stage, (2, false))?;
    let report = clearway_lab::load::start(&stage.hosts.client, stage.load(100.0, Duration::from_secs(1)))?;
    assert_no_client_lost(&report.wait()?)?;
    canary_is_at(&stage, &set([&[here4], &[here6]]))?;
    answered_by(&stage, "here")?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_kernel_clean()
}

/// Says something to HAProxy itself.
fn tell(stage: &Stage, commands: &str) -> Result<String> {
    let mut stream = UnixStream::connect(stage.path("stats"))?;
    stream.write_all(format!("{commands}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn a_server_that_is_added_at_run_time_is_followed() -> Result<()> {
    let stage = Stage::new("nadd")?;
    let admin = format!("global\n stats socket {} level admin\n", stage.path("stats").display());
    stage.write(&(admin + &stage.transparent()))?;
    let _lo = serve_here(&stage, loopback(), PORT)?;
    let mut balancer = stage.start()?;
    let remote = Family::BOTH.map(|family| SocketAddr::new(stage.hosts.servers(family)[0], PORT));
    canary_is_at(&stage, &remote)?;
    let here = loopback().map(|address| SocketAddr::new(address, PORT));
    for (proxy, address) in ["f0", "f1"].into_iter().zip(here) {
        // Before 2.6 it is an experiment.
        let add = format!("experimental-mode on; add server {proxy}/later {address}");
        let answer = tell(&stage, &add)?;
        ensure!(answer.contains("New server registered"), "{answer}");
        for command in [format!("enable server {proxy}/later"), format!("set server {proxy}/s state maint")] {
            tell(&stage, &command)?;
        }
    }
    canary_is_at(&stage, &here)?;
    plumbing_is(&stage, (2, false))?;
    answered_by(&stage, "here")?;
    let lines = canary(&stage)?;
    ensure!(lines.iter().any(|(_, _, line)| line == "`f0/later`, added at run time"), "{lines:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_kernel_clean()
}
