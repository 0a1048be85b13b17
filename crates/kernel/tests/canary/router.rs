//! Servers behind a router or a firewall that turns probes down.

use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clearway_kernel::canary::{CanaryVerdict, IcmpKind, LIMIT, ProbeAnswer, ProbeOutcome, Unreachable};
use clearway_lab::inside::run;
use clearway_lab::topology::Gateway;
use clearway_lab::wait::until;

use super::{Host, PORT, all_are, ask, ask_both, plumbing, works};

/// A server behind a router: 10.2.0.2 and `fd02::2` are the router's, 10.3.0.2 and `fd03::2` the server's.
pub fn behind_a_router() -> Result<(Host, Host)> {
    let router = Host::behind_us(2)?;
    let server = Host::beside(&router.host, 3, Gateway::Here)?;
    router.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")?;
    run("ip route add 10.3.0.0/24 via 10.2.0.2")?;
    run("ip -6 route add fd03::/64 via fd02::2")?;
    // A router that has not found its neighbour yet says that there is none.
    for server in ["10.3.0.2:80", "[fd03::2]:80"] {
        let server = server.parse()?;
        until("a way to the server", || {
            Ok(TcpStream::connect_timeout(&server, Duration::from_secs(2)).is_ok())
        })?;
    }
    Ok((router, server))
}

/// The outcomes for the server behind the router, each with the router's address.
pub fn ask_behind() -> Result<[(ProbeOutcome, IpAddr); 2]> {
    Ok([(ask("10.3.0.2:80", LIMIT)?, "10.2.0.2".parse()?), (ask("[fd03::2]:80", LIMIT)?, "fd02::2".parse()?)])
}

pub fn a_router_that_forbids_is_named() -> Result<()> {
    let (router, _server) = behind_a_router()?;
    let _plumbing = plumbing()?;
    for (outcome, _) in ask_behind()? {
        ensure!(works(&outcome), "through the router: {outcome}");
    }
    router.filter("forward", "tcp dport 80 reject with icmpx admin-prohibited")?;
    for (outcome, by) in ask_behind()? {
        let told = Unreachable { what: IcmpKind::Prohibited, by: Some(by), here: false };
        let own = ProbeAnswer::Unreachable(told.clone());
        ensure!(outcome == ProbeOutcome::Unreachable { told, own }, "{outcome:?}");
        ensure!(outcome.verdict() == CanaryVerdict::Down);
    }
    // A way that a router does not know.
    router.run("nft flush ruleset")?;
    router.run("ip route replace unreachable 10.3.0.0/24")?;
    let outcome = ask("10.3.0.2:80", LIMIT)?;
    let ProbeOutcome::Unreachable { told, .. } = outcome else { bail!("{outcome}") };
    ensure!(told.what == IcmpKind::Host && !told.here, "{told}");
    Ok(())
}

pub fn a_router_that_forbids_foreign_addresses_only_is_named() -> Result<()> {
    let (router, _server) = behind_a_router()?;
    router.filter(
        "forward",
        "ip saddr 198.18.0.0/15 reject with icmpx admin-prohibited; \
         ip6 saddr 2001:2::/48 reject with icmpx admin-prohibited;",
    )?;
    let _plumbing = plumbing()?;
    for (outcome, by) in ask_behind()? {
        let told = Unreachable { what: IcmpKind::Prohibited, by: Some(by), here: false };
        ensure!(outcome == ProbeOutcome::Unreachable { told, own: ProbeAnswer::Accepts }, "{outcome:?}");
        ensure!(outcome.verdict() == CanaryVerdict::Broken);
    }
    Ok(())
}

pub fn a_reset_for_foreign_addresses_only_is_not_a_closed_port() -> Result<()> {
    let server = Host::behind_us(2)?;
    server.filter(
        "input",
        "ip saddr 198.18.0.0/15 tcp dport 80 reject with tcp reset; \
         ip6 saddr 2001:2::/48 tcp dport 80 reject with tcp reset;",
    )?;
    let _plumbing = plumbing()?;
    let outcomes = ask_both(PORT, LIMIT)?;
    all_are(&outcomes, |outcome| *outcome == ProbeOutcome::Refused { own: ProbeAnswer::Accepts })?;
    all_are(&outcomes, |outcome| outcome.verdict() == CanaryVerdict::Broken)
}
