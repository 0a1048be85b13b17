//! What of others stands in the way of transparent connections: in the packet filter, in the routing policy, and at the
//! interfaces. Looked for by the doctor, and by the canary's thread of a Clearway that runs, whose log and status name
//! what is found.
//!
//! It changes nothing and blocks nothing. A server that is concerned is named with its line. What cannot be found out is
//! a note that says so.

use std::net::IpAddr;

use clearway_haproxy::configuration::{Configuration, ServerLine};
use clearway_kernel::interfaces;
use clearway_kernel::others::{self, ForeignRuleset, Towards};

mod marks;
mod obstacle;
mod routing;

use obstacle::unknown;
pub use obstacle::{Bits, Obstacle, ObstacleKind, ObstacleSeverity, TransparentServer};

/// The transparent servers of a configuration, as far as the files say where they are.
pub fn in_the_files(configuration: &Configuration) -> Vec<TransparentServer> {
    let known = |server: &ServerLine| {
        Some(TransparentServer { address: server.address()?, line: TransparentServer::line(server) })
    };
    configuration.servers.transparent().filter_map(known).collect()
}

/// Clients and servers of different families, as the files say them.
pub fn mismatches(configuration: &Configuration) -> Vec<Obstacle> {
    let one = |mismatch: &dyn std::fmt::Display| {
        Obstacle::new(
            ObstacleSeverity::Problem,
            mismatch.to_string(),
            "every connection of these clients to this server fails, and its health check is green",
            "docs/how-to/transparent-proxying.md, \"The balancer\"",
        )
    };
    configuration.mismatches().iter().map(|mismatch| one(mismatch)).collect()
}

/// A server that is a client of its own: it drops what seems to come from itself.
pub fn is_its_own_client(server: &TransparentServer) -> Obstacle {
    let ip = server.address.ip();
    let obstacle = Obstacle::new(
        ObstacleSeverity::Problem,
        format!(
            "the server {} ({}) is a client as well: HAProxy connects to it from its own address",
            server.address, server.line
        ),
        "a host drops packets that come from elsewhere with its own address: these connections time out",
        format!(
            "give it a plain backend, in the frontend: `acl own src {ip}` and `use_backend NAME if own`, where NAME is \
             this backend without `usesrc`"
        ),
    );
    Obstacle { kind: ObstacleKind::IsItsOwnClient, ..obstacle }
}

/// Looks for all of it. Needs `NET_ADMIN` for the packet filter.
pub fn find(servers: &[TransparentServer], bits: Bits) -> Vec<Obstacle> {
    let mut found = Vec::new();
    match ForeignRuleset::read() {
        Ok(others) => {
            found.extend(masquerades(&others, servers));
            found.extend(localnet(&others, servers));
            found.extend(marks::find(&others, bits));
            found.extend(reverse_path(&others));
        }
        Err(error) => found.push(unknown(&format!("the packet filter of others could not be read: {error}"))),
    }
    if others::has_legacy_tables() == Some(true) {
        let remedy = "`iptables-legacy-save` and `ip6tables-legacy-save` show them";
        found.push(Obstacle {
            remedy: remedy.to_owned(),
            ..unknown("rules of the old iptables (`iptables-legacy`) are in use here, and cannot be read with nftables")
        });
    }
    found.extend(routing::find(servers, bits));
    found
}

/// How many of an engine's networks are named.
const SHOWN: usize = 4;

/// Bad where a transparent server is behind one, as far as that can be told. One that is for a network only hides the
/// clients of that: whether any come from there is not known.
fn masquerades(others: &ForeignRuleset, servers: &[TransparentServer]) -> Vec<Obstacle> {
    let matters =
        "transparent connections that leave there get this host's address, and the servers see that";
    let remedy = "limit the rule to what it is for, such as `ip saddr` of the containers' network";
    let all = others.masquerades();
    let (of_networks, of_all): (Vec<_>, Vec<_>) = all.iter().partition(|rule| rule.source.is_some());
    let one = |rule: &&others::Masquerade| match servers.iter().find(|server| is_behind(server, rule)) {
        Some(server) => Obstacle::new(
            ObstacleSeverity::Problem,
            format!("{rule}, {}", server.is_there()),
            matters,
            remedy,
        ),
        None => Obstacle::new(ObstacleSeverity::Note, rule.to_string(), matters, remedy),
    };
    of_all.iter().map(one).chain(networks(&of_networks, servers)).collect()
}

