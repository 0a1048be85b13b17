//! Connections that this host begins in the name of whom they are for.
//!
//! A transparent proxy whose client is the server connects to it from its own address: the server's host drops that
//! without a word. What the proxy has is a socket that waits for an answer (`SYN_SENT`).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::holders::SockDiagError;
use super::is_local;
use super::table::{TcpState, rows};
use crate::transparency::Family;

/// Whom connections are for that are being opened with the address of their destination, which is not ours.
pub fn to_themselves() -> Result<BTreeSet<SocketAddr>, SockDiagError> {
    let rows = rows(TcpState::SynSent, 0, &Family::ALL)?;
    let same = rows
        .iter()
        .filter(|row| row.local.ip() == row.remote.ip())
        .map(|row| SocketAddr::new(row.remote.ip().to_canonical(), row.remote.port()));
    let mut found: BTreeSet<SocketAddr> = same.collect();
    found.retain(|address| !is_local(address.ip()));
    Ok(found)
}
