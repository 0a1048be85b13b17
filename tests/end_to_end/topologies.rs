//! Wherever the servers are, they see the clients' own addresses, over IPv4 and IPv6; and connections around the
//! proxy are not touched.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::{Ask, Expect, Plan, ask_once};
use clearway_lab::namespace::Namespace;
use clearway_lab::server::{Mode, Server};
use clearway_lab::session::{Session, State};
use clearway_lab::topology::BACK;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{PORT, SOON, Stage, assert_code, assert_no_client_lost, complained};

crate::tests![
    servers_with_another_gateway_and_a_policy_route,
    servers_that_know_the_balancer_by_its_link_layer_address,
    servers_on_a_loopback_address,
    servers_on_an_address_of_this_host,
    servers_here_and_elsewhere_at_once_and_reloads_between_them,
    a_server_that_moves_to_this_host_at_run_time_is_followed,
    what_is_not_needed_is_not_there,
];

/// Where servers on the balancer's own host listen.
pub const HERE: u16 = 9090;

/// The transparent configuration with these servers, one for each family.
pub fn write(stage: &Stage, servers: [IpAddr; 2], port: u16) -> Result<()> {
    let mut text =
        String::from("defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n");
    let sources = ["source 0.0.0.0 usesrc clientip", "source ipv6@ usesrc clientip"];
    for ((index, front), server) in stage.fronts().into_iter().enumerate().zip(servers) {
        let only = if front.is_ipv6() { " v6only" } else { "" };
        let server = SocketAddr::new(server, port);
        let source = sources[index];
        let _ = write!(text, "listen f{index}\n bind {front}{only}\n {source}\n server s {server}\n");
    }
    stage.write(&text)
}

/// Every client's own address is seen, over both families.
fn assert_transparent(stage: &Stage) -> Result<()> {
    let report =
        clearway_lab::load::start(&stage.hosts.client, stage.load(200.0, Duration::from_secs(1)))?.wait()?;
    assert_no_client_lost(&report)
}

/// Connections past the proxy, which see themselves.
fn assert_direct(from: &Namespace, servers: [IpAddr; 2], port: u16) -> Result<()> {
    let servers = servers.map(|server| SocketAddr::new(server, port));
    let plan = Plan::open(&servers, 100.0, Duration::from_secs(1)).expecting(Expect::OwnAddress);
    assert_no_client_lost(&clearway_lab::load::start(from, plan)?.wait()?).context("past the proxy")
}

fn end(stage: &Stage, mut balancer: Balancer) -> Result<()> {
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_kernel_clean()
}

/// The default gateway is a host that does not answer.
fn without_a_way_back(stage: &Stage) -> Result<()> {
    let server = &stage.hosts.server;
    server.ip(&["-4", "route", "replace", "default", "via", "10.2.0.254"])?;
    server.ip(&["-6", "route", "replace", "default", "via", "fd02::fe"])?;
    Ok(())
}

fn servers_with_another_gateway_and_a_policy_route() -> Result<()> {
    let stage = Stage::new("tpolicy")?;
    without_a_way_back(&stage)?;
    for (family, net, gateway) in [("-4", "10.2.0.0/24", BACK[0]), ("-6", "fd02::/64", BACK[1])] {
        let (port, gateway) = (PORT.to_string(), gateway.to_string());
        let server = &stage.hosts.server;
        server.ip(&[family, "rule", "add", "from", net, "ipproto", "tcp", "sport", &port, "lookup", "77"])?;
        server.ip(&[family, "route", "add", "default", "via", &gateway, "table", "77"])?;
    }
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    assert_transparent(&stage)?;
    end(&stage, balancer)
}

/// Only what came from the balancer goes back there.
fn servers_that_know_the_balancer_by_its_link_layer_address() -> Result<()> {
    let stage = Stage::new("tlink")?;
    without_a_way_back(&stage)?;
    let links = stage.hosts.balancer.ip(&["-o", "link", "show", "dev", "servers"])?;
    let mut words = links.split_whitespace().skip_while(|word| *word != "link/ether");
    let address = words.nth(1).context("the balancer's link-layer address")?;
    let server = &stage.hosts.server;
    server.nft(&format!(
        "table inet back {{
           chain in {{ type filter hook prerouting priority mangle; ether saddr {address} ct mark set 0x1; }}
           chain out {{ type route hook output priority mangle; ct mark 0x1 meta mark set 0x1; }}
         }}"
    ))?;
    for (family, gateway) in [("-4", BACK[0]), ("-6", BACK[1])] {
        server.ip(&[family, "rule", "add", "fwmark", "0x1", "lookup", "77"])?;
        server.ip(&[family, "route", "add", "default", "via", &gateway.to_string(), "table", "77"])?;
    }
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    assert_transparent(&stage)?;
    end(&stage, balancer)
}

