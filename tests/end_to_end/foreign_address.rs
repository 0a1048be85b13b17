//! A `bind` on an address that the host does not have works without the sysctl `ip_nonlocal_bind`.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use clearway_lab::load::Ask;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, said};

crate::tests![
    a_bind_on_a_foreign_address_works_and_survives_a_reload,
    a_foreign_ipv6_address_without_v6only_is_explained,
];

/// Addresses that the balancer does not have, routed to it by the client.
const VIPS: [&str; 2] = ["10.9.0.9", "fd09::9"];

fn a_bind_on_a_foreign_address_works_and_survives_a_reload() -> Result<()> {
    let stage = Stage::new("vip")?;
    for sysctl in ["net/ipv4/ip_nonlocal_bind", "net/ipv6/ip_nonlocal_bind"] {
        stage.hosts.balancer.sysctl(sysctl, "0")?;
    }
    let vips =
        "listen vips\n    bind 10.9.0.9:8080\n    bind fd09::9:8080 v6only\n    server s 10.2.0.2:8080\n";
    stage.write(&(stage.plain() + vips))?;
    // Or the address is mistyped: a check before says so.
    let file = stage.file().display().to_string();
    for command in ["check", "doctor"] {
        let text = said(&stage.clearway(&[command, "-f", &file])?);
        let lines = text
            .lines()
            .filter(|line| line.starts_with("note") && line.contains("no client is served there"));
        ensure!(lines.count() == 2, "{text}");
    }
    let mut balancer = stage.start()?;
    let log = balancer.stderr()?;
    ensure!(log.contains("10.9.0.9:8080") && log.contains("is not an address of this host"), "{log}");
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0)?;
    ensure!(said(&output).contains("4 sockets taken over"), "{}", said(&output));
    // The addresses arrive, as with keepalived: what was listening all along answers now.
    stage.hosts.balancer.ip(&["address", "add", "10.9.0.9/32", "dev", "lo"])?;
    stage.hosts.balancer.ip(&["address", "add", "fd09::9/128", "dev", "lo", "nodad"])?;
    for vip in VIPS {
        let target = SocketAddr::new(vip.parse()?, 8080);
        balancer.wait_ready(&stage.hosts.client, target, Ask::Line, SOON)?;
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_foreign_ipv6_address_without_v6only_is_explained() -> Result<()> {
    let stage = Stage::new("vip6")?;
    stage.write(&(stage.plain() + "listen vip\n    bind fd09::9:8080\n    server s 10.2.0.2:8080\n"))?;
    let mut balancer = stage.launch(&[], &[])?;
    assert_code(balancer.wait_exit(SOON)?, 72)?;
    let log = balancer.stderr()?;
    ensure!(log.contains("Cannot assign requested address") && log.contains("add `v6only`"), "{log}");
    stage.assert_clean()
}
