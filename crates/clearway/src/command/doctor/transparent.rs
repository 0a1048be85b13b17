//! What keeps transparent connections from working, or hides the clients from the servers: seen by the canary of a
//! running Clearway, in the rules of others, and in the configuration.

use std::net::IpAddr;

use clearway_core::settings::Settings;
use clearway_haproxy::configuration::Configuration;
use clearway_kernel::interfaces;
use clearway_kernel::nft::{self, Masquerade};

use super::Finding;
use crate::admin::api::SeenByCanary;

/// What the Clearway that runs here knows of its servers.
pub async fn canary(settings: &Settings) -> Vec<Finding> {
    let Ok((status, _)) = crate::command::ask_status(settings).await else { return Vec::new() };
    status.canary.iter().map(of_a_server).collect()
}

fn of_a_server(seen: &SeenByCanary) -> Finding {
    let saw = format!("the server {}: {}", seen.address, seen.words);
    let remedy = (!seen.hints.is_empty()).then(|| seen.hints.join("; or "));
    match seen.verdict.as_str() {
        "works" => Finding::good(saw),
        "broken" => Finding::problem(
            saw,
            "every client of this server fails, and its health check is green",
            remedy.unwrap_or_default(),
        ),
        _ => Finding { remedy, ..Finding::note(saw) },
    }
}

/// Rules of others that hide the clients. Bad where a transparent server is behind one, as far as that can be told.
pub fn masquerades(configuration: Option<&Configuration>) -> Vec<Finding> {
    let servers: Vec<IpAddr> = configuration.iter().flat_map(|one| addresses(one)).collect();
    let on_the_way = |rule: &Masquerade| {
        servers.iter().find(|server| match (server, &rule.interface) {
            (_, None) => true,
            (IpAddr::V4(server), Some(interface)) => interfaces::towards(*server).as_ref() == Some(interface),
            (IpAddr::V6(_), Some(_)) => false,
        })
    };
    let matters =
        "transparent connections that leave there get this host's address, and the servers see that";
    let remedy = "limit the rule to what it is for, such as `ip saddr` of the containers' network";
    let finding = |rule: &Masquerade| match on_the_way(rule) {
        Some(server) => Finding::problem(format!("{rule}, where the server {server} is"), matters, remedy),
        None => Finding { matters: Some(matters), ..Finding::note(rule.to_string()) },
    };
    match nft::masquerades() {
        Ok(found) => found.iter().map(finding).collect(),
        Err(error) => {
            vec![Finding::note(format!("rules that hide the clients could not be looked for: {error}"))]
        }
    }
}

/// Of the transparent servers, as far as the files say them.
fn addresses(configuration: &Configuration) -> impl Iterator<Item = IpAddr> {
    configuration.servers.transparent().filter_map(|server| Some(server.address()?.ip()))
}

/// `route_localnet` lets others in to 127.0.0.0/8, whose answers our rule would keep here.
pub fn sysctls(configuration: &Configuration) -> Vec<Finding> {
    let loopback = addresses(configuration).any(|ip| ip.is_loopback());
    let is_set = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/net/{name}")).is_ok_and(|value| value.trim() == "1")
    };
    let route_localnet = loopback && is_set("ipv4/conf/all/route_localnet");
    let note = Finding {
        matters: Some(
            "whoever is sent to a transparent server on 127.0.0.1 by DNAT gets no answer while Clearway's rule is there",
        ),
        remedy: Some("let that server listen on another address of this host as well".to_owned()),
        ..Finding::note("net.ipv4.conf.all.route_localnet is 1")
    };
    route_localnet.then_some(note).into_iter().collect()
}

/// Clients that no server can see, with the lines that give them a plain backend.
pub fn clients_that_cannot(configuration: &Configuration) -> Option<Finding> {
    let backend = &configuration.servers.transparent().next()?.section.name;
    let mut addresses: Vec<String> =
        addresses(configuration).filter(|ip| !ip.is_loopback()).map(|ip| ip.to_string()).collect();
    addresses.sort();
    addresses.dedup();
    let shown = addresses.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(" ");
    Some(Finding {
        matters: Some(
            "a server on another host cannot answer 127.0.0.1, and drops packets that carry its own address",
        ),
        remedy: Some(format!(
            "give them a plain backend, in the frontend: `acl own src 127.0.0.0/8 ::1 {shown}` and \
             `use_backend {backend}_plain if own`, where `{backend}_plain` is `{backend}` without `usesrc`"
        )),
        ..Finding::note(
            "clients on this host (127.0.0.0/8, ::1), and the servers themselves, cannot be seen by servers",
        )
    })
}
