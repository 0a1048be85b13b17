//! Rules of others that hide the clients: a MASQUERADE towards servers gives their connections the address of this host.
//!
//! Found are those that stand in a base chain of `nat postrouting` and ask for nothing but the outgoing interface and the
//! network that the packet comes from, as Docker's do. What another condition guards (Kubernetes' rules ask for a mark), or
//! what another chain leads to, is left alone: whether it matters cannot be told from here.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::expression::{Comparison, End, Seen};
use super::{At, Chain, Others, Place, Rule};
use crate::netlink::attributes::text;

/// The keys `oif` and `oifname` of `meta`.
const OUTGOING: [u32; 2] = [5, 7];

/// Towards where a rule counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Towards {
    /// Everywhere.
    All,
    /// By this interface only.
    Only(String),
    /// By any but this one.
    AllBut(String),
}

/// Addresses that a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The first.
    pub address: IpAddr,
    /// How many bits all have in common.
    pub prefix: u32,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A rule that hides clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masquerade {
    /// Where it stands.
    pub place: Place,
    /// Towards where.
    pub towards: Towards,
    /// Whom it hides; unset: all.
    pub source: Option<Source>,
}

impl fmt::Display for Masquerade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MASQUERADE ")?;
        if let Some(source) = &self.source {
            write!(f, "of {source} ")?;
        }
        match &self.towards {
            Towards::All => f.write_str("towards every interface")?,
            Towards::Only(name) => write!(f, "towards `{name}`")?,
            Towards::AllBut(name) => write!(f, "towards every interface but `{name}`")?,
        }
        write!(f, " ({})", self.place)
    }
}

impl Others {
    /// Those that there are.
    pub fn masquerades(&self) -> Vec<Masquerade> {
        let of_nat = |chain: &&Chain| chain.nat && chain.hook.is_some_and(|hook| hook.at == At::Postrouting);
        let base: BTreeSet<&Place> = self.chains.iter().filter(of_nat).map(|chain| &chain.place).collect();
        self.rules.iter().filter(|rule| base.contains(&rule.place)).filter_map(masquerade).collect()
    }
}

/// What the next comparison is about.
enum Loaded {
    Nothing,
    Interface,
    Source,
}

fn masquerade(rule: &Rule) -> Option<Masquerade> {
    let (mut towards, mut source, mut hides) = (Towards::All, None, false);
    let (mut loaded, mut mask) = (Loaded::Nothing, None);
    for one in &rule.does {
        match (one, &loaded) {
            (Seen::Nothing, _) => {}
            (Seen::Match(name, _), _) if name == "comment" => {}
            (Seen::Masquerade, _) => hides = true,
            (Seen::LoadMeta(key), _) if OUTGOING.contains(key) => loaded = Loaded::Interface,
            (Seen::LoadAddress(End::Source), _) if rule.place.family() == "ip" => loaded = Loaded::Source,
            (Seen::LoadAddress6(End::Source), _) if rule.place.family() == "ip6" => loaded = Loaded::Source,
            (Seen::Bitwise { mask: bits, xor: 0 }, Loaded::Source) => mask = Some(bits.to_ne_bytes()),
            (Seen::Compare(how, value), Loaded::Interface) => towards = of_interface(*how, value)?,
            (Seen::Compare(Comparison::Equal, value), Loaded::Source) => {
                source = Some(of_source(rule.place.family(), value, mask)?);
            }
            _ => return None,
        }
    }
    hides.then(|| Masquerade { place: rule.place.clone(), towards, source })
}

/// A name is text, an index is four bytes.
fn of_interface(how: Comparison, value: &[u8]) -> Option<Towards> {
    let name = text(value).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| "an interface".to_owned());
    match how {
        Comparison::Equal => Some(Towards::Only(name)),
        Comparison::Different => Some(Towards::AllBut(name)),
        Comparison::Order => None,
    }
}

/// A prefix of whole bytes is compared without a mask: that is as long as the value.
fn of_source(family: &str, value: &[u8], mask: Option<[u8; 4]>) -> Option<Source> {
    let whole = u32::try_from(value.len()).ok()? * 8;
    if family == "ip" {
        let mut bytes = [0; 4];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        let prefix = mask.map_or(whole, |mask| u32::from_be_bytes(mask).leading_ones());
        return Some(Source { address: Ipv4Addr::from(bytes).into(), prefix });
    }
    // Of a mask of IPv6 only the beginning is known here.
    let mut bytes = [0; 16];
    bytes.get_mut(..value.len())?.copy_from_slice(value);
    mask.is_none().then(|| Source { address: Ipv6Addr::from(bytes).into(), prefix: whole })
}
