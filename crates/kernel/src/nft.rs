//! The nftables table that marks packets for transparent sockets.
//!
//! ```text
//! table inet clearway_edge_0_1a2b3c4d {            # flags owner: gone with our socket, however we end
//!   chain prerouting { type filter hook prerouting priority mangle; policy accept;
//!     iif "lo" return
//!     meta l4proto tcp       socket transparent 1 goto divert
//!     meta l4proto icmp      socket transparent 1 goto divert     # fragmentation needed, for path MTU
//!     meta l4proto ipv6-icmp socket transparent 1 goto divert
//!   }
//!   chain divert {
//!     socket wildcard 1 return       # a transparent *wildcard* listener must not hijack what is forwarded
//!     meta mark set meta mark | 0x20000000 accept
//!   }
//! }
//! ```
//!
//! Every `socket` expression looks the socket up anew (`nft_socket_eval` keeps nothing), so the question
//! that nearly every foreign packet answers with no is asked first, and once: a packet that is not TCP or
//! ICMP costs four comparisons, a TCP packet of others one look-up. The guard must be a `return` of its
//! own, never `wildcard 0` in the rule: for a socket in `TIME_WAIT` the kernel cannot tell (`NFT_BREAK`), and
//! its packets need the mark as well.
//!
//! The table is made empty first ([`Table::claim`]): it is the sign of life of its block (see
//! [`crate::plumbing`]). The chains come last ([`Table::apply`]) and go first ([`Table::remove_chains`]).
//! Where the kernel lacks owner tables (before 5.12) a plain table with a [`Token`] does the same, except
//! that a killed process leaves it behind for the next sweep.

use std::io;

use clearway_core::names::Mark;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_netfilter::nftables::{NfTablesMessage, TableAttribute, TableFlags, TableMessage};
use rustix::io::Errno;

use crate::modules;
use crate::netlink::{self, BatchError, Client, Protocol, Step};
use crate::token::Token;

mod list;
mod name;
mod rules;

pub use list::{Listed, list};
pub use name::TableName;

/// Why the table could not be made, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `EPROTONOSUPPORT`, `EOPNOTSUPP`, or `EINVAL` to a dump: no `nf_tables` in this kernel.
    #[error(
        "the kernel lacks nftables: {0}{remedy}, or run a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET",
        remedy = modules::missing("nf_tables")
    )]
    NoNfTables(netlink::Error),
    /// `EPERM` to all of nftables.
    #[error(
        "{0}\nhint: changing nftables needs `NET_ADMIN` in this network namespace (`--cap-add NET_ADMIN`)"
    )]
    Denied(netlink::Error),
    /// `ENOENT` or `EOPNOTSUPP` to a chain: `inet` or its `filter` chains are missing.
    #[error(
        "the kernel lacks nftables chains of family `inet`: {0}\nhint: run a kernel with CONFIG_NF_TABLES_INET \
         (module `nf_tables_inet` before Linux 4.17: `modprobe nf_tables_inet`)"
    )]
    NoInetChains(netlink::Error),
    /// `ENOENT` to a rule: the expression `socket` (Linux 4.18) is not there and could not be loaded.
    #[error(
        "the kernel lacks the nft `socket` expression: {0}{remedy}",
        remedy = modules::missing("nft_socket")
    )]
    NoSocketExpression(netlink::Error),
    /// The sign of life of a table without owner could not be bound.
    #[error("binding the abstract socket `{name}`: {source}")]
    Token {
        /// The name of the table and of the socket.
        name: String,
        /// Why; `EADDRINUSE` if somebody has it.
        source: io::Error,
    },
    /// Anything else.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
}

/// What to use at most of what the kernel can do: for tests of the ways without.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Owner tables (Linux 5.12).
    pub owner: bool,
    /// `socket wildcard` (Linux 5.10).
    pub wildcard: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { owner: true, wildcard: true }
    }
}

/// Our table, as long as this lives: an owner table ends with the socket in here.
#[derive(Debug)]
pub struct Table {
    client: Client,
    name: TableName,
    token: Option<Token>,
    limits: Limits,
    wildcard_guard: bool,
}

impl Table {
    /// Makes the empty table, owned if the kernel can, else with a [`Token`] bound before it.
    ///
    /// A kernel that does not know the flag says `EINVAL` (before 5.12) or ignores it: so the flags are
    /// read back.
    pub fn claim(name: TableName, limits: Limits) -> Result<Self, Error> {
        let client = open()?;
        let mut table = Self { client, name, token: None, limits, wildcard_guard: false };
        if limits.owner {
            match table.create(TableFlags::Owner) {
                Ok(()) if table.is_owned()? => return Ok(table),
                Ok(()) => table.remove()?,
                Err(BatchError { step: Some(_), error }) if is(&error, &[Errno::INVAL, Errno::OPNOTSUPP]) => {
                }
                Err(refused) => return Err(explain(refused)),
            }
        }
        let name = table.name.to_string();
        let in_use = || io::Error::from(Errno::ADDRINUSE);
        let token = Token::claim(&name).and_then(|token| token.ok_or_else(in_use));
        table.token = Some(token.map_err(|source| Error::Token { name, source })?);
        table.create(TableFlags::empty()).map_err(explain)?;
        Ok(table)
    }

