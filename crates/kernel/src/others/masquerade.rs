//! Rules of other programs that hide the clients: a MASQUERADE towards servers gives their connections the address of
//! this host.
//!
//! Found are those that stand in a base chain of `nat postrouting` and ask for nothing but the outgoing interface and
//! the network that the packet comes from, as Docker's do. What another condition guards (Kubernetes' rules ask for a
//! mark), or what another chain leads to, is left alone: whether it matters cannot be told from here.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::expression::{AddressEnd, Comparison, Expression};
use super::{Chain, ChainName, ForeignRule, ForeignRuleset, HookPoint};
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
pub struct SourceNetwork {
    /// The first.
    pub address: IpAddr,
    /// How many bits all have in common.
    pub prefix: u32,
}

impl fmt::Display for SourceNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A rule that hides clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masquerade {
    /// Where it stands.
    pub place: ChainName,
    /// Towards where.
    pub towards: Towards,
    /// The clients that it hides; unset: all.
    pub source: Option<SourceNetwork>,
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

impl ForeignRuleset {
    /// All of them.
    pub fn masquerades(&self) -> Vec<Masquerade> {
        let of_nat =
            |chain: &&Chain| chain.nat && chain.hook.is_some_and(|hook| hook.at == HookPoint::Postrouting);
        let base: BTreeSet<&ChainName> =
            self.chains.iter().filter(of_nat).map(|chain| &chain.place).collect();
        self.rules.iter().filter(|rule| base.contains(&rule.place)).filter_map(masquerade).collect()
    }
}

/// What the next comparison is about.
enum Compared {
    Nothing,
    Interface,
    Source,
}

fn masquerade(rule: &ForeignRule) -> Option<Masquerade> {
    let (mut towards, mut source, mut hides) = (Towards::All, None, false);
    let (mut loaded, mut mask) = (Compared::Nothing, None);
    for one in &rule.does {
        match (one, &loaded) {
            (Expression::Nothing, _) => {}
            (Expression::Match(name, _), _) if name == "comment" => {}
            (Expression::Masquerade, _) => hides = true,
            (Expression::LoadMeta(key), _) if OUTGOING.contains(key) => loaded = Compared::Interface,
            (Expression::LoadAddress(AddressEnd::Source), _) if rule.place.family() == "ip" => {
                loaded = Compared::Source;
            }
            (Expression::LoadAddress6(AddressEnd::Source), _) if rule.place.family() == "ip6" => {
                loaded = Compared::Source;
            }
            (Expression::Bitwise { mask: bits, xor: 0 }, Compared::Source) => mask = Some(bits.to_ne_bytes()),
            (Expression::Compare(how, value), Compared::Interface) => towards = of_interface(*how, value)?,
            (Expression::Compare(Comparison::Equal, value), Compared::Source) => {
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
fn of_source(family: &str, value: &[u8], mask: Option<[u8; 4]>) -> Option<SourceNetwork> {
    let whole = u32::try_from(value.len()).ok()? * 8;
    if family == "ip" {
        let mut bytes = [0; 4];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        let prefix = mask.map_or(whole, |mask| u32::from_be_bytes(mask).leading_ones());
        return Some(SourceNetwork { address: Ipv4Addr::from(bytes).into(), prefix });
    }
    // Of a mask of IPv6 only the beginning is known here.
    let mut bytes = [0; 16];
    bytes.get_mut(..value.len())?.copy_from_slice(value);
    mask.is_none().then(|| SourceNetwork { address: Ipv6Addr::from(bytes).into(), prefix: whole })
}
