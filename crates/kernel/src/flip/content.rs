//! The maps and sets of a flip.
//!
//! Pure. Both families and both kinds (every local address; one address) have a map of their own per side, and a set
//! of closed ports.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::way::Way;
use crate::nft::{Element, SetType, Transaction, Values, leading_to, member};

/// In the order in which they are looked up: one address before all.
pub(super) const KINDS: [SetType; 4] =
    [SetType::Addresses4, SetType::Ports4, SetType::Addresses6, SetType::Ports6];

/// Which of the two sets of maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapSide {
    A,
    B,
}

impl MapSide {
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// The map of a side.
pub(super) fn map(kind: SetType, side: MapSide) -> String {
    let side = if side == MapSide::A { "a" } else { "b" };
    format!("{kind}_{side}")
}

/// The set of closed ports.
pub(super) fn closed_set(kind: SetType) -> String {
    format!("closed_{kind}")
}

/// A private port that is closed to direct connections, by its key.
pub(super) type ClosedPort = (SetType, Vec<u8>);

/// The private ports of ways.
pub(super) fn closed(ways: &BTreeSet<Way>) -> BTreeSet<ClosedPort> {
    ways.iter().map(|way| SetType::of(SocketAddr::new(way.public.ip(), way.private))).collect()
}

/// All maps and sets, empty.
pub(super) fn all(all: &mut Transaction) {
    for kind in KINDS {
        all.set(&map(kind, MapSide::A), kind, Values::Ports);
        all.set(&map(kind, MapSide::B), kind, Values::Ports);
        all.set(&closed_set(kind), kind, Values::None);
    }
}

/// Takes everything out of the maps of a side.
pub(super) fn clear(all: &mut Transaction, side: MapSide) {
    for kind in KINDS {
        all.clear("old ways", &map(kind, side));
    }
}

/// Puts ways into the maps of a side.
pub(super) fn fill(all: &mut Transaction, side: MapSide, ways: &BTreeSet<Way>) {
    for kind in KINDS {
        let of_kind = ways.iter().map(|way| (SetType::of(way.public), way.private));
        let of_kind = of_kind.filter(|((of, _), _)| *of == kind);
        let elements: Vec<_> = of_kind.map(|((_, key), private)| leading_to(&key, private)).collect();
        all.put("ways", &map(kind, side), &elements);
    }
}

/// From what is closed to what shall be.
pub(super) fn close(all: &mut Transaction, before: &BTreeSet<ClosedPort>, after: &BTreeSet<ClosedPort>) {
    for kind in KINDS {
        let only = |one: &BTreeSet<ClosedPort>, other: &BTreeSet<ClosedPort>| -> Vec<Element> {
            let of_kind = one.difference(other).filter(|(of, _)| *of == kind);
            of_kind.map(|(_, key)| member(key)).collect()
        };
        all.put("closed ports", &closed_set(kind), &only(after, before));
        all.take("ports closed before", &closed_set(kind), &only(before, after));
    }
}
