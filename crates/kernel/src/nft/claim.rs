//! An nftables table of our own, from its making to its end: owned by our socket, or with a sign of life.
//!
//! It promises that the table of a living process is never taken for residue: an owner table exists while its socket
//! does; of a plain one (before Linux 5.12) the [`Token`] of its name is bound, which is done before the table is made.
//! The content of the table is up to the callers.

use std::io;

use netlink_packet_netfilter::nftables::TableFlags;
use rustix::io::Errno;

use super::access::{delete, open};
use super::{Listed, NftError, TableName, Transaction, explain, is, list};
use crate::netlink::{BatchError, NetlinkClient};
use crate::token::Token;

/// Whether the kernel is to remove the table with our socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Where it can.
    IfPossible,
    /// A plain table, as before Linux 5.12: for tests.
    Never,
}

/// The table, as long as this lives: an owner table ends with the socket in here.
#[derive(Debug)]
pub(crate) struct Claim {
    client: NetlinkClient,
    name: TableName,
    token: Option<Token>,
}

impl Claim {
    /// Makes the empty table.
    ///
    /// A kernel that does not know owners says `EINVAL` (before 5.12) or ignores the flag: so it is read back.
    pub(crate) fn make(name: TableName, ownership: Ownership) -> Result<Self, NftError> {
        let mut claim = Self { client: open()?, name, token: None };
        if ownership == Ownership::IfPossible {
            match claim.create(TableFlags::Owner) {
                Ok(()) if claim.is_owned()? => return Ok(claim),
                Ok(()) => claim.remove()?,
                Err(BatchError { needs: Some(_), error })
                    if is(&error, &[Errno::INVAL, Errno::OPNOTSUPP]) => {}
                Err(refused) => return Err(explain(refused)),
            }
        }
        let name = claim.name.to_string();
        let in_use = || io::Error::from(Errno::ADDRINUSE);
        let token = Token::claim(&name).and_then(|token| token.ok_or_else(in_use));
        claim.token = Some(token.map_err(|source| NftError::Token { name, source })?);
        claim.create(TableFlags::empty()).map_err(explain)?;
        Ok(claim)
    }

    fn create(&mut self, flags: TableFlags) -> Result<(), BatchError> {
        let mut table = Transaction::on(&self.name);
        table.make(flags);
        self.commit("making the nftables table", &table)
    }

    /// Changes the table, all or nothing. `what` is being done, for the error.
    pub(crate) fn commit(&mut self, what: &str, changes: &Transaction) -> Result<(), BatchError> {
        self.client.batch(&format!("{what} `{}`", self.name), changes.steps())
    }

    fn is_owned(&mut self) -> Result<bool, NftError> {
        let tables = list(&mut self.client)?;
        Ok(tables.iter().any(|table| table.name == self.name && table.owner))
    }

    /// Makes a plain table again, empty, if another program has removed it, and says whether one had. Other programs
    /// cannot remove an owner table.
    pub(crate) fn restore(&mut self) -> Result<bool, NftError> {
        let is_here = |table: &Listed| table.name == self.name;
        if self.token.is_none() || list(&mut self.client)?.iter().any(is_here) {
            return Ok(false);
        }
        self.create(TableFlags::empty()).map_err(explain)?;
        Ok(true)
    }

    /// Removes the table with all that is in it, then its sign of life. Nothing to do is success.
    pub(crate) fn remove(&mut self) -> Result<(), NftError> {
        delete(&mut self.client, &self.name)?;
        self.token = None;
        Ok(())
    }

    /// Its name in `nft list tables`.
    pub(crate) fn name(&self) -> &TableName {
        &self.name
    }

    /// Whether the kernel removes it when this process ends.
    pub(crate) fn is_owner(&self) -> bool {
        self.token.is_none()
    }

    /// The socket that owns the table.
    pub(crate) fn client(&mut self) -> &mut NetlinkClient {
        &mut self.client
    }
}
