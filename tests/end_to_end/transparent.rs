//! No hidden client: the server sees the client's own address, whatever the host's settings.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::{Ask, Expect, Plan, ask_once};
use clearway_lab::topology::{Family, Shape, Topology};
use rustix::process::Signal;

use crate::stage::{PORT, SOON, Stage, assert_code, assert_no_client_lost};

crate::tests![
    servers_see_the_clients_own_address,
    without_forwarding_the_host_is_no_router_and_still_transparent,
    reverse_path_filters_and_src_valid_mark_do_not_matter,
    firewalld_style_ipv6_reverse_path_filter_does_not_matter,
    a_firewall_that_lets_only_answers_in_does_not_matter,
    clients_that_go_around_the_proxy_are_not_touched,
    a_wildcard_transparent_listener_hijacks_nothing,
    marks_of_others_stay_and_do_not_matter,
    nothing_transparent_means_no_plumbing,
    a_condition_decides_whether_there_is_plumbing,
];

/// Load from every client address over both families; every answer must name the client.
fn assert_transparent(stage: &Stage) -> Result<()> {
    let plan = stage.load(200.0, Duration::from_secs(2));
    let report = clearway_lab::load::start(&stage.hosts.client, plan)?.wait()?;
    assert_no_client_lost(&report)
}

fn run_transparent(stage: &Stage) -> Result<()> {
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    assert_transparent(stage)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn servers_see_the_clients_own_address() -> Result<()> {
    run_transparent(&Stage::new("see")?)
}

fn without_forwarding_the_host_is_no_router_and_still_transparent() -> Result<()> {
    run_transparent(&Stage::of(Topology::shaped("nofwd", Shape { forwarding: false, ..Shape::default() })?)?)
}

fn reverse_path_filters_and_src_valid_mark_do_not_matter() -> Result<()> {
    // wg-quick sets src_valid_mark; with it the classic fwmark rule breaks (docs/facts f1).
    let stage = Stage::new("rpf")?;
    for filter in ["0", "1", "2"] {
        for interface in ["all", "default", "clients", "servers"] {
            stage.hosts.balancer.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), filter)?;
            stage.hosts.balancer.sysctl(&format!("net/ipv4/conf/{interface}/src_valid_mark"), "1")?;
        }
        run_transparent(&stage)?;
    }
    Ok(())
}

fn firewalld_style_ipv6_reverse_path_filter_does_not_matter() -> Result<()> {
    let stage = Stage::new("fwd6")?;
    // `IPv6_rpfilter=strict` and `=loose` in firewalld.conf.
    for fib in ["saddr . mark . iif", "saddr . mark"] {
        stage.hosts.balancer.nft(&format!(
            "table inet rpf
             delete table inet rpf
             table inet rpf {{
               chain pre {{
                 type filter hook prerouting priority filter + 10
                 meta nfproto ipv6 fib {fib} oif missing drop
               }}
             }}"
        ))?;
        stage.write(&stage.transparent())?;
        let mut balancer = stage.start()?;
        assert_transparent(&stage).context(fib)?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    }
    Ok(())
}

fn a_firewall_that_lets_only_answers_in_does_not_matter() -> Result<()> {
    let stage = Stage::new("indrop")?;
    // What ufw, firewalld and most scripts come to: the servers' answers are known connections' (docs/facts g4).
    stage.hosts.balancer.nft(&format!(
        "table inet firewall {{
           chain mangle {{
             type filter hook prerouting priority mangle
             ct state invalid drop
           }}
           chain input {{
             type filter hook input priority filter; policy drop;
             iif lo accept
             ct state established,related accept
             icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
             iifname clients tcp dport {PORT} accept
           }}
         }}"
    ))?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    assert_transparent(&stage)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn clients_that_go_around_the_proxy_are_not_touched() -> Result<()> {
    let stage = Stage::new("around")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    let servers = Family::BOTH.map(|family| SocketAddr::new(stage.hosts.servers(family)[0], PORT));
    let direct = Plan::open(&servers, 200.0, Duration::from_secs(2))
        .from(stage.hosts.client_addresses())
        .expecting(Expect::OwnAddress);
    let direct = clearway_lab::load::start(&stage.hosts.client, direct)?;
    assert_transparent(&stage)?;
    assert_no_client_lost(&direct.wait()?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_wildcard_transparent_listener_hijacks_nothing() -> Result<()> {
    // Without the wildcard guard, forwarded connections to other hosts' port end at HAProxy (docs/facts f9).
    let stage = Stage::new("wild")?;
    let elsewhere = SocketAddr::new(stage.hosts.servers(Family::V4)[1], PORT);
    let text = stage.transparent()
        + &format!(
            "listen wildcard\n    bind 0.0.0.0:{} transparent\n    tcp-request connection reject\n    server s {elsewhere}\n",
            PORT + 1
        );
    stage.write(&text)?;
    let _other = clearway_lab::server::Server::start(
        &stage.hosts.server,
        "other",
        &[SocketAddr::new(elsewhere.ip(), PORT + 1)],
        clearway_lab::server::Mode::Line,
    )?;
    let mut balancer = stage.start()?;
    let target = SocketAddr::new(elsewhere.ip(), PORT + 1);
    let answer = stage.hosts.client.enter(|| ask_once(target, Ask::Line, Duration::from_secs(3)))?;
    let answer = answer.map_err(|class| anyhow::anyhow!("the forwarded connection ended with {class:?}"))?;
    ensure!(answer.contains("other"), "the forwarded connection was answered by {answer:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn marks_of_others_stay_and_do_not_matter() -> Result<()> {
    let stage = Stage::new("marks")?;
    // The bits of kube-proxy (0x4000, 0x8000), of Tailscale (0x40000) and more are on every packet before us; after us it
    // is counted how many have lost them.
    stage.hosts.balancer.nft(
        "table inet others {
           counter lost { }
           chain early {
             type filter hook prerouting priority -200
             meta mark set 0x4c101
           }
           chain late {
             type filter hook prerouting priority -100
             meta mark & 0x4c101 != 0x4c101 counter name lost
           }
         }",
    )?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    assert_transparent(&stage)?;
    let counter = stage.hosts.balancer.output("nft", &["list", "counter", "inet", "others", "lost"])?;
    ensure!(counter.contains("packets 0 "), "packets have lost their mark: {counter}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn nothing_transparent_means_no_plumbing() -> Result<()> {
    let stage = Stage::new("plain")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let now = clearway_lab::kernel::Snapshot::take(&stage.hosts.balancer)?;
    let differences = stage.before.diff(&now);
    ensure!(differences.is_empty(), "plumbing although nothing is transparent:\n{}", differences.join("\n"));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_condition_decides_whether_there_is_plumbing() -> Result<()> {
    let stage = Stage::new("cond")?;
    let conditional = |condition: &str| {
        let guarded = format!(".if {condition}\n    source 0.0.0.0 usesrc clientip\n.endif");
        stage
            .transparent()
            .replace("source 0.0.0.0 usesrc clientip", &guarded)
            .replace("source ipv6@ usesrc clientip", "")
    };
    for (condition, tables) in [("version_atleast(99.0)", 0), ("version_atleast(2.4)", 1)] {
        stage.write(&conditional(condition))?;
        let mut balancer = stage.start()?;
        let ruleset = stage.hosts.balancer.output("nft", &["list", "tables"])?;
        let found = ruleset.matches("clearway_").count();
        ensure!(found == tables, "{condition}: {found} tables: {ruleset}");
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0).context(condition)?;
    }
    stage.assert_clean()
}
