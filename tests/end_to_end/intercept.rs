//! An inline gateway: connections that go through the balancer's host to the servers' own addresses end at HAProxy, and
//! nothing was changed but the settings and a `bind ... transparent`.

pub mod closed;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::kernel::{counters, established, processes_in};
use clearway_lab::load::{Expect, Plan, RunningLoad, start};
use clearway_lab::server::{Mode, Server};
use clearway_lab::session::{Session, State};
use clearway_lab::topology::{BACK, Family};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{PORT, SOON, Stage, assert_code, assert_no_client_lost, said};
use crate::strategy::{STRATEGY, available};
use crate::takeover::NAMED;

crate::tests![
    clients_of_foreign_addresses_come_to_haproxy_and_servers_see_them,
    what_the_documentation_shows_works,
    a_fixed_server_gets_the_clients_of_all,
    a_listener_on_the_same_port_gets_them_too,
    only_clients_of_the_interface_that_was_named,
    connections_from_before_are_not_cut_off,
    a_client_that_uses_its_port_again_need_not_wait,
    reloads_and_crashes_lose_no_intercepted_client,
    no_strategy_loses_an_intercepted_client,
    a_successor_intercepts_from_then_on,
    without_clearway_clients_reach_the_servers,
    a_rule_without_a_listener_is_named,
    what_cannot_be_intercepted_is_refused,
];

/// Where HAProxy takes what is intercepted.
const LISTENER: u16 = 9080;

/// A port of the servers that is not intercepted.
const OTHER: u16 = 9999;

/// Everything that goes to the servers' port, in both families.
pub const ALL: (&str, &str) = ("CLEARWAY_INTERCEPT", "10.2.0.0/24,fd02::/64 port 8080 to 9080");

/// Each family has its listener; behind it where the client wanted to go, or the first server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    /// Where the client wanted to go, as the client.
    Wanted,
    /// The first server, from the balancer's own address.
    First,
}

/// Writes the configuration.
pub fn write(stage: &Stage, servers: Servers, port: u16) -> Result<()> {
    let of_family = |bind: &str, source: &str, wanted: &str, first: IpAddr| match servers {
        Servers::Wanted => format!(
            "listen l{}\n bind {bind} transparent\n source {source} usesrc clientip\n server s {wanted}\n",
            source.len()
        ),
        Servers::First => {
            let first = SocketAddr::new(first, PORT);
            format!("listen l{}\n bind {bind} transparent\n server s {first}\n", source.len())
        }
    };
    let [v4, v6] = Family::BOTH.map(|family| stage.hosts.servers(family)[0]);
    let defaults = "defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n";
    stage.write(&format!(
        "{defaults}{}{}",
        of_family(&format!("0.0.0.0:{port}"), "0.0.0.0", "0.0.0.0", v4),
        of_family(&format!(":::{port} v6only"), "ipv6@", "[::]", v6),
    ))
}

/// Starts Clearway and waits until it serves.
pub fn serve(stage: &Stage, variables: &[(&str, &str)]) -> Result<Balancer> {
    let balancer = stage.launch(&[], variables)?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    Ok(balancer)
}

/// The servers at their own addresses: the second one, where HAProxy sends no client by itself.
pub fn targets(stage: &Stage) -> [SocketAddr; 2] {
    Family::BOTH.map(|family| SocketAddr::new(stage.hosts.servers(family)[1], PORT))
}

/// What has the other end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Here,
    There,
}

/// Opens a session to each target, and says where they end.
pub fn open(stage: &Stage, to: SocketAddr) -> Result<(Session, Ends)> {
    let session = Session::open(&stage.hosts.client, to, None)?;
    let port = session.local_address()?.port();
    let here = established(&stage.hosts.balancer, &format!("dport = :{port} and sport = :{}", to.port()))?;
    Ok((session, if here.is_empty() { Ends::There } else { Ends::Here }))
}

/// All of the targets end here, or none does; the servers that were wanted see the clients.
pub fn assert_ends(stage: &Stage, wanted: Ends) -> Result<()> {
    for target in targets(stage) {
        let (session, ends) = open(stage, target)?;
        ensure!(ends == wanted, "{target}: it ends {ends:?}");
        ensure!(session.server() == "s2", "{target}: {} has answered", session.server());
        ensure!(session.peer_seen() == session.local_address()?.ip().to_string(), "the client is hidden");
    }
    Ok(())
}

