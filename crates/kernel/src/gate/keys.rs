//! For which addresses and ports a gate is closed, as the elements of five sets.
//!
//! Pure. Each element has a [`TIMEOUT`]; who wants it to stay puts it in again.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::SocketAddr;

use super::{At, TIMEOUT};
use crate::nft::{Kind, Transaction, member_for};

/// All there are, in the order in which they are made.
pub(super) const SETS: [Kind; 5] =
    [Kind::Ports, Kind::Ports4, Kind::Ports6, Kind::Addresses4, Kind::Addresses6];

/// What is in the sets; those that are not used are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys(BTreeSet<(Kind, Vec<u8>)>);

impl Keys {
    pub(super) fn of(addresses: &[At], ports: &[u16]) -> Self {
        let ports = ports.iter().map(|port| (Kind::Ports, port.to_be_bytes().to_vec()));
        Self(addresses.iter().map(key).chain(ports).collect())
    }

    /// The sets that are used.
    pub(super) fn sets(&self) -> impl Iterator<Item = Kind> {
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
fn key(At { address, v6only }: &At) -> (Kind, Vec<u8>) {
    match Kind::of(SocketAddr::new(address.ip().to_canonical(), address.port())) {
        (Kind::Ports6, key) if !v6only => (Kind::Ports, key),
        known => known,
    }
}
