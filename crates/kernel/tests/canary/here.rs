//! Servers on this host, and what this host cannot ask.

use std::net::TcpListener;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clearway_kernel::canary::{CanaryVerdict, LIMIT, ProbeAnswer, ProbeOutcome, ServerLocation, is_ours};
use clearway_lab::inside::{helper, run};
use clearway_lab::namespace::Namespace;

use super::{FAR, Host, SHORT, ask, plumbing, sockets, works};

/// Our own 10.2.0.1 and `fd02::1`, and a way to everywhere, as every host on the Internet has one.
pub fn alone_with_addresses() -> Result<()> {
    run("ip link add away type veth peer name nowhere")?;
    run("ip addr add 10.2.0.1/24 dev away")?;
    run("ip addr add fd02::1/64 dev away nodad")?;
    run("ip link set away up")?;
    run("ip link set nowhere up")?;
    run("ip route add default dev away")?;
    run("ip -6 route add default dev away").map(drop)
}

pub fn servers_on_this_host_need_their_rule() -> Result<()> {
    alone_with_addresses()?;
    let plumbing = plumbing()?;
    let _listener = TcpListener::bind("[::]:80")?;
    let here = |own| ProbeOutcome::NoWayBack { server: ServerLocation::Here, own };
    for (server, source) in
        [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("10.2.0.1", "10.2.0.1"), ("[fd02::1]", "fd02::1")]
    {
        let outcome = ask(&format!("{server}:80"), SHORT)?;
        ensure!(outcome == here(ProbeAnswer::Accepts), "{server} without a rule: {outcome:?}");
        let family = if source.contains(':') { "-6" } else { "-4" };
        let table = plumbing.describe().route_table.0;
        run(&format!(
            "ip {family} rule add pref 900 iif lo from {source} ipproto tcp sport 80 lookup {table}"
        ))?;
        let outcome = ask(&format!("{server}:80"), LIMIT)?;
        ensure!(works(&outcome), "{server} with a rule: {outcome:?}");
    }
    ensure!(ask("127.0.0.1:81", SHORT)? == here(ProbeAnswer::Refuses));
    ensure!(sockets()?.is_empty(), "left here: {}", sockets()?);
    Ok(())
}

/// With connection marks (docs/facts c3), which leave direct clients alone.
pub fn a_server_on_our_own_address_works_by_marks_too() -> Result<()> {
    alone_with_addresses()?;
    let plumbing = plumbing()?;
    let _listener = TcpListener::bind("[::]:80")?;
    Namespace::host()?.nft(
        "table inet local {
            chain out {
                type route hook output priority mangle
                meta l4proto tcp ct direction original socket transparent 1 ct mark set ct mark | 0x20000000
                ct direction reply ct mark & 0x20000000 == 0x20000000 meta mark set meta mark | 0x40000000
            }
        }\n",
    )?;
    let table = plumbing.describe().route_table.0;
    for (family, server) in [("-4", "10.2.0.1:80"), ("-6", "[fd02::1]:80")] {
        ensure!(ask(server, SHORT)?.verdict() == CanaryVerdict::Broken, "{server} without a rule");
        run(&format!("ip {family} rule add pref 900 iif lo fwmark 0x40000000/0x40000000 lookup {table}"))?;
        ensure!(works(&ask(server, LIMIT)?), "{server} with a rule");
    }
    Ok(())
}

pub fn without_a_route_or_a_family_nothing_is_asked() -> Result<()> {
    let unknown = |server: &str| -> Result<()> {
        let outcome = ask(server, FAR)?;
        ensure!(outcome.verdict() == CanaryVerdict::Unknown, "{server}: {outcome:?}");
        Ok(())
    };
    let begun = Instant::now();
    unknown("10.99.0.2:80")?;
    unknown("[fd99::2]:80")?;
    run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")?;
    unknown("[fd99::2]:80")?;
    // Our own address as the foreign one.
    run("ip addr add 198.18.179.1/32 dev lo")?;
    unknown("10.99.0.2:80")?;
    ensure!(begun.elapsed() < FAR, "it waited for nothing");
    Ok(())
}

pub fn without_capabilities_it_says_so_and_net_raw_is_enough() -> Result<()> {
    let _server = Host::behind_us(2)?;
    let _plumbing = plumbing()?;
    let told = |dropped: &str| -> Result<serde_json::Value> {
        let (bounding, inheritable) = (format!("--bounding-set={dropped}"), format!("--inh-caps={dropped}"));
        let output = helper("probe", &["setpriv", &bounding, &inheritable])?.output()?;
        let text = String::from_utf8(output.stdout)?;
        Ok(serde_json::from_str(text.lines().last().context("nothing was said")?)?)
    };
    let none = told("-net_raw,-net_admin")?;
    ensure!(none == serde_json::json!({"outcome": "no_privilege", "family": "ipv4"}), "{none}");
    for dropped in ["-net_admin", "-net_raw"] {
        ensure!(told(dropped)?["outcome"] == "way_back", "{dropped}");
    }
    Ok(())
}

pub fn our_own_addresses_are_known_whatever_may_be_bound() -> Result<()> {
    run("ip addr add 10.2.0.1/24 dev lo")?;
    run("ip addr add fd02::1/64 dev lo nodad")?;
    run("sysctl -qw net.ipv4.ip_nonlocal_bind=1 net.ipv6.ip_nonlocal_bind=1")?;
    for (address, ours) in
        [("10.2.0.1", true), ("fd02::1", true), ("::1", true), ("10.2.0.2", false), ("fd02::2", false)]
    {
        ensure!(is_ours(address.parse()?) == ours, "{address}");
    }
    Ok(())
}