/// The loopback addresses.
pub fn loopback() -> [IpAddr; 2] {
    [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])]
}

/// A server in the balancer's own network.
pub fn serve_here(stage: &Stage, addresses: [IpAddr; 2], port: u16) -> Result<Server> {
    let listen = addresses.map(|address| SocketAddr::new(address, port));
    Server::start(&stage.hosts.balancer, "here", &listen, Mode::Line)
}

/// What Clearway has in the kernel, as `nft` lists it.
fn table(stage: &Stage) -> Result<String> {
    stage.hosts.balancer.output("nft", &["list", "ruleset"])
}

fn servers_on_a_loopback_address() -> Result<()> {
    let stage = Stage::new("tlo")?;
    let _server = serve_here(&stage, loopback(), HERE)?;
    write(&stage, loopback(), HERE)?;
    let balancer = stage.start()?;
    assert_transparent(&stage)?;
    assert_direct(&stage.hosts.balancer, loopback(), HERE)?;
    let table = table(&stage)?;
    ensure!(!table.contains("ct "), "connections are tracked and need not be:\n{table}");
    end(&stage, balancer)?;
    assert_direct(&stage.hosts.balancer, loopback(), HERE)
}

fn servers_on_an_address_of_this_host() -> Result<()> {
    let stage = Stage::new("town")?;
    for sysctl in ["src_valid_mark", "rp_filter"] {
        for interface in ["all", "default", "clients", "servers"] {
            stage.hosts.balancer.sysctl(&format!("net/ipv4/conf/{interface}/{sysctl}"), "1")?;
        }
    }
    let _server = serve_here(&stage, BACK, HERE)?;
    write(&stage, BACK, HERE)?;
    let balancer = stage.start()?;
    assert_transparent(&stage)?;
    // From other hosts and from this one.
    assert_direct(&stage.hosts.client, BACK, HERE)?;
    assert_direct(&stage.hosts.balancer, BACK, HERE)?;
    end(&stage, balancer)?;
    assert_direct(&stage.hosts.client, BACK, HERE)
}

fn servers_here_and_elsewhere_at_once_and_reloads_between_them() -> Result<()> {
    let stage = Stage::new("tboth")?;
    let _lo = serve_here(&stage, loopback(), HERE)?;
    let _own = serve_here(&stage, BACK, HERE + 1)?;
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(200.0, Duration::from_mins(1)))?;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        for (servers, port) in [(loopback(), HERE), (BACK, HERE + 1)] {
            write(&stage, servers, port)?;
            let output = stage.clearway(&["reload"])?;
            assert_code(output.status, 0).with_context(|| complained(&output))?;
            for front in stage.fronts() {
                sessions.push(Session::open(&stage.hosts.client, front, None)?);
            }
        }
        stage.write(&stage.transparent())?;
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    // What an old generation still needs has not been taken away.
    for session in &mut sessions {
        let heard = session.beat();
        ensure!(heard == State::Alive, "a session that was opened before the reloads: {heard:?}");
    }
    drop(sessions);
    end(&stage, balancer)
}

fn a_server_that_moves_to_this_host_at_run_time_is_followed() -> Result<()> {
    let stage = Stage::new("tmove")?;
    let _lo = serve_here(&stage, loopback(), HERE)?;
    let socket = stage.path("stats");
    let admin = format!("global\n stats socket {} level admin\n", socket.display());
    stage.write(&(admin + &stage.transparent()))?;
    let balancer = stage.start()?;
    for (proxy, address) in ["f0", "f1"].into_iter().zip(loopback()) {
        let command = format!("set server {proxy}/s addr {address} port {HERE}\n");
        let mut stream = std::os::unix::net::UnixStream::connect(&socket)?;
        std::io::Write::write_all(&mut stream, command.as_bytes())?;
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer)?;
    }
    balancer.wait_for_event(0, "plumbing.followed", &[], SOON)?;
    for front in stage.fronts() {
        let seen = eventually(SOON, "the server on this host to answer", || {
            let answer = stage.hosts.client.enter(|| ask_once(front, Ask::Line, Duration::from_secs(2)));
            answer.ok()?.ok().filter(|answer| answer.contains("here"))
        })?;
        ensure!(seen.starts_with(&front.ip().to_string()[..5]), "the server saw {seen}");
    }
    assert_transparent(&stage)?;
    end(&stage, balancer)
}

fn what_is_not_needed_is_not_there() -> Result<()> {
    let stage = Stage::new("tneed")?;
    stage.write(&stage.transparent())?;
    let balancer = stage.start()?;
    let table = table(&stage)?;
    ensure!(!table.contains("ct ") && !table.contains("hook output"), "{table}");
    let rules = stage.hosts.balancer.ip(&["rule"])?;
    ensure!(rules.matches("proto 179").count() == 3, "{rules}");
    end(&stage, balancer)
}
