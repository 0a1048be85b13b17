//! The addresses and ports that a gate is closed for, as the elements of five sets.
//!
//! Pure. Each element has a [`TIMEOUT`]; to stay, it must be put in again.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use crate::nft::{SetType, Transaction, member_for};

/// The timeout of an element of the sets, unless it is refreshed: below a second, with room for the resolution of the
/// kernel's clock.
pub const TIMEOUT: Duration = Duration::from_millis(800);

/// The address of a listening socket, to which SYNs are stopped: a specific one, or every one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundAddress {
    /// An unspecified IPv4 address means every IPv4 address, an unspecified IPv6 address every address of both
    /// families.
    pub address: SocketAddr,
    /// `IPV6_V6ONLY`: not of both.
    pub v6only: bool,
}

impl From<SocketAddr> for BoundAddress {
    fn from(address: SocketAddr) -> Self {
        Self { address, v6only: false }
    }
}

/// All there are, in the order in which they are made.
pub(super) const SETS: [SetType; 5] =
    [SetType::Ports, SetType::Ports4, SetType::Ports6, SetType::Addresses4, SetType::Addresses6];

/// The elements of the sets; a set without any is not made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys(BTreeSet<(SetType, Vec<u8>)>);

impl Keys {
    pub(super) fn of(addresses: &[BoundAddress], ports: &[u16]) -> Self {
        let ports = ports.iter().map(|port| (SetType::Ports, port.to_be_bytes().to_vec()));
        Self(addresses.iter().map(key).chain(ports).collect())
    }

    /// The sets that are used.
    pub(super) fn sets(&self) -> impl Iterator<Item = SetType> {
        SETS.into_iter().filter(|kind| self.0.iter().any(|(used, _)| used == kind))
    }

    /// Puts the elements in.
    pub(super) fn put(&self, all: &mut Transaction) {
        for kind in self.sets() {
            let of_kind = self.0.iter().filter(|(of, _)| *of == kind);
            let elements: Vec<_> = of_kind.map(|(_, key)| member_for(key, TIMEOUT)).collect();
            all.put("elements", kind.into(), &elements);
        }
    }

    /// Puts the elements in anew, so that their time begins again. Only Linux 6.12 and newer give an element that is
    /// there more time; so all are taken out and put in, in one transaction, whether they have timed out or not.
    pub(super) fn refresh(&self, table: &impl Display) -> Transaction {
        let mut all = Transaction::on(table);
        for kind in self.sets() {
            all.clear("old elements", kind.into());
        }
        self.put(&mut all);
        all
    }
}

/// In which set an address is, and its key there.
fn key(BoundAddress { address, v6only }: &BoundAddress) -> (SetType, Vec<u8>) {
    match SetType::of(SocketAddr::new(address.ip().to_canonical(), address.port())) {
        (SetType::Ports6, key) if !v6only => (SetType::Ports, key),
        known => known,
    }
}
