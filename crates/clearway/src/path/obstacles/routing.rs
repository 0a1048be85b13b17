//! Policy rules of others that come before ours or ask for our bit, and interfaces without a link-local address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clearway_kernel::interfaces;
use clearway_kernel::netlink::{NetlinkClient, Protocol};
use clearway_kernel::routing::{self, Block, Family, PolicyRule};

use crate::path::obstacles::obstacle::{Bits, Obstacle, ObstacleSeverity, TransparentServer, unknown};

pub fn find(servers: &[TransparentServer], bits: Bits) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let rules =
        NetlinkClient::open(Protocol::Route).map_err(|error| error.to_string()).and_then(|mut client| {
            let mut all = Vec::new();
            for family in Family::ALL {
                match routing::rules(&mut client, family) {
                    Ok(rules) => all.extend(rules),
                    Err(error) if error.is_without_family() => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            Ok(all)
        });
    match rules {
        Ok(rules) => found.extend(of_rules(&rules, bits)),
        Err(error) => found.push(unknown(&format!("the policy rules of others could not be read: {error}"))),
    }
    found.extend(without_link_local(servers));
    found
}

fn of_rules(rules: &[PolicyRule], bits: Bits) -> Vec<Obstacle> {
    let ours = rules.iter().filter(|rule| rule.block().is_some()).map(|rule| rule.preference).max();
    let last = ours.or_else(|| Block::all().next().map(|block| block.preferences()[4])).unwrap_or_default();
    let is_ours = |rule: &&PolicyRule| rule.block().is_none();
    let mut found = Vec::new();
    for rule in rules.iter().filter(is_ours) {
        let bit = [Some(bits.diverted), bits.replies].into_iter().flatten().find(|mark| rule.uses(*mark));
        if let Some(mark) = bit {
            found.push(Obstacle::new(
                ObstacleSeverity::Problem,
                format!("the {} policy rule `{rule}` of others asks for the bit {mark} of packet marks, which is Clearway's", rule.family),
                "packets with that mark are others' for the one and ours for the other: either may go the wrong way",
                "give one of them another bit: CLEARWAY_MARK",
            ));
        } else if rule.preference < last && rule.takes_packets() {
            // Conditions are not looked into: it may be that they spare the servers' answers.
            let severity =
                if rule.is_unconditional() { ObstacleSeverity::Problem } else { ObstacleSeverity::Note };
            found.push(Obstacle::new(
                severity,
                format!("the {} policy rule `{rule}` of others comes before Clearway's", rule.family),
                "answers of servers that it matches go its way, and not to HAProxy",
                format!("give it a preference above {last}"),
            ));
        }
    }
    found
}

/// Neighbour discovery for packets with foreign source addresses begins at the link-local one.
fn without_link_local(servers: &[TransparentServer]) -> Vec<Obstacle> {
    let mut without: BTreeMap<String, &TransparentServer> = BTreeMap::new();
    for server in
        servers.iter().filter(|server| matches!(server.address.ip(), IpAddr::V6(ip) if !ip.is_loopback()))
    {
        let interface = interfaces::towards(server.address.ip()).filter(|name| name != "lo");
        if let Some(name) = interface.filter(|name| interfaces::has_link_local(name) == Some(false)) {
            without.entry(name).or_insert(server);
        }
    }
    let one = |(name, server): (String, &TransparentServer)| {
        Obstacle::new(
            ObstacleSeverity::Note,
            format!("`{name}` has no IPv6 link-local address, {}", server.is_there()),
            "the kernel looks for neighbours from that address when a packet has a client's: sessions that have rested \
             for a while may go silent",
            format!(
                "`ip link set {name} addrgenmode eui64` and set it down and up, or `ip address add fe80::1/64 dev {name}`"
            ),
        )
    };
    without.into_iter().map(one).collect()
}
