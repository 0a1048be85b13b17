//! Which `bind` lines could have made a socket: HAProxy does not say it, so it is looked for by what both have.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::address::{Endpoint, Transport};
use super::binds::Bind;
use super::content::Configuration;
use crate::inventory::{LocalAddress, SocketIdentity, SocketKind};

/// More addresses than any real file binds; a hostile one may name millions. Lines behind them are not found.
const MOST: usize = 10_000;

/// The `bind` lines by their addresses. Host names are not among them.
#[derive(Debug)]
pub struct BindLines<'a> {
    by_address: HashMap<LocalAddress, Vec<(&'a Bind, BindType)>>,
}

/// How the bytes arrive, as far as HAProxy compares it: TCP and MPTCP are the same to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BindType {
    Stream,
    Datagram,
    /// A Unix socket's line does not say which.
    Either,
}

impl<'a> BindLines<'a> {
    /// The lines of a configuration, those in conditional blocks too.
    pub fn of(configuration: &'a Configuration) -> Self {
        let all = configuration.binds.iter().flat_map(|bind| {
            bind.endpoints.iter().flat_map(move |endpoint| {
                addresses(endpoint).map(move |(address, carried)| (address, bind, carried))
            })
        });
        let mut by_address: HashMap<LocalAddress, Vec<(&Bind, BindType)>> = HashMap::new();
        for (address, bind, carried) in all.take(MOST) {
            by_address.entry(address).or_default().push((bind, carried));
        }
        Self { by_address }
    }

    /// Those with the address of a socket, its kind, `transparent` and interface: what HAProxy compares, without the
    /// namespace, which a socket does not tell, and `v6only`, which the kernel sets by itself.
    pub fn that_make(&self, socket: &SocketIdentity) -> impl Iterator<Item = &'a Bind> {
        let same_address = self.by_address.get(&without_scope(&socket.address)).into_iter().flatten();
        same_address
            .filter(|(bind, carried)| carried.is(socket.kind) && fits(bind, socket))
            .map(|(bind, _)| *bind)
    }
}

impl BindType {
    fn is(self, kind: SocketKind) -> bool {
        match self {
            Self::Stream => kind != SocketKind::Datagram,
            Self::Datagram => kind == SocketKind::Datagram,
            Self::Either => true,
        }
    }
}

fn addresses(endpoint: &Endpoint) -> impl Iterator<Item = (LocalAddress, BindType)> {
    let (unix, carried) = match endpoint {
        Endpoint::Unix(path) => (Some(LocalAddress::Path(path.clone())), BindType::Either),
        Endpoint::Abstract(name) => {
            (Some(LocalAddress::Abstract(name.as_bytes().to_vec())), BindType::Either)
        }
        Endpoint::Ip { transport: Transport::Quic | Transport::Udp, .. } => (None, BindType::Datagram),
        _ => (None, BindType::Stream),
    };
    let ip = endpoint.socket_addresses().map(LocalAddress::Ip);
    unix.into_iter().chain(ip).map(move |address| (address, carried))
}

fn fits(bind: &Bind, socket: &SocketIdentity) -> bool {
    let interface = match (&bind.interface, &socket.device) {
        (Some(wanted), Some(bound)) => wanted == bound,
        // There was none of that name (HAProxy only warns), or there is none any more.
        (_, None) => true,
        // `fe80::1%eth0` is bound to an interface without the word.
        (None, Some(_)) => socket.address.is_link_local(),
    };
    interface && bind.transparent == socket.foreign
}

/// Lines are scanned without the scope of a link-local address.
fn without_scope(address: &LocalAddress) -> LocalAddress {
    match address {
        LocalAddress::Ip(address) => LocalAddress::Ip(SocketAddr::new(address.ip(), address.port())),
        other => other.clone(),
    }
}

impl LocalAddress {
    /// Whether it means something only together with an interface: `fe80::/10`.
    pub fn is_link_local(&self) -> bool {
        matches!(self, Self::Ip(address) if matches!(address.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local()))
    }
}

#[cfg(test)]
mod tests;
