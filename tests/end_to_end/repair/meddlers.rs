//! What others do to the routing and the packet filters of a host.

use std::fmt::Write as _;
use std::io::{Seek, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_lab::load::{Ask, Class, ask_once};
use clearway_lab::namespace::Namespace;
use clearway_lab::topology::{Family, Topology};
use clearway_lab::wait::eventually;

use crate::stage::{SOON, Stage};

/// The route table of the first block.
const TABLE: &str = "3253338112";

/// How another program removes what is ours, each in words of `ip`.
pub const REMOVALS: [&[&str]; 4] = [
    &["-4", "rule", "flush", "proto", "179"],
    &["-6", "rule", "flush", "proto", "179"],
    &["-4", "route", "flush", "table", TABLE],
    &["-6", "route", "flush", "table", TABLE],
];

/// Our rules and routes, as the kernel has them.
pub fn ours(host: &Namespace) -> Result<String> {
    let mut all = String::new();
    for family in ["-4", "-6"] {
        for words in [&[family, "-j", "rule"] as &[&str], &[family, "-j", "route", "show", "table", "all"]] {
            let list: serde_json::Value = serde_json::from_str(&host.ip(words)?)?;
            let list = list.as_array().context("a list")?;
            for one in list.iter().filter(|one| one["protocol"] == "179") {
                writeln!(all, "{family} {one}")?;
            }
        }
    }
    Ok(all)
}

/// The programs that there are to restore a saved packet filter.
pub fn restores() -> impl Iterator<Item = &'static str> {
    let names =
        ["iptables-restore", "ip6tables-restore", "iptables-legacy-restore", "ip6tables-legacy-restore"];
    names.into_iter().filter(|name| Path::new("/usr/sbin").join(name).exists())
}

/// Restores an empty packet filter; legacy ones may be missing from the kernel.
pub fn restore_nothing(host: &Namespace, program: &str) -> Result<()> {
    let mut file = tempfile::tempfile()?;
    for table in ["raw", "mangle", "filter"] {
        writeln!(file, "*{table}\nCOMMIT")?;
    }
    file.rewind()?;
    let output = host.command(program).stdin(file).output().with_context(|| format!("running {program}"))?;
    ensure!(
        output.status.success() || program.contains("legacy"),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A host with a full routing table of BGP loses its neighbour: so many routes come and go, in each way.
pub fn come_and_go(stage: &Stage, routes: u32) -> Result<Duration> {
    let begun = Instant::now();
    for what in ["add", "del"] {
        let lines = (0..routes).fold(String::new(), |mut lines, number| {
            let [_, a, b, c] = number.to_be_bytes();
            let _ = writeln!(lines, "route {what} blackhole 172.{}.{b}.{c}/32 proto bgp", 16 + a);
            lines
        });
        let file = stage.path("routes");
        std::fs::write(&file, lines)?;
        stage.hosts.balancer.ip(&["-batch", &file.display().to_string()])?;
    }
    Ok(begun.elapsed())
}

/// The other way between the balancer and the servers.
const SECOND: [(&str, &str); 2] = [("10.3.0.1", "10.3.0.2"), ("fd03::1", "fd03::2")];
const LENGTHS: [&str; 2] = ["/24", "/64"];

/// Lays a second cable between the balancer and the servers, which is not used.
pub fn lay_second_cable(hosts: &Topology) -> Result<()> {
    let (balancer, server) = (&hosts.balancer, &hosts.server);
    balancer.ip(&[
        "link",
        "add",
        "second",
        "type",
        "veth",
        "peer",
        "name",
        "second",
        "netns",
        server.name(),
    ])?;
    for ((near, far), length) in SECOND.into_iter().zip(LENGTHS) {
        for (host, address) in [(balancer, near), (server, far)] {
            let address = format!("{address}{length}");
            let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
            host.ip(&[&["address", "add", &address, "dev", "second"], nodad].concat())?;
        }
    }
    for host in [balancer, server] {
        host.ip(&["link", "set", "second", "addrgenmode", "none", "up"])?;
    }
    // IPv6 neighbours of an interface that has just come up are found a second or two later.
    for (_, far) in SECOND {
        let far = SocketAddr::new(far.parse()?, 9);
        eventually(SOON, "a refusal over the second cable", || {
            let asked = balancer.enter(|| ask_once(far, Ask::Line, Duration::from_millis(500)));
            matches!(asked, Ok(Err(Class::Refused))).then_some(())
        })?;
    }
    Ok(())
}

/// Both hosts send to each other over the second cable from now on.
pub fn move_to_second_cable(hosts: &Topology) -> Result<()> {
    for (family, (near, far)) in Family::BOTH.into_iter().zip(SECOND) {
        let flag = if family == Family::V4 { "-4" } else { "-6" };
        for server in hosts.servers(family) {
            hosts.balancer.ip(&[flag, "route", "replace", &server.to_string(), "via", far])?;
        }
        hosts.server.ip(&[flag, "route", "replace", "default", "via", near])?;
    }
    Ok(())
}

/// How many packets have come to the balancer over the second cable.
pub fn came_over_second_cable(hosts: &Topology) -> Result<u64> {
    let json = hosts.balancer.ip(&["-j", "-s", "link", "show", "second"])?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    json[0]["stats64"]["rx"]["packets"].as_u64().context("a count")
}
