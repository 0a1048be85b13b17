//! What is intercepted and fails closed: no client gets to a server past HAProxy, whichever process dies.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use clearway_lab::load::{Ask, Class, Expect, ask_once};
use clearway_lab::session::State;
use clearway_lab::topology::BACK;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use super::{ALL, Ends, LISTENER, Servers, assert_ends, end, kill, load, open, serve, targets, write};
use crate::holder;
use crate::repair::meddlers::ours;
use crate::stage::{SOON, Stage, assert_code, said};
use crate::takeover::NAMED;

crate::tests![
    without_clearway_no_client_reaches_the_servers_until_cleanup,
    at_the_next_start_no_connection_slips_by,
    what_this_host_sends_itself_is_not_rejected,
    a_start_that_fails_leaves_it_closed_and_a_stop_opens_it,
    connections_from_before_are_cut_off,
    rules_that_others_remove_come_back,
    the_last_of_an_instance_opens_it,
    a_start_that_intercepts_nothing_opens_it,
    a_holder_does_not_open_it,
    clients_with_syn_cookies_are_known_only_if_it_is_closed,
];

const CLOSED: (&str, &str) = ("CLEARWAY_INTERCEPT_FAIL", "closed");

/// They are told so at once, by an ICMP error: no route to host over IPv4, permission denied over IPv6.
fn assert_rejected(stage: &Stage) -> Result<()> {
    // EHOSTUNREACH, EACCES.
    for (target, number) in targets(stage).into_iter().zip(["(errno 113)", "(errno 13)"]) {
        let answer = stage.hosts.client.enter(|| ask_once(target, Ask::Line, SOON))?;
        let told = matches!(&answer, Err(Class::Other(what)) if what.ends_with(number));
        ensure!(told, "{target}: {answer:?}");
    }
    Ok(())
}

fn without_clearway_no_client_reaches_the_servers_until_cleanup() -> Result<()> {
    let stage = Stage::new("incut")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let balancer = serve(&stage, &[ALL, CLOSED])?;
    assert_ends(&stage, Ends::Here)?;
    let rules = stage.hosts.balancer.ip(&["rule"])?;
    for line in [
        "901:\tfrom all iif lo goto 903 proto 179",
        "902:\tfrom all to 10.2.0.0/24 fwmark 0/0x20000000 ipproto tcp dport 8080 prohibit proto 179",
    ] {
        ensure!(rules.lines().any(|one| one.trim_end() == line), "`{line}` is missing in:\n{rules}");
    }
    kill(&stage, balancer)?;
    assert_rejected(&stage)?;
    let output = stage.clearway(&["doctor"])?;
    ensure!(said(&output).contains("are rejected"), "{}", said(&output));
    let output = stage.clearway(&["cleanup"])?;
    assert_code(output.status, 0)?;
    ensure!(said(&output).contains("prohibit"), "{}", said(&output));
    assert_ends(&stage, Ends::There)?;
    stage.assert_clean()
}

/// A connection that slips by is seen: HAProxy shows the server its own address, the gateway the client's.
fn at_the_next_start_no_connection_slips_by() -> Result<()> {
    let stage = Stage::new("inslip")?;
    write(&stage, Servers::First, LISTENER)?;
    let mut balancer = serve(&stage, &[ALL, CLOSED])?;
    let clients = load(&stage, 200.0, Duration::from_mins(2), Expect::Anything)?;
    count_forwarded(&stage)?;
    for _ in 0..5 {
        kill(&stage, balancer)?;
        for target in targets(&stage) {
            // The kernel sends only so many ICMP errors a second, and the load has them.
            let answer =
                stage.hosts.client.enter(|| ask_once(target, Ask::Line, Duration::from_millis(200)))?;
            ensure!(answer.is_err(), "{target}: {answer:?}");
        }
        balancer = serve(&stage, &[ALL, CLOSED])?;
        for (target, back) in targets(&stage).into_iter().zip(BACK) {
            let (session, ends) = open(&stage, target)?;
            ensure!(ends == Ends::Here && session.peer_seen() == back.to_string(), "{target}: {ends:?}");
        }
    }
    clients.finish_after(100)?;
    let past = forwarded(&stage)?;
    ensure!(past == 0, "{past} packets were forwarded past HAProxy");
    end_with_counter(&stage, balancer)
}

/// Counts what is forwarded to the servers' port.
fn count_forwarded(stage: &Stage) -> Result<()> {
    stage.hosts.balancer.nft(
        "table inet counting {
           counter past { }
           chain forward { type filter hook forward priority 0; tcp dport 8080 counter name past; }
         }",
    )
}

