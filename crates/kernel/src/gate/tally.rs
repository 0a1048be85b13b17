//! How many SYNs the rules of a gate have dropped, as the kernel has counted.
//!
//! Read between the moment in which no packet comes to the rules any more and the one in which they are removed. A packet that
//! another processor had led to them by then may be missing.

use std::fmt::Display;

use netlink_packet_netfilter::nftables::{NfTablesMessage, RuleAttribute, RuleMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use super::rules::CLOSED;
use crate::netlink::Reply;
use crate::netlink::attributes::{attribute, nested, text};
use crate::nft::Claim;

/// `sizeof(struct nfgenmsg)`.
const HEADER: usize = 4;
/// `NFTA_RULE_TABLE`, `_CHAIN`, `_EXPRESSIONS`.
const RULE: [u16; 3] = [1, 2, 4];
/// `NFTA_LIST_ELEM`, then `NFTA_EXPR_NAME` and `_DATA`.
const ELEMENT: u16 = 1;
const EXPRESSION: [u16; 2] = [1, 2];
/// `NFTA_COUNTER_PACKETS`.
const PACKETS: u16 = 2;

/// What the rules of this gate have dropped; nothing where they do not count, or cannot be read.
pub(super) fn dropped(table: &mut Claim) -> Option<u64> {
    let name = table.name().to_string();
    let attributes = vec![RuleAttribute::Table(name.clone()), RuleAttribute::Chain(CLOSED.to_owned())];
    let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
    let request = NetfilterMessage::new(header, NfTablesMessage::GetRule(RuleMessage { attributes }));
    let replies = table.client().dump("reading what a gate has dropped", &request).ok()?;
    sum(replies.iter().filter_map(|reply| counted(reply, &name)))
}

/// Nothing of no rule that counts is not 0.
pub(super) fn sum(counted: impl Iterator<Item = u64>) -> Option<u64> {
    counted.reduce(u64::saturating_add)
}

/// What one rule has counted, if it is of this gate and counts. A kernel may list those of other tables as well.
pub(super) fn counted(reply: &Reply, table: &impl Display) -> Option<u64> {
    let [of, chain, expressions] = RULE.map(|wanted| attribute(reply.payload.get(HEADER..)?, wanted));
    if text(of?)? != table.to_string() || text(chain?)? != CLOSED {
        return None;
    }
    let mut elements = nested(expressions?).filter(|(kind, _)| *kind == ELEMENT);
    elements.find_map(|(_, element)| packets(element))
}

/// Of the expression `counter`.
fn packets(element: &[u8]) -> Option<u64> {
    let [name, data] = EXPRESSION.map(|wanted| attribute(element, wanted));
    if text(name?)? != "counter" {
        return None;
    }
    attribute(data?, PACKETS)?.try_into().ok().map(u64::from_be_bytes)
}
