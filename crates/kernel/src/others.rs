//! The packet filter rules of other programs, as far as they can hinder transparent connections: read, never changed.
//!
//! All rules are read at once, through nftables: those of `nft`, and those of today's `iptables`, which are nftables'
//! rules with old matches in them. Rules of the old iptables (`iptables-legacy`) are not seen, and
//! [`has_legacy_tables`] tells whether there may be some. Our own tables are left out. What a rule says is understood
//! only so far as one of the questions here needs it ([`expression`]).
//!
//! | question | why |
//! |---|---|
//! | [`ForeignRuleset::masquerades`] | hides the clients, or those of a network |
//! | [`ForeignRuleset::localnet_blocks`] | kubelet's rule drops what a client's address sends to 127.0.0.0/8 |
//! | [`ForeignRuleset::mark_uses`] | a bit of the mark that is not ours alone |
//! | [`ForeignRuleset::reverse_path_filters`], [`ForeignRuleset::firewalld`] | firewalld drops what it does not know |

use std::fmt;

use netlink_packet_netfilter::nftables::{ChainMessage, NfTablesMessage, RuleMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use crate::netlink::Reply;
use crate::netlink::attributes::{attribute, text};
use crate::nft::{NftError, TableName, open};
use expression::Expression;

pub mod expression;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod localnet;
mod marks;
mod masquerade;
mod reverse_path;
mod ways;

pub use localnet::LocalnetBlock;
pub use marks::{Does, MarkUse};
pub use masquerade::{Masquerade, SourceNetwork, Towards};
pub use reverse_path::{ReversePathFilter, RpFilterMode};

/// `sizeof(struct nfgenmsg)`.
const HEADER: usize = 4;
/// `NFTA_CHAIN_TABLE`, `_NAME`, `_HOOK`, `_TYPE`.
const CHAIN: [u16; 4] = [1, 3, 4, 7];
/// `NFTA_HOOK_HOOKNUM`, `_PRIORITY`.
const HOOK: [u16; 2] = [1, 2];
/// `NFTA_RULE_TABLE`, `_CHAIN`, `_EXPRESSIONS`.
const RULE: [u16; 3] = [1, 2, 4];

/// A netfilter hook (`NF_INET_PRE_ROUTING` and so on); shown as `nft` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum HookPoint {
    /// Before the routing decision.
    Prerouting,
    /// Packets for this host.
    Input,
    /// Packets for other hosts.
    Forward,
    /// Packets that this host sends.
    Output,
    /// Packets that leave.
    Postrouting,
}

/// Where a base chain is hooked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hook {
    /// Which hook.
    pub at: HookPoint,
    /// Its order: the lower, the earlier.
    pub priority: i32,
}

/// The full name of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainName {
    family: u8,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
}

impl ChainName {
    /// `ip`, `ip6` or `inet`.
    pub fn family(&self) -> &'static str {
        match self.family {
            2 => "ip",
            10 => "ip6",
            _ => "inet",
        }
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} {}, chain {}", self.family(), self.table, self.chain)
    }
}

#[derive(Debug)]
struct Chain {
    place: ChainName,
    hook: Option<Hook>,
    nat: bool,
}

#[derive(Debug)]
struct ForeignRule {
    place: ChainName,
    does: Vec<Expression>,
}

impl ForeignRule {
    /// Whether nothing but the chain decides which packets it is for.
    fn is_unconditional(&self) -> bool {
        !self.does.iter().any(Expression::is_condition)
    }
}

/// All chains and rules that are not ours, as they were at one moment.
#[derive(Debug, Default)]
pub struct ForeignRuleset {
    chains: Vec<Chain>,
    rules: Vec<ForeignRule>,
}

impl ForeignRuleset {
    /// Reads them. Needs `NET_ADMIN`.
    pub fn read() -> Result<Self, NftError> {
        let mut client = open()?;
        let all = || NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
        let chains = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
        let chains = client.dump("listing nftables chains", &NetfilterMessage::new(all(), chains))?;
        let rules = NfTablesMessage::GetRule(RuleMessage { attributes: Vec::new() });
        let rules = client.dump("listing nftables rules", &NetfilterMessage::new(all(), rules))?;
        Ok(Self {
            chains: chains.iter().filter_map(chain).collect(),
            rules: rules.iter().filter_map(rule).collect(),
        })
    }

    /// Whether firewalld filters here, with nftables.
    pub fn firewalld(&self) -> bool {
        self.chains.iter().any(|chain| chain.place.table.starts_with("firewalld"))
    }
}

/// Whether tables of the old iptables are in use in this network namespace; nothing where that cannot be read.
pub fn has_legacy_tables() -> Option<bool> {
    let read = |name: &str| match std::fs::read_to_string(format!("/proc/net/{name}")) {
        Ok(names) => Some(!names.trim().is_empty()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    };
    Some(read("ip_tables_names")? | read("ip6_tables_names")?)
}

fn place(reply: &Reply, table: &[u8], chain: &[u8]) -> Option<ChainName> {
    let place = ChainName { family: *reply.payload.first()?, table: text(table)?, chain: text(chain)? };
    Some(place).filter(|place| place.table.parse::<TableName>().is_err())
}

fn chain(reply: &Reply) -> Option<Chain> {
    let [table, name, hook, kind] = CHAIN.map(|wanted| attribute(reply.payload.get(HEADER..)?, wanted));
    let hook = hook.and_then(|hook| {
        let [number, priority] =
            HOOK.map(|wanted| attribute(hook, wanted)?.try_into().ok().map(u32::from_be_bytes));
        let at = [
            HookPoint::Prerouting,
            HookPoint::Input,
            HookPoint::Forward,
            HookPoint::Output,
            HookPoint::Postrouting,
        ];
        Some(Hook { at: *at.get(usize::try_from(number?).ok()?)?, priority: priority?.cast_signed() })
    });
    let nat = kind.and_then(text).is_some_and(|kind| kind == "nat");
    Some(Chain { place: place(reply, table?, name?)?, hook, nat })
}

fn rule(reply: &Reply) -> Option<ForeignRule> {
    let [table, chain, expressions] = RULE.map(|wanted| attribute(reply.payload.get(HEADER..)?, wanted));
    Some(ForeignRule {
        place: place(reply, table?, chain?)?,
        does: expression::list(expressions.unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests;