/// Clients of all addresses to the targets.
pub fn load(stage: &Stage, rate: f64, duration: Duration, expect: Expect) -> Result<RunningLoad> {
    let plan = Plan::open(&targets(stage), rate, duration)
        .from(stage.hosts.client_addresses())
        .expecting(expect)
        .patient_for(Duration::from_secs(10));
    start(&stage.hosts.client, plan)
}

/// Stops it as planned: nothing is left.
pub fn end(stage: &Stage, mut balancer: Balancer) -> Result<()> {
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// Kills Clearway by a signal that it cannot catch, and waits until every process is gone.
pub fn kill(stage: &Stage, mut balancer: Balancer) -> Result<()> {
    balancer.signal(Signal::KILL)?;
    balancer.wait_exit(SOON)?;
    let gone = || processes_in(&stage.hosts.balancer).ok().filter(Vec::is_empty);
    eventually(SOON, "HAProxy to end with Clearway", gone).map(|_| ())
}

fn clients_of_foreign_addresses_come_to_haproxy_and_servers_see_them() -> Result<()> {
    let stage = Stage::new("inline")?;
    let elsewhere = targets(&stage).map(|target| SocketAddr::new(target.ip(), OTHER));
    let _other = Server::start(&stage.hosts.server, "s2", &elsewhere, Mode::Line)?;
    // A server on this host's own address, which is in the network and of the port.
    let own = BACK.map(|address| SocketAddr::new(address, PORT));
    let on_own = Server::start(&stage.hosts.balancer, "own", &own, Mode::Line)?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let balancer = serve(&stage, &[ALL])?;
    assert_ends(&stage, Ends::Here)?;
    for target in elsewhere {
        let (session, ends) = open(&stage, target)?;
        ensure!(ends == Ends::There && session.server() == "s2", "{target}: it ends {ends:?}");
    }
    for target in own {
        let (session, _) = open(&stage, target)?;
        ensure!(session.server() == "own", "{target} was intercepted: {} answers", session.server());
    }
    let report = load(&stage, 200.0, Duration::from_secs(2), Expect::OwnAddress)?.wait()?;
    assert_no_client_lost(&report)?;
    let status = said(&stage.clearway(&["status"])?);
    let line = "intercepted: 10.2.0.0/24,fd02::/64 port 8080 to 9080 (fails open)";
    ensure!(status.contains(line), "{status}");
    ensure!(!balancer.events("plumbing.intercepts", &[])?.is_empty(), "not said at the start");
    drop(on_own);
    end(&stage, balancer)
}

/// docs/how-to/transparent-proxying.md, "An inline gateway": its file and its setting.
fn what_the_documentation_shows_works() -> Result<()> {
    let stage = Stage::new("indoc")?;
    let page = include_str!("../../docs/how-to/transparent-proxying.md");
    let (_, page) = page.split_once("## An inline gateway").context("the section")?;
    let between = |begin: &str, end: &str| -> Result<&str> {
        let (_, rest) = page.split_once(begin).with_context(|| format!("no `{begin}`"))?;
        Ok(rest.split_once(end).with_context(|| format!("no `{end}` behind it"))?.0)
    };
    stage.write(between("```haproxy\n", "```")?)?;
    let balancer = serve(&stage, &[("CLEARWAY_INTERCEPT", between("CLEARWAY_INTERCEPT='", "'")?)])?;
    assert_ends(&stage, Ends::Here)?;
    let log = balancer.stderr()?;
    ensure!(!log.contains("no `bind`"), "{log}");
    end(&stage, balancer)
}

fn a_fixed_server_gets_the_clients_of_all() -> Result<()> {
    let stage = Stage::new("infix")?;
    write(&stage, Servers::First, LISTENER)?;
    let balancer = serve(&stage, &[ALL])?;
    for (target, back) in targets(&stage).into_iter().zip(BACK) {
        let (session, ends) = open(&stage, target)?;
        ensure!(ends == Ends::Here && session.server() == "s1", "{} answers {ends:?}", session.server());
        ensure!(session.peer_seen() == back.to_string(), "the server saw {}", session.peer_seen());
    }
    end(&stage, balancer)
}

/// There the rules for sockets find the listener, too, and must not let it go.
fn a_listener_on_the_same_port_gets_them_too() -> Result<()> {
    let stage = Stage::new("insame")?;
    write(&stage, Servers::Wanted, PORT)?;
    for fail in ["open", "closed"] {
        let rule = "10.2.0.3,fd02::3 port 8080 to 8080";
        let balancer = serve(&stage, &[("CLEARWAY_INTERCEPT", rule), ("CLEARWAY_INTERCEPT_FAIL", fail)])?;
        assert_ends(&stage, Ends::Here).context(fail)?;
        // The first server is not intercepted, and the listener hijacks nothing.
        for family in Family::BOTH {
            let (session, ends) = open(&stage, SocketAddr::new(stage.hosts.servers(family)[0], PORT))?;
            ensure!(ends == Ends::There && session.server() == "s1", "{fail}: it ends {ends:?}");
        }
        end(&stage, balancer)?;
    }
    Ok(())
}

fn only_clients_of_the_interface_that_was_named() -> Result<()> {
    let stage = Stage::new("iniface")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    for (interface, ends) in [("clients", Ends::Here), ("servers", Ends::There)] {
        let rule = format!("any port 8000-8099 from {interface} to 9080");
        let balancer = serve(&stage, &[("CLEARWAY_INTERCEPT", &rule)])?;
        assert_ends(&stage, ends).context(interface)?;
        end(&stage, balancer)?;
    }
    Ok(())
}

fn connections_from_before_are_not_cut_off() -> Result<()> {
    let stage = Stage::new("inbefore")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let mut before = Vec::new();
    for target in targets(&stage) {
        before.push(open(&stage, target)?.0);
    }
    let balancer = serve(&stage, &[ALL])?;
    assert_ends(&stage, Ends::Here)?;
    for session in &mut before {
        let heard = session.beat();
        ensure!(heard == State::Alive, "a connection from before is {heard:?}");
    }
    drop(before);
    end(&stage, balancer)
}

/// HAProxy has closed first, so the connection waits at this host (`TIME_WAIT`) when the same client and port come
/// again. Without `tproxy` for that SYN it is acknowledged as an old one, and sent again a second later.
fn a_client_that_uses_its_port_again_need_not_wait() -> Result<()> {
    let stage = Stage::new("inwait")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    stage.write(&format!(
        "{}\ndefaults\n mode tcp\n timeout client 1h\nlisten close4\n bind 0.0.0.0:9081 transparent\n \
         tcp-request content reject\nlisten close6\n bind :::9081 v6only transparent\n tcp-request content reject\n",
        std::fs::read_to_string(stage.file())?
    ))?;
    let rules = "10.2.0.0/24,fd02::/64 port 8080 to 9081";
    let balancer = serve(&stage, &[("CLEARWAY_INTERCEPT", rules)])?;
    let waiting = |port: u16| -> Result<usize> {
        let filter = format!("dport = :{port}");
        Ok(clearway_lab::kernel::ss(&stage.hosts.balancer, &["-tn", "state", "time-wait", &filter])?.len())
    };
    for (target, source) in targets(&stage).into_iter().zip(["10.1.0.2:23456", "[fd01::2]:23457"]) {
        let source: SocketAddr = source.parse()?;
        let again =
            || -> Result<u64> { Ok(*counters(&stage.hosts.client)?.get("TcpRetransSegs").unwrap_or(&0)) };
        let before = again()?;
        for round in 0..5 {
            stage.hosts.client.enter(|| closed_by_the_other_side(source, target))??;
            eventually(SOON, "HAProxy's end to be in TIME_WAIT", || {
                (waiting(source.port()).ok()? == 1).then_some(())
            })
            .with_context(|| format!("{target}, round {round}"))?;
        }
        ensure!(again()? == before, "{target}: the client had to send something again");
    }
    end(&stage, balancer)
}

/// Connects from this very port, waits until the other side closes, and closes.
fn closed_by_the_other_side(from: SocketAddr, to: SocketAddr) -> Result<()> {
    use std::io::Read;
    let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), SOON).context("connecting")?;
    socket.set_read_timeout(Some(SOON))?;
    let mut stream: std::net::TcpStream = socket.into();
    ensure!(stream.read(&mut [0; 16]).context("waiting for the end")? == 0, "something came");
    Ok(())
}

