//! Listeners sorted by address, so that of thousands only those are compared with an address that may take its clients.
//! This only narrows the choice: whether two overlap, [`super::covers`] decides.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Things that listen at an address each.
#[derive(Debug)]
pub(crate) struct Nearby<T>(HashMap<u16, OnPort<T>>);

#[derive(Debug)]
struct OnPort<T> {
    all: Vec<T>,
    /// Those at one address; an IPv4 one also in the form of IPv6.
    at: HashMap<IpAddr, Vec<T>>,
    wildcards: Vec<T>,
}

impl<T: Copy> Nearby<T> {
    /// These, each with its address.
    pub fn of(all: impl IntoIterator<Item = (SocketAddr, T)>) -> Self {
        let mut ports: HashMap<u16, OnPort<T>> = HashMap::new();
        for (address, one) in all {
            let there = ports.entry(address.port()).or_insert_with(OnPort::new);
            there.all.push(one);
            match address.ip().to_canonical() {
                ip if ip.is_unspecified() => there.wildcards.push(one),
                ip => there.at.entry(ip).or_default().push(one),
            }
        }
        Self(ports)
    }

    /// Those with which an address may overlap: at the same address, then wildcards; for a wildcard all of its port.
    pub fn to(&self, address: SocketAddr) -> impl Iterator<Item = &T> {
        let (first, then): (&[T], &[T]) = match (self.0.get(&address.port()), address.ip().to_canonical()) {
            (None, _) => (&[], &[]),
            (Some(there), ip) if ip.is_unspecified() => (&there.all, &[]),
            (Some(there), ip) => (there.at.get(&ip).map_or(&[], Vec::as_slice), &there.wildcards),
        };
        first.iter().chain(then)
    }
}

impl<T> OnPort<T> {
    fn new() -> Self {
        Self { all: Vec::new(), at: HashMap::new(), wildcards: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
