//! For which addresses and ports a gate is closed, as the elements of five sets.
//!
//! Pure. Each element has a [`TIMEOUT`]; who wants it to stay puts it in again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList, SetElementMessage,
};

use super::{At, TIMEOUT};
use crate::netlink::Step;

/// Elements per message: an attribute has room for 64 KiB, an element takes some 50 bytes.
const AT_ONCE: usize = 500;

/// What a set's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Set {
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

impl Set {
    pub(super) const ALL: [Self; 5] =
        [Self::Ports, Self::Ports4, Self::Ports6, Self::Addresses4, Self::Addresses6];

    /// Under which name it stands in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::Ports4 => "ports4",
            Self::Ports6 => "ports6",
            Self::Addresses4 => "addresses4",
            Self::Addresses6 => "addresses6",
        }
    }
}

/// What is in the sets; those that are not used are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys(BTreeSet<(Set, Vec<u8>)>);

impl Keys {
    pub(super) fn of(addresses: &[At], ports: &[u16]) -> Self {
        let ports = ports.iter().map(|port| (Set::Ports, port.to_be_bytes().to_vec()));
        Self(addresses.iter().map(key).chain(ports).collect())
    }

    /// The sets that are used.
    pub(super) fn sets(&self) -> impl Iterator<Item = Set> {
        Set::ALL.into_iter().filter(|set| self.0.iter().any(|(used, _)| used == set))
    }

    /// Puts the elements in.
    pub(super) fn steps(&self, table: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        for set in self.sets() {
            let elements: Vec<_> =
                self.0.iter().filter(|(of, _)| *of == set).map(|(_, key)| element(key)).collect();
            steps.extend(elements.chunks(AT_ONCE).map(|elements| {
                let mut attributes = named(table, set);
                attributes.push(SetElementList::Elements(elements.to_vec()));
                let message = NfTablesMessage::NewSetElement(SetElementMessage { attributes });
                Step { what: "elements", message, flags: NLM_F_CREATE }
            }));
        }
        steps
    }

    /// Puts the elements in anew, so that their time begins again. Only Linux 6.12 and newer give an element that is
    /// there more time; so all are taken out and put in, in one transaction, whether they have timed out or not.
    pub(super) fn refresh(&self, table: &str) -> Vec<Step> {
        let flush = |set| Step {
            what: "old elements",
            message: NfTablesMessage::DeleteSetElement(SetElementMessage { attributes: named(table, set) }),
            flags: 0,
        };
        self.sets().map(flush).chain(self.steps(table)).collect()
    }
}

fn named(table: &str, set: Set) -> Vec<SetElementList> {
    vec![SetElementList::Table(table.to_owned()), SetElementList::Set(set.name().to_owned())]
}

fn element(key: &[u8]) -> ListAttribute<SetElementAttribute> {
    let milliseconds = u64::try_from(TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    ListAttribute::Element(vec![
        SetElementAttribute::Key(DataAttribute::Value(key.to_vec())),
        SetElementAttribute::Timeout(milliseconds),
    ])
}

/// In which set an address is, and its key there: each part of a key fills whole registers of four bytes.
fn key(At { address, v6only }: &At) -> (Set, Vec<u8>) {
    let port = address.port().to_be_bytes();
    match (address.ip(), address.ip().to_canonical()) {
        (IpAddr::V6(ip), _) if ip.is_unspecified() && *v6only => (Set::Ports6, port.to_vec()),
        (IpAddr::V6(ip), _) if ip.is_unspecified() => (Set::Ports, port.to_vec()),
        (_, IpAddr::V4(ip)) if ip.is_unspecified() => (Set::Ports4, port.to_vec()),
        (_, IpAddr::V4(ip)) => (Set::Addresses4, [&ip.octets()[..], &port, &[0, 0]].concat()),
        (_, IpAddr::V6(ip)) => (Set::Addresses6, [&ip.octets()[..], &port, &[0, 0]].concat()),
    }
}