fn reloads_and_crashes_lose_no_intercepted_client() -> Result<()> {
    let stage = Stage::new("inload")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let mut balancer = serve(&stage, &[ALL])?;
    let mut sessions = Vec::new();
    let clients = load(&stage, 300.0, Duration::from_mins(2), Expect::OwnAddress)?;
    for _ in 0..5 {
        for target in targets(&stage) {
            sessions.push(open(&stage, target)?.0);
        }
        let output = stage.clearway(&["reload"])?;
        assert_code(output.status, 0)?;
        ensure!(said(&output).contains("2 sockets taken over"), "{}", said(&output));
    }
    assert_no_client_lost(&clients.finish_after(100)?)?;
    for session in &mut sessions {
        ensure!(session.beat() == State::Alive, "a session that was open before a reload is lost");
    }
    drop(sessions);
    balancer.wait_for_rest(SOON)?;
    // No connection passes by while HAProxy is away: the custody has the listeners, and clients wait.
    let clients = load(&stage, 100.0, Duration::from_mins(2), Expect::OwnAddress)?;
    for _ in 0..3 {
        let position = balancer.log_position()?;
        let serving = balancer.haproxy_processes();
        balancer.kill_descendant(*serving.first().context("a HAProxy")?)?;
        balancer.wait_for_event(position, "generation.serving", &[], SOON)?;
        assert_ends(&stage, Ends::Here)?;
    }
    crate::stage::assert_only_accepted_ones_lost(&clients.finish_after(50)?, 3)?;
    ensure!(balancer.is_running()?, "it has left");
    end(&stage, balancer)
}

