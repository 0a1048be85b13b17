//! Rules of others that hide the clients: a MASQUERADE towards servers gives their connections the address of this host.
//!
//! Found are those that stand in a base chain of `nat postrouting` and ask for nothing but the outgoing interface. What a
//! condition guards (Docker's rules name the containers' network, Kubernetes' a mark), or what another chain leads to, is
//! left alone: whether it matters cannot be told from here. Rules of the old iptables (`iptables-legacy`) are not seen.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fmt;

use netlink_packet_core::NlasIterator;
use netlink_packet_netfilter::nftables::{ChainMessage, NfTablesMessage, RuleMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use super::{Error, open};
use crate::netlink::Reply;

/// `sizeof(struct nfgenmsg)`.
const HEADER: usize = 4;
/// `NLA_HDRLEN`.
const ATTRIBUTE: usize = 4;
/// `NLA_TYPE_MASK`: without the flag for nested attributes.
const TYPE: u16 = 0x3fff;
/// `NFTA_CHAIN_TABLE`, `_NAME`, `_HOOK`, `_TYPE`.
const CHAIN: [u16; 4] = [1, 3, 4, 7];
/// `NFTA_HOOK_HOOKNUM`, and `NF_INET_POST_ROUTING`.
const HOOK_NUMBER: u16 = 1;
const POSTROUTING: u32 = 4;
/// `NFTA_RULE_TABLE`, `_CHAIN`, `_EXPRESSIONS`.
const RULE: [u16; 3] = [1, 2, 4];
/// `NFTA_LIST_ELEM`, then `NFTA_EXPR_NAME` and `_DATA`.
const ELEMENT: u16 = 1;
const EXPRESSION: [u16; 2] = [1, 2];
/// `NFTA_META_KEY`, and the keys `oif` and `oifname`.
const META_KEY: u16 = 2;
const OUTGOING: [u32; 2] = [5, 7];
/// `NFTA_TARGET_NAME`: iptables' targets under nftables.
const TARGET_NAME: u16 = 1;
/// `NFTA_CMP_DATA`, then `NFTA_DATA_VALUE`.
const COMPARED: u16 = 3;
const VALUE: u16 = 1;

/// A rule that hides clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masquerade {
    /// Of which family: `ip`, `ip6` or `inet`.
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Towards which interface; unset: towards all.
    pub interface: Option<String>,
}

impl fmt::Display for Masquerade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let towards =
            self.interface.as_ref().map_or("every interface".to_owned(), |name| format!("`{name}`"));
        write!(f, "MASQUERADE towards {towards} (table {} {}, chain {})", self.family, self.table, self.chain)
    }
}

/// Those that there are. Needs `NET_ADMIN`.
pub fn masquerades() -> Result<Vec<Masquerade>, Error> {
    let mut client = open()?;
    let all = || NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let chains = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
    let chains = client.dump("listing nftables chains", &NetfilterMessage::new(all(), chains))?;
    let chains: HashSet<(u8, String, String)> = chains.iter().filter_map(postrouting).collect();
    let rules = NfTablesMessage::GetRule(RuleMessage { attributes: Vec::new() });
    let rules = client.dump("listing nftables rules", &NetfilterMessage::new(all(), rules))?;
    Ok(rules.iter().filter_map(|reply| masquerade(reply, &chains)).collect())
}

/// Family, table and name of a base chain of `nat postrouting`.
fn postrouting(reply: &Reply) -> Option<(u8, String, String)> {
    let [table, name, hook, kind] = CHAIN.map(|wanted| attribute(reply.payload.get(HEADER..)?, wanted));
    let number = attribute(hook?, HOOK_NUMBER)?;
    let is_one = number == POSTROUTING.to_be_bytes() && text(kind?)? == "nat";
    Some((*reply.payload.first()?, text(table?)?, text(name?)?)).filter(|_| is_one)
}

fn masquerade(reply: &Reply, chains: &HashSet<(u8, String, String)>) -> Option<Masquerade> {
    let [table, chain, expressions] = RULE.map(|wanted| attribute(reply.payload.get(HEADER..)?, wanted));
    let (family, table, chain) = (*reply.payload.first()?, text(table?)?, text(chain?)?);
    let key = (family, table, chain);
    if !chains.contains(&key) {
        return None;
    }
    let mut outgoing = false;
    let mut interface = None;
    let mut hides = false;
    for element in nested(expressions?).filter(|(kind, _)| *kind == ELEMENT) {
        let [name, data] = EXPRESSION.map(|wanted| attribute(element.1, wanted));
        match (text(name?)?.as_str(), data) {
            ("counter", _) => {}
            ("masq", _) => hides = true,
            ("target", Some(data)) => hides = text(attribute(data, TARGET_NAME)?)? == "MASQUERADE",
            ("meta", Some(data)) => {
                let key = attribute(data, META_KEY)?;
                outgoing = OUTGOING.iter().any(|wanted| key == wanted.to_be_bytes());
                if !outgoing {
                    return None;
                }
            }
            ("cmp", Some(data)) if outgoing => {
                let value = attribute(attribute(data, COMPARED)?, VALUE)?;
                // A name is text, an index is four bytes.
                interface = text(value).filter(|name| !name.is_empty()).or(Some("an interface".to_owned()));
            }
            _ => return None,
        }
    }
    let (family, table, chain) = key;
    let family = match family {
        2 => "ip",
        10 => "ip6",
        _ => "inet",
    };
    hides.then_some(Masquerade { family, table, chain, interface })
}

/// Attributes and their values, as far as they can be read.
fn nested(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).map_while(|nla| {
        let (kind, length) = (nla.kind() & TYPE, usize::from(nla.length()));
        Some((kind, nla.into_inner().get(ATTRIBUTE..length)?))
    })
}

pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    nested(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// Up to the first zero byte.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let text = CStr::from_bytes_until_nul(bytes).map_or(bytes, CStr::to_bytes);
    std::str::from_utf8(text).ok().map(str::to_owned)
}
