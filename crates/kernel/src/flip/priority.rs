//! Which chain comes first: of several with type `nat`, the first that has something to say decides.

use netlink_packet_netfilter::nftables::{ChainMessage, NfTablesMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use super::FlipError;
use crate::netlink::attributes::{attribute, text};
use crate::netlink::{NetlinkClient, Reply};
use crate::nft::{NftError, TableName, TableRole};

/// The priority of the only table: before `dstnat` (-100), where Docker, Kubernetes and people have their rules.
pub(super) const USUAL: i32 = -110;
/// The lowest that the kernel takes for chains of type `nat`: conntrack (-200) must come first.
pub const LOWEST: i32 = -199;
/// `sizeof(struct nfgenmsg)`.
const HEADER: usize = 4;
/// `NFTA_CHAIN_TABLE`, `_HOOK`.
const CHAIN: [u16; 2] = [1, 4];
/// `NFTA_HOOK_PRIORITY`.
const PRIORITY: u16 = 2;

/// One lower than the lowest of the tables that there are.
pub(super) fn choose(client: &mut NetlinkClient, usual: i32) -> Result<i32, FlipError> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
    let request = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
    let replies = client.dump("listing nftables chains", &NetfilterMessage::new(header, request));
    let replies = replies.map_err(NftError::Netlink)?;
    Ok(below(usual, replies.iter().filter_map(of_flip)))
}

pub(super) fn below(usual: i32, others: impl Iterator<Item = i32>) -> i32 {
    let lowest = others.min().map_or(usual, |lowest| lowest.saturating_sub(1).min(usual));
    lowest.max(LOWEST)
}

/// The priority of a base chain of a flip.
pub(super) fn of_flip(reply: &Reply) -> Option<i32> {
    let attributes = reply.payload.get(HEADER..)?;
    let [table, hook] = CHAIN.map(|wanted| attribute(attributes, wanted));
    let name: TableName = text(table?)?.parse().ok()?;
    let bytes = attribute(hook?, PRIORITY)?;
    let priority = i32::from_be_bytes(bytes.try_into().ok()?);
    (name.role == TableRole::Flip).then_some(priority)
}