/// The kernel looks the listener up before any gate, and a gate knows the listener's port, not the one that clients
/// call: whichever way sockets are moved, these clients are steered.
fn no_strategy_loses_an_intercepted_client() -> Result<()> {
    for strategy in available(["reuseport", "syn-drop", "plug", "tableflip", "auto"]) {
        let stage = Stage::new("instrat")?;
        write(&stage, Servers::Wanted, LISTENER)?;
        let balancer = serve(&stage, &[ALL, (STRATEGY, strategy)])?;
        let clients = load(&stage, 300.0, Duration::from_mins(2), Expect::OwnAddress)?;
        for _ in 0..5 {
            assert_code(stage.clearway(&["reload"])?.status, 0)?;
        }
        let report = clients.finish_after(50)?;
        assert_no_client_lost(&report).with_context(|| strategy.to_owned())?;
        assert_ends(&stage, Ends::Here)?;
        end(&stage, balancer).with_context(|| strategy.to_owned())?;
    }
    Ok(())
}

fn a_successor_intercepts_from_then_on() -> Result<()> {
    let stage = Stage::new("intake")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let mut first = serve(&stage, &[ALL, NAMED])?;
    let (mut old, _) = open(&stage, targets(&stage)[0])?;
    let clients = load(&stage, 200.0, Duration::from_mins(2), Expect::OwnAddress)?;
    // It intercepts IPv6 alone.
    let only = ("CLEARWAY_INTERCEPT", "fd02::/64 port 8080 to 9080");
    let second = serve(&stage, &[only, NAMED])?;
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;
    let [v4, v6] = targets(&stage);
    let ends = |target| -> Result<Ends> { Ok(open(&stage, target)?.1) };
    // The former one says so, and does it then.
    eventually(SOON, "the former one to intercept nothing any more", || {
        (ends(v4).ok()? == Ends::There).then_some(())
    })?;
    ensure!(ends(v6)? == Ends::Here, "it is not intercepted");
    ensure!(old.beat() == State::Alive, "a session of the former one is lost");
    assert_no_client_lost(&clients.finish_after(50)?)?;
    drop(old);
    assert_code(first.wait_exit(SOON)?, 0)?;
    ensure!([ends(v4)?, ends(v6)?] == [Ends::There, Ends::Here], "the former one took something along");
    end(&stage, second)
}