fn forwarded(stage: &Stage) -> Result<u64> {
    let told = stage.hosts.balancer.output("nft", &["list", "counter", "inet", "counting", "past"])?;
    let mut words = told.split_whitespace().skip_while(|word| *word != "packets");
    Ok(words.nth(1).unwrap_or_default().parse()?)
}

fn end_with_counter(stage: &Stage, balancer: clearway_lab::balancer::Balancer) -> Result<()> {
    stage.hosts.balancer.nft("delete table inet counting")?;
    end(stage, balancer)
}

fn what_this_host_sends_itself_is_not_rejected() -> Result<()> {
    let stage = Stage::new("inown")?;
    for sysctl in ["src_valid_mark", "rp_filter"] {
        for interface in ["all", "default", "clients", "servers"] {
            stage.hosts.balancer.sysctl(&format!("net/ipv4/conf/{interface}/{sysctl}"), "1")?;
        }
    }
    write(&stage, Servers::First, LISTENER)?;
    let everything =
        ("CLEARWAY_INTERCEPT", "any port 1-9000 to 9080; 10.0.0.0/8 port any from clients to 9080");
    let balancer = serve(&stage, &[everything, CLOSED])?;
    for target in targets(&stage) {
        let answer = stage.hosts.balancer.enter(|| ask_once(target, Ask::Line, SOON))?;
        ensure!(answer.as_ref().is_ok_and(|answer| answer.contains("s2")), "{target}: {answer:?}");
    }
    for target in targets(&stage) {
        ensure!(open(&stage, target)?.1 == Ends::Here, "{target} is not intercepted");
    }
    kill(&stage, balancer)?;
    for target in targets(&stage) {
        let answer = stage.hosts.balancer.enter(|| ask_once(target, Ask::Line, SOON))?;
        ensure!(answer.as_ref().is_ok_and(|answer| answer.contains("s2")), "{target}: {answer:?}");
    }
    assert_rejected(&stage)?;
    // From the other side it is no other.
    for client in ["10.1.0.2:80", "[fd01::2]:80"] {
        let client: SocketAddr = client.parse()?;
        let answer = stage.hosts.server.enter(|| ask_once(client, Ask::Line, SOON))?;
        ensure!(matches!(answer, Err(Class::Other(_))), "{client}: {answer:?}");
    }
    Ok(())
}

fn a_start_that_fails_leaves_it_closed_and_a_stop_opens_it() -> Result<()> {
    let stage = Stage::new("instop")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let good = std::fs::read_to_string(stage.file())?;
    stage.write(&good.replace("mode tcp", "mode nonsense"))?;
    for _ in 0..2 {
        let mut balancer = stage.launch(&[], &[ALL, CLOSED])?;
        assert_code(balancer.wait_exit(SOON)?, 65)?;
        ensure!(balancer.stderr()?.contains("clearway cleanup"), "{}", balancer.stderr()?);
        assert_rejected(&stage)?;
        let tables = stage.hosts.balancer.output("nft", &["list", "tables"])?;
        ensure!(!tables.contains("clearway"), "{tables}");
    }
    stage.write(&good)?;
    let balancer = serve(&stage, &[ALL, CLOSED])?;
    assert_ends(&stage, Ends::Here)?;
    end(&stage, balancer)?;
    assert_ends(&stage, Ends::There)
}

fn connections_from_before_are_cut_off() -> Result<()> {
    let stage = Stage::new("incutold")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let mut before = Vec::new();
    for target in targets(&stage) {
        before.push(open(&stage, target)?.0);
    }
    let balancer = serve(&stage, &[ALL, CLOSED])?;
    for session in &mut before {
        let heard = session.beat();
        ensure!(heard == State::Reset, "a connection past HAProxy is {heard:?}");
    }
    drop(before);
    end(&stage, balancer)
}

fn rules_that_others_remove_come_back() -> Result<()> {
    let stage = Stage::new("inback")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let balancer = serve(&stage, &[ALL, CLOSED])?;
    let host = &stage.hosts.balancer;
    let sorted = || -> Result<Vec<String>> {
        let mut lines: Vec<String> = ours(host)?.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    };
    let whole = sorted()?;
    ensure!(whole.len() == 8 + 4, "{whole:?}");
    let (mut session, _) = open(&stage, targets(&stage)[0])?;
    for removal in [
        &["-4", "rule", "del", "pref", "902", "prohibit"][..],
        &["-6", "rule", "del", "pref", "901"],
        &["-4", "rule", "del", "pref", "902", "fwmark", "0x20000000/0x20000000"],
        &["-4", "rule", "flush", "protocol", "179"],
        &["-6", "rule", "flush", "protocol", "179"],
    ] {
        host.ip(removal)?;
        eventually(SOON, "what was removed to be back", || (sorted().ok()? == whole).then_some(()))?;
        assert_ends(&stage, Ends::Here)?;
    }
    ensure!(session.beat() == State::Alive, "a session is lost");
    drop(session);
    end(&stage, balancer)
}

