//! What keeps transparent connections from working, or hides the clients from the servers: seen by a running Clearway, in
//! the settings of the kernel, and in the configuration. What others have in the way is [`crate::path::obstacles`].

use clearway_core::names::Mark;
use clearway_core::settings::Settings;
use clearway_haproxy::configuration::Configuration;
use clearway_kernel::canary::CanaryVerdict;
use clearway_kernel::plumbing::Description;

use crate::command::doctor::finding::{Finding, FindingKind};
use crate::front::api::Status;
use crate::path::canary::SeenByCanary;
use crate::path::obstacles::{Bits, ObstacleKind, TransparentServer};

/// What a Clearway that runs here knows of its servers.
pub fn of_a_running_one(status: &Status) -> Vec<Finding> {
    // What is in the way is looked for anew; which server is a client as well only it has seen.
    let clients = status.obstacles.iter().filter(|one| one.kind == ObstacleKind::IsItsOwnClient);
    let asks = status.canary_asks;
    let asks = asks.map(|asks| Finding::note(FindingKind::Server, format!("the canary is {asks}")));
    let servers = status.canary.iter().map(of_a_server);
    servers.chain(asks).chain(clients.cloned().map(Finding::from)).collect()
}

/// The bits of a running Clearway, else those that it would have.
pub fn bits(settings: &Settings, plumbing: Option<&Description>) -> Bits {
    let diverted = plumbing.map(|plumbing| plumbing.mark).or(settings.mark).unwrap_or(Mark::DEFAULT);
    Bits { diverted, replies: plumbing.and_then(|plumbing| plumbing.reply_mark) }
}

fn of_a_server(seen: &SeenByCanary) -> Finding {
    let line = seen.line.as_ref().map(|line| format!(" ({line})")).unwrap_or_default();
    let saw = format!("the server {}: {}{line}", seen.address, seen.words);
    let remedy = (!seen.hints.is_empty()).then(|| seen.hints.join("; or "));
    let finding = match seen.verdict {
        CanaryVerdict::Works => Finding::good(FindingKind::Server, saw),
        CanaryVerdict::Broken => Finding::problem(
            FindingKind::Server,
            saw,
            "every client of this server fails, and its health check is green",
            remedy.unwrap_or_default(),
        ),
        _ => Finding { remedy, ..Finding::note(FindingKind::Server, saw) },
    };
    finding.about(seen.address.as_str())
}

/// Of servers that the files give no address nothing more can be said.
pub fn names(configuration: &Configuration) -> Option<Finding> {
    let unknown = configuration.servers.transparent().filter(|server| server.address().is_none());
    let lines: Vec<String> = unknown.take(8).map(TransparentServer::line).collect();
    (!lines.is_empty()).then(|| {
        let saw = format!(
            "where these servers are, the files do not say, so what is in their way is not known here; a Clearway that \
             runs asks HAProxy: {}",
            lines.join("; ")
        );
        Finding::note(FindingKind::Server, saw)
    })
}

/// `route_localnet` lets others in to 127.0.0.0/8, whose answers our rule would keep here.
pub fn sysctls(servers: &[TransparentServer]) -> Vec<Finding> {
    let loopback = servers.iter().any(|server| server.address.ip().is_loopback());
    let is_set = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/net/{name}")).is_ok_and(|value| value.trim() == "1")
    };
    let mut found = Vec::new();
    if loopback && is_set("ipv4/conf/all/route_localnet") {
        found.push(Finding {
            matters: Some(
                "a client that DNAT sends to a transparent server on 127.0.0.1 gets no answer while Clearway's rule is there"
                    .to_owned(),
            ),
            remedy: Some("let that server listen on another address of this host as well".to_owned()),
            ..Finding::note(FindingKind::Sysctl, "net.ipv4.conf.all.route_localnet is 1")
                .about("net.ipv4.conf.all.route_localnet")
        });
    }
    if servers.iter().any(|server| server.address.is_ipv6()) && is_set("ipv6/conf/lo/disable_ipv6") {
        let finding = Finding::problem(
            FindingKind::Sysctl,
            "net.ipv6.conf.lo.disable_ipv6 is 1",
            "the route that brings answers of IPv6 servers to this host cannot be made",
            "`sysctl -w net.ipv6.conf.lo.disable_ipv6=0`, or `--sysctl net.ipv6.conf.lo.disable_ipv6=0` with `docker run`",
        );
        found.push(finding.about("net.ipv6.conf.lo.disable_ipv6"));
    }
    found
}

/// Clients that no server can see, with the lines that give them a plain backend.
pub fn clients_that_cannot(configuration: &Configuration, servers: &[TransparentServer]) -> Option<Finding> {
    let backend = &configuration.servers.transparent().next()?.section.name;
    let elsewhere = servers.iter().map(|server| server.address.ip()).filter(|ip| !ip.is_loopback());
    let mut addresses: Vec<String> = elsewhere.map(|ip| ip.to_string()).collect();
    addresses.sort();
    addresses.dedup();
    let shown = addresses.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(" ");
    Some(Finding {
        matters: Some(
            "a server on another host cannot answer 127.0.0.1, and drops packets that carry its own address"
                .to_owned(),
        ),
        remedy: Some(format!(
            "give them a plain backend, in the frontend: `acl own src 127.0.0.0/8 ::1 {shown}` and \
             `use_backend {backend}_plain if own`, where `{backend}_plain` is `{backend}` without `usesrc`"
        )),
        ..Finding::note(
            FindingKind::HiddenClients,
            "clients on this host (127.0.0.0/8, ::1), and the servers themselves, cannot be seen by servers",
        )
    })
}