fn without_clearway_clients_reach_the_servers() -> Result<()> {
    let stage = Stage::new("inopen")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let balancer = serve(&stage, &[ALL, ("CLEARWAY_INTERCEPT_FAIL", "open")])?;
    assert_ends(&stage, Ends::Here)?;
    kill(&stage, balancer)?;
    // Before Linux 5.12 the table stays: no process listens, so it intercepts nothing.
    assert_ends(&stage, Ends::There)?;
    // A connection past it from meanwhile stays so.
    let (mut past, _) = open(&stage, targets(&stage)[0])?;
    let balancer = serve(&stage, &[ALL])?;
    assert_ends(&stage, Ends::Here)?;
    ensure!(past.beat() == State::Alive, "a connection from meanwhile is cut off");
    drop(past);
    end(&stage, balancer)
}

fn a_rule_without_a_listener_is_named() -> Result<()> {
    let stage = Stage::new("innobody")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let wrong = ("CLEARWAY_INTERCEPT", "10.2.0.0/24,fd02::/64 port 8080 to 9085");
    let balancer = serve(&stage, &[wrong])?;
    let log = balancer.stderr()?;
    for text in [
        "no `bind` with `transparent` takes IPv4 connections on port 9085",
        "no `bind` with `transparent` takes IPv6 connections on port 9085",
        "`bind :::9085 v6only transparent`",
    ] {
        ensure!(log.contains(text), "`{text}` is missing in:\n{log}");
    }
    assert_ends(&stage, Ends::There)?;
    let file = stage.file().display().to_string();
    for words in [&["check"][..], &["doctor"]] {
        let ask = |rule: &str| {
            stage.clearway(&[words, &["--intercept", rule, "--", "haproxy", "-f", &file]].concat())
        };
        let output = ask(wrong.1)?;
        assert_code(output.status, 2).with_context(|| said(&output))?;
        ensure!(said(&output).contains("IPv6 connections on port 9085"), "{words:?}: {}", said(&output));
        let output = ask(ALL.1)?;
        assert_code(output.status, 0).with_context(|| said(&output))?;
        ensure!(said(&output).contains("intercepted on the way through"), "{words:?}: {}", said(&output));
    }
    stage.hosts.balancer.sysctl("net/ipv4/ip_forward", "0")?;
    let output = stage.clearway(&["check", "--intercept", ALL.1, "--", "haproxy", "-f", &file])?;
    ensure!(said(&output).contains("net.ipv4.ip_forward is 0"), "{}", said(&output));
    end(&stage, balancer)
}

fn what_cannot_be_intercepted_is_refused() -> Result<()> {
    let stage = Stage::new("inbad")?;
    write(&stage, Servers::First, LISTENER)?;
    let refused = |mut balancer: Balancer, code: i32, texts: &[&str]| -> Result<()> {
        let status = balancer.wait_exit(SOON)?;
        let log = balancer.stderr()?;
        ensure!(status.code() == Some(code), "{status} instead of exit code {code}:\n{log}");
        for text in texts {
            ensure!(log.contains(text), "`{text}` is missing in:\n{log}");
        }
        stage.assert_clean()
    };
    let wrong =
        stage.launch(&[], &[("CLEARWAY_INTERCEPT", "any port 25 to 2525; 10.2.0.1/24 port 80 to 9080")])?;
    refused(wrong, 64, &["CLEARWAY_INTERCEPT", "rule 2", "`10.2.0.1/24`", "`10.2.0.0/24`"])?;
    let wrong = stage.launch(&[], &[ALL, ("CLEARWAY_INTERCEPT_FAIL", "shut")])?;
    refused(wrong, 64, &["`shut`", "`closed`"])?;
    for (missing, name) in [("-net_admin", "NET_ADMIN"), ("-net_raw", "NET_RAW")] {
        let wrapper = ["setpriv", "--bounding-set", missing, "--inh-caps", missing];
        let balancer = stage.launch_under(&wrapper, &[ALL])?;
        refused(balancer, 77, &["CLEARWAY_INTERCEPT", name, "--cap-add"])?;
    }
    Ok(())
}
