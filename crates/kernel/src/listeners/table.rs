//! The kernel's table of TCP sockets, as `sock_diag` tells it: one dump per address family.

use std::collections::HashSet;
use std::net::SocketAddr;

use clearway_core::hints::Hints;
use netlink_packet_core::{NlasIterator, Parseable};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, INET_DIAG_SKMEMINFO, INET_DIAG_SKV6ONLY, IPPROTO_TCP,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use rustix::io::Errno;

use crate::netlink::{NetlinkClient, NetlinkError, Protocol, Reply};
use crate::transparency::Family;

/// `sizeof(struct inet_diag_msg)`.
const HEADER: usize = 72;

/// The interface that a hidden socket is bound to ([`crate::steering::hide`]): the last number, which no interface gets.
pub(crate) const HIDDEN: u32 = i32::MAX as u32;

/// Which sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpState {
    /// Those that listen, MPTCP's among them.
    Listen,
    /// Requests, which have an incomplete handshake, and connections of TCP Fast Open.
    SynRecv,
    /// Connections that this host begins, until they are answered.
    SynSent,
    /// Connections whose handshake is complete and that may not be accepted yet: these have no inode.
    Connected,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpSocket {
    /// Where it is bound.
    pub local: SocketAddr,
    /// Its peer; unspecified for a listener.
    pub remote: SocketAddr,
    /// `IPV6_V6ONLY`; `false` for IPv4.
    pub v6only: bool,
    /// The interface it is bound to by `SO_BINDTODEVICE`, 0 without. A hidden socket is still of the group it was of.
    pub device: u32,
    /// 0 for a connection that is not accepted yet.
    pub inode: u64,
    /// The user that made it.
    pub uid: u32,
    /// Of a listener: how many connections wait to be accepted.
    pub waiting: u32,
    /// Of a listener: how many may.
    pub limit: u32,
    /// Of a listener: how many packets it has dropped; unset before Linux 4.10.
    pub drops: Option<u32>,
}

/// The sockets could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum SockDiagError {
    /// `ENOENT`: the kernel lacks `inet_diag` or `tcp_diag`, and they could not be loaded.
    #[error("{0}")]
    NoDiag(NetlinkError),
    /// Anything else.
    #[error(transparent)]
    Netlink(NetlinkError),
}

impl Hints for SockDiagError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoDiag(_) => vec!["load the modules `inet_diag` and `tcp_diag` on the host".to_owned()],
            Self::Netlink(_) => Vec::new(),
        }
    }
}

/// The TCP sockets (by inode) that listen in this network namespace, at one port or at any: two dumps, however many
/// there are. One may be missing that listens all the time, if others of its bucket in the kernel's table are closed
/// meanwhile (`inet_diag_dump_icsk` goes on by counting).
pub fn listening(port: Option<u16>) -> Result<HashSet<u64>, SockDiagError> {
    let rows = rows(TcpState::Listen, port.unwrap_or(0), &Family::ALL)?;
    Ok(rows.into_iter().map(|row| row.inode).collect())
}

/// The rows in one state, with that local port or (0) any.
pub(crate) fn rows(state: TcpState, port: u16, families: &[Family]) -> Result<Vec<TcpSocket>, SockDiagError> {
    let mut client = NetlinkClient::open(Protocol::SockDiag).map_err(SockDiagError::Netlink)?;
    let mut rows = Vec::new();
    for &family in families {
        let doing = match state {
            TcpState::Listen => "that listen",
            TcpState::SynRecv => "of half-open connections",
            TcpState::SynSent => "of connections that are being opened",
            TcpState::Connected => "of connections",
        };
        let what = match port {
            0 => format!("listing {family} sockets {doing}"),
            port => format!("listing {family} sockets {doing} on port {port}"),
        };
        let replies = client.dump(&what, &request(family, state, port));
        let replies = replies.map_err(|error| match error.errno() {
            Some(Errno::NOENT) => SockDiagError::NoDiag(error),
            _ => SockDiagError::Netlink(error),
        })?;
        rows.extend(replies.iter().filter_map(decode).filter(|row| port == 0 || row.local.port() == port));
    }
    Ok(rows)
}

fn request(family: Family, state: TcpState, port: u16) -> SockDiagMessage {
    let (family, socket_id) = match family {
        Family::V4 => (AF_INET, SocketId::new_v4()),
        Family::V6 => (AF_INET6, SocketId::new_v6()),
    };
    SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: match state {
            TcpState::Listen => ExtensionFlags::SKMEMINFO,
            _ => ExtensionFlags::empty(),
        },
        states: match state {
            TcpState::Listen => StateFlags::LISTEN,
            TcpState::SynRecv => StateFlags::SYN_RECV,
            TcpState::SynSent => StateFlags::SYN_SENT,
            // The client may have closed its end already.
            TcpState::Connected => StateFlags::ESTABLISHED | StateFlags::CLOSE_WAIT,
        },
        socket_id: SocketId { source_port: port, ..socket_id },
    })
}

pub(super) fn decode(reply: &Reply) -> Option<TcpSocket> {
    let header = InetResponseHeader::parse(&reply.payload).ok()?;
    let id = header.socket_id;
    let (mut v6only, mut drops) = (false, None);
    for nla in NlasIterator::new(reply.payload.get(HEADER..)?).flatten() {
        match nla.kind() {
            INET_DIAG_SKV6ONLY => v6only = nla.value().first().is_some_and(|value| *value != 0),
            INET_DIAG_SKMEMINFO => drops = dropped(nla.value()),
            _ => {}
        }
    }
    Some(TcpSocket {
        local: SocketAddr::new(id.source_address, id.source_port),
        remote: SocketAddr::new(id.destination_address, id.destination_port),
        v6only,
        device: Some(id.interface_id).filter(|interface| *interface != HIDDEN).unwrap_or_default(),
        inode: header.inode.into(),
        uid: header.uid,
        waiting: header.recv_queue,
        limit: header.send_queue,
        drops,
    })
}

/// The ninth number (`SK_MEMINFO_DROPS`).
fn dropped(memory: &[u8]) -> Option<u32> {
    memory.as_chunks().0.get(8).copied().map(u32::from_ne_bytes)
}