    fn create(&mut self, flags: TableFlags) -> Result<(), BatchError> {
        let attributes = vec![self.name_attribute(), TableAttribute::Flags(flags)];
        let message = NfTablesMessage::NewTable(TableMessage { attributes });
        let what = format!("making the nftables table `{}`", self.name);
        self.client.batch(&what, &[Step { what: "table", message, flags: NLM_F_CREATE | NLM_F_EXCL }])
    }

    fn is_owned(&mut self) -> Result<bool, Error> {
        let tables = list(&mut self.client)?;
        Ok(tables.iter().any(|table| table.name == self.name && table.owner))
    }

    /// Makes a plain table again, empty, if others have removed it, and says whether they had. They cannot
    /// remove an owner table.
    pub fn restore(&mut self) -> Result<bool, Error> {
        if self.is_owner() || list(&mut self.client)?.iter().any(|table| table.name == self.name) {
            return Ok(false);
        }
        self.create(TableFlags::empty()).map_err(explain)?;
        Ok(true)
    }

    /// Fills the table with the chains and rules; a second time, fills it anew.
    ///
    /// One transaction. The guard against wildcard listeners is left out where the kernel does not know it
    /// (`EOPNOTSUPP` before 5.10): see [`Table::has_wildcard_guard`].
    pub fn apply(&mut self, mark: Mark) -> Result<(), Error> {
        let what = format!("filling the nftables table `{}`", self.name);
        let table = self.name.to_string();
        if self.limits.wildcard {
            let steps = rules::steps(&table, mark, rules::Guard::Wildcard);
            match self.client.batch(&what, &steps) {
                Ok(()) => {
                    self.wildcard_guard = true;
                    return Ok(());
                }
                Err(refused) if rules::is_guard(&steps, &refused) && !is(&refused.error, &[Errno::NOENT]) => {
                }
                Err(refused) => return Err(explain(refused)),
            }
        }
        self.client.batch(&what, &rules::steps(&table, mark, rules::Guard::None)).map_err(explain)?;
        self.wildcard_guard = false;
        Ok(())
    }

    /// Removes chains and rules: no packet is marked any more. Nothing to do is success.
    pub fn remove_chains(&mut self) -> Result<(), Error> {
        let what = format!("emptying the nftables table `{}`", self.name);
        absent_is_fine(self.client.batch(&what, &rules::removal(&self.name.to_string())))
    }

    /// Removes the table with all that is in it, then its sign of life. Nothing to do is success.
    pub fn remove(&mut self) -> Result<(), Error> {
        delete(&mut self.client, &self.name)?;
        self.token = None;
        Ok(())
    }

    /// Under which name it stands in `nft list tables`.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// Whether the kernel removes it when this process ends.
    pub fn is_owner(&self) -> bool {
        self.token.is_none()
    }

    /// Whether a transparent wildcard listener is kept from hijacking forwarded packets.
    pub fn has_wildcard_guard(&self) -> bool {
        self.wildcard_guard
    }

    /// The socket that owns the table.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn name_attribute(&self) -> TableAttribute {
        TableAttribute::Name(self.name.to_string())
    }
}

/// Opens a socket for nftables.
pub fn open() -> Result<Client, Error> {
    Client::open(Protocol::Netfilter).map_err(|error| match error.errno() {
        Some(Errno::PROTONOSUPPORT) => Error::NoNfTables(error),
        _ => Error::Netlink(error),
    })
}

/// Deletes a table; one that is not there is success. An owner table of others is refused (`EPERM`).
pub(crate) fn delete(client: &mut Client, name: &TableName) -> Result<(), Error> {
    let attributes = vec![TableAttribute::Name(name.to_string())];
    let message = NfTablesMessage::DeleteTable(TableMessage { attributes });
    let what = format!("removing the nftables table `{name}`");
    absent_is_fine(client.batch(&what, &[Step { what: "table", message, flags: 0 }]))
}

fn absent_is_fine(outcome: Result<(), BatchError>) -> Result<(), Error> {
    match outcome {
        Err(BatchError { step: Some(_), error }) if is(&error, &[Errno::NOENT]) => Ok(()),
        outcome => outcome.map_err(explain),
    }
}

fn is(error: &netlink::Error, numbers: &[Errno]) -> bool {
    error.errno().is_some_and(|errno| numbers.contains(&errno))
}

/// From what was refused, and where, to what that means.
fn explain(refused: BatchError) -> Error {
    let BatchError { step, error } = refused;
    match (step, error.errno()) {
        (None, Some(Errno::PERM)) => Error::Denied(error),
        (None, Some(Errno::OPNOTSUPP | Errno::INVAL)) => Error::NoNfTables(error),
        (Some(step), Some(Errno::NOENT | Errno::OPNOTSUPP)) if rules::is_chain(step) => {
            Error::NoInetChains(error)
        }
        (Some(step), Some(Errno::NOENT)) if rules::is_rule(step) => Error::NoSocketExpression(error),
        _ => Error::Netlink(error),
    }
}

#[cfg(test)]
mod tests;
