//! The keys of sets and maps, and their elements.
//!
//! Pure.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netlink_packet_netfilter::nftables::{DataAttribute, ListAttribute, SetElementAttribute};

use crate::transparency::Family;

/// How `nft` numbers types (`enum datatypes`), in keys of several parts with six bits each: needed to list the set.
const IPV4_ADDRESS: u32 = 7;
const IPV6_ADDRESS: u32 = 8;
pub(super) const SERVICE: u32 = 13;
const TYPE_BITS: u32 = 6;

/// The type of a set's key. Sets of a type have its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum SetType {
    /// A port, at any address of both families.
    Ports,
    /// A port, at any IPv4 address.
    Ports4,
    /// A port, at any IPv6 address.
    Ports6,
    /// An IPv4 address and a port.
    Addresses4,
    /// An IPv6 address and a port.
    Addresses6,
}

impl SetType {
    /// Of an address, which may be every one of its family; with its key.
    pub(crate) fn of(address: SocketAddr) -> (Self, Vec<u8>) {
        let port = address.port().to_be_bytes();
        let with = |octets: &[u8]| [octets, &port, &[0, 0]].concat();
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => (Self::Ports4, port.to_vec()),
            IpAddr::V6(ip) if ip.is_unspecified() => (Self::Ports6, port.to_vec()),
            IpAddr::V4(ip) => (Self::Addresses4, with(&ip.octets())),
            IpAddr::V6(ip) => (Self::Addresses6, with(&ip.octets())),
        }
    }

    /// Unless it is for both.
    pub(super) const fn family(self) -> Option<Family> {
        match self {
            Self::Ports => None,
            Self::Ports4 | Self::Addresses4 => Some(Family::V4),
            Self::Ports6 | Self::Addresses6 => Some(Family::V6),
        }
    }

    /// Type and length of a key: each part fills four bytes where there are several.
    pub(super) const fn layout(self) -> (u32, u32) {
        match self {
            Self::Ports | Self::Ports4 | Self::Ports6 => (SERVICE, 2),
            Self::Addresses4 => (IPV4_ADDRESS << TYPE_BITS | SERVICE, 8),
            Self::Addresses6 => (IPV6_ADDRESS << TYPE_BITS | SERVICE, 20),
        }
    }
}

/// What a set has besides keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// Nothing.
    None,
    /// A time for each, after which it goes.
    Timeouts,
    /// A port for each: it is a map.
    Ports,
}

pub(crate) type Element = ListAttribute<SetElementAttribute>;

/// An element of a set.
pub(crate) fn member(key: &[u8]) -> Element {
    ListAttribute::Element(vec![SetElementAttribute::Key(DataAttribute::Value(key.to_vec()))])
}

/// An element that goes after some time.
pub(crate) fn member_for(key: &[u8], time: Duration) -> Element {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    and(key, SetElementAttribute::Timeout(milliseconds))
}

/// An element of a map.
pub(crate) fn leading_to(key: &[u8], port: u16) -> Element {
    and(key, SetElementAttribute::Data(DataAttribute::Value(port.to_be_bytes().to_vec())))
}

fn and(key: &[u8], value: SetElementAttribute) -> Element {
    ListAttribute::Element(vec![SetElementAttribute::Key(DataAttribute::Value(key.to_vec())), value])
}