fn the_last_of_an_instance_opens_it() -> Result<()> {
    let stage = Stage::new("inlast")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let mut first = serve(&stage, &[ALL, CLOSED, NAMED])?;
    let (mut session, _) = open(&stage, targets(&stage)[0])?;
    // More networks, which the kernel could take for those that are there already.
    let more = (
        "CLEARWAY_INTERCEPT",
        "10.2.0.0/25,10.0.0.0/8,fd02::/64 port 8080 to 9080; 10.0.0.0/8 port any to 9080",
    );
    let second = serve(&stage, &[more, CLOSED, NAMED])?;
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;
    assert_ends(&stage, Ends::Here)?;
    ensure!(session.beat() == State::Alive, "a session is lost");
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    assert_ends(&stage, Ends::Here)?;
    // What only the first one had is gone with the next look.
    stage.clearway(&["reload"])?;
    let rules = ours(&stage.hosts.balancer)?;
    let closed: Vec<&str> = rules.lines().filter(|line| line.contains("prohibit")).collect();
    ensure!(closed.len() == 4 && !rules.contains("10.2.0.0/24"), "{rules}");
    end(&stage, second)
}

fn a_start_that_intercepts_nothing_opens_it() -> Result<()> {
    let stage = Stage::new("inother")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let balancer = serve(&stage, &[ALL, CLOSED])?;
    kill(&stage, balancer)?;
    assert_rejected(&stage)?;
    let mut balancer = serve(&stage, &[])?;
    balancer.wait_for_event(0, "plumbing.swept", &[], SOON)?;
    assert_ends(&stage, Ends::There)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// It has the listeners and no rules: what it sweeps is the rest.
fn a_holder_does_not_open_it() -> Result<()> {
    let stage = Stage::new("inhold")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let holder = holder::holder(&stage, &[])?;
    let mut balancer = serve(&stage, &[ALL, CLOSED, NAMED])?;
    holder::wait_until_it_holds(&holder, 0)?;
    balancer.signal(Signal::KILL)?;
    balancer.wait_exit(SOON)?;
    holder.wait_for_event(0, "hold.swept", &[], SOON)?;
    assert_rejected(&stage)?;
    let balancer = serve(&stage, &[ALL, CLOSED, NAMED])?;
    assert_ends(&stage, Ends::Here)?;
    ensure!(!balancer.events("generation.serving", &[("adopted", &2)])?.is_empty(), "{}", balancer.stderr()?);
    holder::end(holder)?;
    end(&stage, balancer)
}

/// The second half is not as one would wish, but as documented (docs/decisions/0018-interception.md).
fn clients_with_syn_cookies_are_known_only_if_it_is_closed() -> Result<()> {
    let stage = Stage::new("incookie")?;
    stage.hosts.balancer.sysctl("net/ipv4/tcp_syncookies", "2")?;
    // All namespaces of a kernel share the secret of cookies, so the server would take the balancer's for its own: from
    // five to seven minutes after the boot every listener does (`tcp_synq_no_recent_overflow`, as jiffies pass zero).
    stage.hosts.server.sysctl("net/ipv4/tcp_syncookies", "0")?;
    write(&stage, Servers::Wanted, LISTENER)?;
    let balancer = serve(&stage, &[ALL, CLOSED])?;
    assert_ends(&stage, Ends::Here)?;
    let report = load(&stage, 200.0, Duration::from_secs(1), Expect::OwnAddress)?.wait()?;
    crate::stage::assert_no_client_lost(&report)?;
    end(&stage, balancer)?;
    let balancer = serve(&stage, &[ALL])?;
    for target in targets(&stage) {
        let answer = stage.hosts.client.enter(|| ask_once(target, Ask::Line, SOON))?;
        ensure!(matches!(answer, Err(Class::Reset)), "better than documented: {target}: {answer:?}");
    }
    ensure!(balancer.stderr()?.contains("tcp_syncookies is 2"), "{}", balancer.stderr()?);
    end(&stage, balancer)
}
