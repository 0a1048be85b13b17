//! Listening sockets at addresses that this host does not have: HAProxy could not make them without the sysctl
//! `ip_nonlocal_bind` (docs/facts H12), so Clearway makes them and offers them to it.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use clearway_haproxy::configuration::{Bind, Configuration, V6};
use clearway_kernel::listeners;

use crate::custody::held::Held;
use crate::custody::notices::CustodyNotice;
use crate::ground::notice::tell;

/// More addresses than any configuration binds; a hostile file may name millions.
const MOST_ADDRESSES: usize = 10_000;

/// Makes what is missing: no socket of those that are offered is bound to the address. What is made is logged.
pub fn make<'a>(configuration: &Configuration, offered: impl Iterator<Item = &'a Held>) -> Vec<Held> {
    let mut known: HashSet<SocketAddr> = offered.filter_map(Held::address).collect();
    // The kernel is asked once about an address: a range of thousands of ports has one.
    let mut local: HashMap<IpAddr, bool> = HashMap::new();
    let mut is_local = |address| *local.entry(address).or_insert_with(|| listeners::is_local(address));
    let mut made = Vec::new();
    for (bind, address) in wanted(configuration) {
        if known.contains(&address) || is_local(address.ip()) {
            continue;
        }
        match make_one(bind, address) {
            Ok(held) => {
                tell(&CustodyNotice::Foreign { address, line: bind.span.to_string() });
                known.insert(address);
                made.push(held);
            }
            Err(error) => {
                let (line, error) = (bind.span.to_string(), error.to_string());
                tell(&CustodyNotice::ForeignFailed { address, line, error });
            }
        }
    }
    made
}

/// The addresses for which HAProxy would take a socket from us, if they turned out not to be ones of this host.
pub fn wanted(configuration: &Configuration) -> impl Iterator<Item = (&Bind, SocketAddr)> {
    configuration
        .tcp_addresses()
        .take(MOST_ADDRESSES)
        .filter(|(bind, address)| may_be_foreign(bind, *address))
}

fn may_be_foreign(bind: &Bind, address: SocketAddr) -> bool {
    let adoptable = address.is_ipv4() || bind.v6 == V6::Only;
    let plain = !bind.transparent && bind.namespace.is_none() && bind.guards.is_empty();
    let specific = !address.ip().is_unspecified() && !address.ip().is_multicast() && address.port() != 0;
    adoptable && plain && specific
}

fn make_one(bind: &Bind, address: SocketAddr) -> Result<Held, Box<dyn std::error::Error>> {
    let interface = bind.interface.as_deref();
    let socket = listeners::bind_foreign(address, bind.v6 == V6::Only, interface)?;
    Ok(Held::made(socket, interface.unwrap_or_default())?)
}
