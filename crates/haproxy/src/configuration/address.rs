//! Addresses as `bind` and `stats socket` take them (`str2listener`, `str2sa_range` in HAProxy's source).
//!
//! `[stream+|dgram+|quic+][ipv4@|tcp6@|unix@|...]address[:port[-last]]`, several separated by commas. An address
//! that begins with `/` is a Unix socket; an empty one and `*` are every IPv4 address; without brackets the last
//! colon is the one before the port, so `:::80` is every IPv6 address. Nothing is resolved or validated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP listener.
    Tcp,
    /// Multipath TCP, since 2.9; a TCP socket in all but `SO_PROTOCOL`.
    Mptcp,
    /// QUIC over UDP.
    Quic,
    /// Plain UDP, for `dgram-bind`.
    Udp,
}

/// One address of a `bind` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An IP address with its ports.
    Ip {
        /// What carries the bytes.
        transport: Transport,
        /// The address.
        address: IpAddr,
        /// The port, or all of `80-89`.
        ports: RangeInclusive<u16>,
    },
    /// A host name, which HAProxy resolves when it starts.
    Host {
        /// What carries the bytes.
        transport: Transport,
        /// The name.
        name: String,
        /// The port, or all of `80-89`.
        ports: RangeInclusive<u16>,
    },
    /// A Unix socket with a path, without the `unix-bind prefix`.
    Unix(PathBuf),
    /// A Unix socket with an abstract name (`abns@`, `abnsz@`).
    Abstract(String),
    /// `fd@N`: inherited. Never exported by `_getsocks`, so custody cannot hold it.
    Inherited(String),
    /// `sockpair@N`: inherited, for private connections.
    Sockpair(String),
    /// `rhttp@backend/server`: HAProxy connects out and lets others in; there is no socket that listens.
    Reverse(String),
    /// What HAProxy will refuse, or a newer one knows.
    Unknown(String),
}

impl Endpoint {
    /// Reads a comma separated list with its variables already expanded.
    pub(crate) fn list(text: &str, usual: Transport) -> Vec<Self> {
        text.split(',').filter(|one| !one.is_empty()).map(|one| Self::parse(one, usual)).collect()
    }

    fn parse(text: &str, usual: Transport) -> Self {
        let (usual, rest) = match text.split_once('+') {
            Some(("stream", rest)) => (Transport::Tcp, rest),
            Some(("dgram", rest)) => (Transport::Udp, rest),
            Some(("quic", rest)) => (Transport::Quic, rest),
            _ => (usual, text),
        };
        let Some((prefix, rest)) = rest.split_once('@').filter(|_| !rest.starts_with('/')) else {
            return if rest.starts_with('/') {
                Self::Unix(rest.into())
            } else {
                Self::ip(text, rest, usual, AddressPrefix::Any)
            };
        };
        match prefix {
            "unix" | "uxst" | "uxdg" => Self::Unix(rest.into()),
            "abns" | "abnsz" => Self::Abstract(rest.to_owned()),
            "fd" => Self::Inherited(rest.to_owned()),
            "sockpair" => Self::Sockpair(rest.to_owned()),
            "rhttp" | "rev" => Self::Reverse(rest.to_owned()),
            "ip" => Self::ip(text, rest, usual, AddressPrefix::Any),
            "ipv4" => Self::ip(text, rest, usual, AddressPrefix::V4),
            "ipv6" => Self::ip(text, rest, usual, AddressPrefix::V6),
            "tcp" => Self::ip(text, rest, Transport::Tcp, AddressPrefix::Any),
            "tcp4" => Self::ip(text, rest, Transport::Tcp, AddressPrefix::V4),
            "tcp6" => Self::ip(text, rest, Transport::Tcp, AddressPrefix::V6),
            "mptcp" => Self::ip(text, rest, Transport::Mptcp, AddressPrefix::Any),
            "mptcp4" => Self::ip(text, rest, Transport::Mptcp, AddressPrefix::V4),
            "mptcp6" => Self::ip(text, rest, Transport::Mptcp, AddressPrefix::V6),
            "udp" => Self::ip(text, rest, Transport::Udp, AddressPrefix::Any),
            "udp4" => Self::ip(text, rest, Transport::Udp, AddressPrefix::V4),
            "udp6" => Self::ip(text, rest, Transport::Udp, AddressPrefix::V6),
            "quic4" => Self::ip(text, rest, Transport::Quic, AddressPrefix::V4),
            "quic6" => Self::ip(text, rest, Transport::Quic, AddressPrefix::V6),
            _ => Self::Unknown(text.to_owned()),
        }
    }

    fn ip(whole: &str, text: &str, transport: Transport, family: AddressPrefix) -> Self {
        let split = text.rsplit_once(':').and_then(|(name, ports)| Some((name, read_ports(ports)?)));
        let Some((name, ports)) = split else {
            return Self::Unknown(whole.to_owned());
        };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let address = match (bare, family) {
            ("" | "*", AddressPrefix::V6) => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            ("" | "*", _) => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            // An interface behind `%` is a scope, which the kernel needs but addresses do not show.
            _ => bare.split('%').next().and_then(|bare| bare.parse().ok()),
        };
        match address {
            Some(address) => Self::Ip { transport, address, ports },
            None => Self::Host { transport, name: bare.to_owned(), ports },
        }
    }

    /// Whether connections arrive here over TCP.
    pub fn is_stream(&self) -> bool {
        matches!(
            self,
            Self::Ip { transport: Transport::Tcp | Transport::Mptcp, .. }
                | Self::Host { transport: Transport::Tcp | Transport::Mptcp, .. }
        )
    }

    /// The socket addresses, none where it is not an IP address.
    pub fn socket_addresses(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let known = match self {
            Self::Ip { address, ports, .. } => Some((*address, ports.clone())),
            _ => None,
        };
        known.into_iter().flat_map(|(address, ports)| ports.map(move |port| SocketAddr::new(address, port)))
    }
}

#[derive(Clone, Copy)]
enum AddressPrefix {
    Any,
    V4,
    V6,
}

fn read_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    (first <= last && first > 0).then_some(first..=last)
}
