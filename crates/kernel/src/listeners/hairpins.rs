//! Connections that this host opens from the address that they go to.
//!
//! If a server is also a client of the proxy, a transparent proxy connects to the server from the server's own address:
//! the server's host drops that silently. On this host the socket stays in `SYN_SENT`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::is_local;
use super::table::{SockDiagError, TcpState, rows};
use crate::transparency::Family;

/// The destinations of connections that are being opened from the address of their destination, if that is not ours.
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
