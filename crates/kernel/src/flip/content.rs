//! The maps and sets of a flip as netlink messages.
//!
//! Pure. Both families and both kinds (every local address; one address) have a map of their own per side, and a set
//! of closed ports.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetAttribute, SetElementAttribute, SetElementList,
    SetElementMessage, SetFlags, SetMessage,
};

use super::Way;
use crate::netlink::Step;

/// How `nft` numbers types (`enum datatypes`), in keys of several parts with six bits each.
const IPV4_ADDRESS: u32 = 7;
const IPV6_ADDRESS: u32 = 8;
const SERVICE: u32 = 13;
const TYPE_BITS: u32 = 6;
/// Elements per message: far below the 64 KiB that an attribute can hold.
const ELEMENTS: usize = 500;

/// Which of the two sets of maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What kind of key a map or set has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Addresses4,
    Ports4,
    Addresses6,
    Ports6,
}

impl Kind {
    /// In the order in which they are asked: one address before all.
    pub(super) const ALL: [Self; 4] = [Self::Addresses4, Self::Ports4, Self::Addresses6, Self::Ports6];

    fn of(public: SocketAddr) -> Self {
        match (public.ip(), public.ip().is_unspecified()) {
            (IpAddr::V4(_), false) => Self::Addresses4,
            (IpAddr::V4(_), true) => Self::Ports4,
            (IpAddr::V6(_), false) => Self::Addresses6,
            (IpAddr::V6(_), true) => Self::Ports6,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Addresses4 => "addresses4",
            Self::Ports4 => "ports4",
            Self::Addresses6 => "addresses6",
            Self::Ports6 => "ports6",
        }
    }

    /// The map of a side.
    pub(super) fn map(self, side: Side) -> String {
        let side = if side == Side::A { "a" } else { "b" };
        format!("{}_{side}", self.name())
    }

    /// The set of closed ports.
    pub(super) fn set(self) -> String {
        format!("closed_{}", self.name())
    }

    /// Type and length of a key.
    fn key_type(self) -> (u32, u32) {
        match self {
            Self::Addresses4 => (IPV4_ADDRESS << TYPE_BITS | SERVICE, 8),
            Self::Addresses6 => (IPV6_ADDRESS << TYPE_BITS | SERVICE, 20),
            Self::Ports4 | Self::Ports6 => (SERVICE, 2),
        }
    }
}

/// A key: each part fills four bytes where there are several.
fn key(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    let mut key = match address.ip() {
        ip if ip.is_unspecified() => return port.to_vec(),
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    key.extend([port[0], port[1], 0, 0]);
    key
}

/// A private port that strangers do not get to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Closed {
    kind: Kind,
    key: Vec<u8>,
}

/// The private ports of ways.
pub(super) fn closed(ways: &BTreeSet<Way>) -> BTreeSet<Closed> {
    let private = |way: &Way| SocketAddr::new(way.public.ip(), way.private);
    ways.iter().map(|way| Closed { kind: Kind::of(way.public), key: key(private(way)) }).collect()
}

/// All maps and sets, empty.
pub(super) fn all(table: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for (number, kind) in (1_u32..).step_by(3).zip(Kind::ALL) {
        steps.push(set(table, kind.map(Side::A), kind, Some(SERVICE), number));
        steps.push(set(table, kind.map(Side::B), kind, Some(SERVICE), number + 1));
        steps.push(set(table, kind.set(), kind, None, number + 2));
    }
    steps
}

/// `value`: the type of what a map leads to; `number`: what tells the sets of one transaction apart.
fn set(table: &str, name: String, kind: Kind, value: Option<u32>, number: u32) -> Step {
    let (of_key, length) = kind.key_type();
    let flags = if value.is_some() { SetFlags::Map } else { SetFlags::empty() };
    let mut attributes = vec![
        SetAttribute::Table(table.to_owned()),
        SetAttribute::Name(name),
        SetAttribute::Flags(flags),
        SetAttribute::KeyType(of_key),
        SetAttribute::KeyLen(length),
    ];
    if let Some(value) = value {
        attributes.extend([SetAttribute::DataType(value), SetAttribute::DataLen(2)]);
    }
    attributes.push(SetAttribute::Id(number));
    Step { what: "map", message: NfTablesMessage::NewSet(SetMessage { attributes }), flags: NLM_F_CREATE }
}

/// Takes everything out of the maps of a side.
pub(super) fn clear(table: &str, side: Side) -> Vec<Step> {
    let one = |kind: Kind| {
        let attributes = vec![SetElementList::Table(table.to_owned()), SetElementList::Set(kind.map(side))];
        let message = NfTablesMessage::DeleteSetElement(SetElementMessage { attributes });
        Step { what: "old ways", message, flags: 0 }
    };
    Kind::ALL.map(one).into()
}

/// Puts ways into the maps of a side.
pub(super) fn fill(table: &str, side: Side, ways: &BTreeSet<Way>) -> Vec<Step> {
    let mut steps = Vec::new();
    for kind in Kind::ALL {
        let of_kind = ways.iter().filter(|way| Kind::of(way.public) == kind);
        let elements: Vec<_> = of_kind.map(|way| element(key(way.public), Some(way.private))).collect();
        steps.extend(elements.chunks(ELEMENTS).map(|chunk| {
            let message = NfTablesMessage::NewSetElement(list(table, kind.map(side), chunk));
            Step { what: "ways", message, flags: NLM_F_CREATE }
        }));
    }
    steps
}

/// From what is closed to what shall be.
pub(super) fn close(table: &str, before: &BTreeSet<Closed>, after: &BTreeSet<Closed>) -> Vec<Step> {
    let mut steps = Vec::new();
    for kind in Kind::ALL {
        let elements = |one: &BTreeSet<Closed>, other: &BTreeSet<Closed>| -> Vec<_> {
            let difference = one.difference(other).filter(|closed| closed.kind == kind);
            difference.map(|closed| element(closed.key.clone(), None)).collect()
        };
        steps.extend(elements(after, before).chunks(ELEMENTS).map(|chunk| {
            let message = NfTablesMessage::NewSetElement(list(table, kind.set(), chunk));
            Step { what: "closed ports", message, flags: NLM_F_CREATE }
        }));
        steps.extend(elements(before, after).chunks(ELEMENTS).map(|chunk| {
            let message = NfTablesMessage::DeleteSetElement(list(table, kind.set(), chunk));
            Step { what: "ports closed before", message, flags: 0 }
        }));
    }
    steps
}

type Element = ListAttribute<SetElementAttribute>;

fn element(key: Vec<u8>, port: Option<u16>) -> Element {
    let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(key))];
    attributes.extend(
        port.map(|port| SetElementAttribute::Data(DataAttribute::Value(port.to_be_bytes().to_vec()))),
    );
    ListAttribute::Element(attributes)
}

fn list(table: &str, set: String, elements: &[Element]) -> SetElementMessage {
    let attributes = vec![
        SetElementList::Table(table.to_owned()),
        SetElementList::Set(set),
        SetElementList::Elements(elements.to_vec()),
    ];
    SetElementMessage { attributes }
}