/// As Docker has a rule for each bridge: containers of one network that are clients of servers elsewhere.
fn networks(rules: &[&others::Masquerade], servers: &[TransparentServer]) -> Option<Obstacle> {
    let hidden = rules.iter().filter_map(|rule| {
        let server = servers.iter().find(|server| is_behind(server, rule))?;
        Some((rule.source?, format!("{rule}, {}", server.is_there())))
    });
    let hidden: Vec<_> = hidden.collect();
    let (source, _) = hidden.first()?;
    let more = hidden.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let shown: Vec<&str> = hidden.iter().take(SHOWN).map(|(_, words)| &**words).collect();
    Some(Obstacle::new(
        ObstacleSeverity::Note,
        shown.join("; ") + &more,
        "clients from these networks (containers of this host) are hidden: what HAProxy sends to that server with their \
         addresses gets this host's, and the server sees that",
        format!(
            "if there are such clients: exempt what processes of this host send, in front of each rule, `iptables -t nat \
             -I POSTROUTING -s {source} -m owner --socket-exists -j ACCEPT` (`ip6tables` for IPv6)"
        ),
    ))
}

/// Whether what HAProxy sends to a server goes through a rule.
fn is_behind(server: &TransparentServer, rule: &others::Masquerade) -> bool {
    let ip = server.address.ip();
    let of_family = match rule.place.family() {
        "ip" => ip.is_ipv4(),
        "ip6" => ip.is_ipv6(),
        _ => true,
    };
    of_family
        && match &rule.towards {
            Towards::All => true,
            Towards::Only(name) => interfaces::towards(ip).as_ref() == Some(name),
            Towards::AllBut(name) => {
                !ip.is_loopback() && interfaces::towards(ip).is_some_and(|towards| towards != *name)
            }
        }
}

/// kubelet's rule matters to servers on 127.0.0.0/8 only.
fn localnet(others: &ForeignRuleset, servers: &[TransparentServer]) -> Vec<Obstacle> {
    let concerned =
        |server: &&TransparentServer| matches!(server.address.ip(), IpAddr::V4(ip) if ip.is_loopback());
    let matters =
        "HAProxy connects to servers on 127.0.0.1 from the addresses of clients: what it sends is dropped";
    let remedy = "let the server listen on an address of the node or the pod instead, and name that in the `server` \
                  line: the rule does not concern it";
    let one = |rule: &others::LocalnetBlock| {
        let server = servers.iter().find(concerned)?;
        Some(Obstacle::new(
            ObstacleSeverity::Problem,
            format!("{rule}, {}", server.is_there()),
            matters,
            remedy,
        ))
    };
    others.localnet_blocks().iter().filter_map(one).collect()
}

/// What firewalld does goes well together with ours; that it must let clients in is its user's matter.
fn reverse_path(others: &ForeignRuleset) -> Vec<Obstacle> {
    let one = |filter: &others::ReversePathFilter| {
        Obstacle::new(
            ObstacleSeverity::Good,
            format!(
                "{filter}: it asks for the way back with the packet's mark, and Clearway's rules let it pass"
            ),
            "answers of servers have a mark that leads to this host; without the `goto` among Clearway's rules they \
             would be dropped here",
            "",
        )
    };
    let mut found: Vec<Obstacle> = others.reverse_path_filters().iter().map(one).collect();
    if others.firewalld() {
        found.push(Obstacle::new(
            ObstacleSeverity::Note,
            "firewalld filters here (table inet firewalld)",
            "answers of servers are let in as those of known connections; clients only at ports that are open in the \
             zone of their interface",
            "for each `bind`: `firewall-cmd --zone=ZONE --add-port=PORT/tcp`, and the same with `--permanent`",
        ));
    }
    found
}
