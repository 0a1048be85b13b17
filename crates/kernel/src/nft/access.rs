//! A socket for nftables, and how a table goes.

use std::fmt;

use rustix::io::Errno;

use super::error::{NftError, explain, is};
use super::transaction::Transaction;
use crate::netlink::{BatchError, NetlinkClient, Protocol};

/// Opens a socket for nftables.
pub fn open() -> Result<NetlinkClient, NftError> {
    NetlinkClient::open(Protocol::Netfilter).map_err(|error| match error.errno() {
        Some(Errno::PROTONOSUPPORT) => NftError::NoNfTables(error),
        _ => NftError::Netlink(error),
    })
}

/// Deletes a table; one that is not there is success. An owner table of others is refused (`EPERM`).
pub(crate) fn delete(client: &mut NetlinkClient, name: &impl fmt::Display) -> Result<(), NftError> {
    let mut gone = Transaction::on(name);
    gone.delete();
    absent_is_fine(client.batch(&format!("removing the nftables table `{name}`"), gone.steps()))
}

/// A table that is not there needs not be changed.
pub(crate) fn absent_is_fine(outcome: Result<(), BatchError>) -> Result<(), NftError> {
    match outcome {
        Err(BatchError { needs: Some(_), error }) if is(&error, &[Errno::NOENT]) => Ok(()),
        outcome => outcome.map_err(explain),
    }
}
