//! The tables of all Clearways in this network namespace.

use netlink_packet_core::{NlasIterator, Parseable};
use netlink_packet_netfilter::nftables::{NfTablesMessage, TableAttribute, TableFlags, TableMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use rustix::io::Errno;

use super::{NftError, TableName};
use crate::netlink::{NetlinkClient, Reply};
use crate::token::Token;

/// `sizeof(struct nfgenmsg)`.
const HEADER: usize = 4;

/// A table of a Clearway, as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: TableName,
    /// Whether it has an owner: then its process lives.
    pub owner: bool,
    /// The kernel's number, counted up per network namespace: the lower one was made first.
    pub handle: Option<u64>,
}

/// The tables of family `inet` with names of our form.
///
/// Needs `NET_ADMIN`, like everything in nftables.
pub fn list(client: &mut NetlinkClient) -> Result<Vec<Listed>, NftError> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
    let request =
        NetfilterMessage::new(header, NfTablesMessage::GetTable(TableMessage { attributes: Vec::new() }));
    let replies = client.dump("listing nftables tables", &request).map_err(|error| match error.errno() {
        Some(Errno::PERM) => NftError::Denied(error),
        Some(Errno::INVAL | Errno::OPNOTSUPP) => NftError::NoNfTables(error),
        _ => NftError::Netlink(error),
    })?;
    Ok(replies.iter().filter_map(decode).collect())
}

/// An owner table lives by itself; another one while its socket is bound. In doubt it lives.
pub(crate) fn is_alive(table: &Listed) -> bool {
    table.owner || !matches!(Token::claim(&table.name.to_string()), Ok(Some(_)))
}

/// `None` for tables of others and for what cannot be read.
pub(super) fn decode(reply: &Reply) -> Option<Listed> {
    let attributes = reply.payload.get(HEADER..)?;
    let (mut name, mut owner, mut handle) = (None, false, None);
    for nla in NlasIterator::new(attributes).flatten() {
        match TableAttribute::parse(&nla) {
            Ok(TableAttribute::Name(text)) => name = text.parse().ok(),
            Ok(TableAttribute::Flags(flags)) => owner = flags.contains(TableFlags::Owner),
            Ok(TableAttribute::Handle(number)) => handle = Some(number),
            _ => {}
        }
    }
    Some(Listed { name: name?, owner, handle })
}
