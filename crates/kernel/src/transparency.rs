//! Whether this process may make transparent sockets.
//!
//! The kernel is asked, with a socket that is closed again: capabilities alone do not tell, because they count in the
//! user namespace that owns the network namespace, and a seccomp filter may refuse too.

use std::fmt;
use std::io;
use std::net::IpAddr;

use clearway_core::hints::Hints;
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6.
    #[serde(rename = "ipv6")]
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Why a transparent socket cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TransparencyError {
    /// `EPERM`: neither `NET_RAW` (Linux 3.2) nor `NET_ADMIN` in this network namespace.
    #[error("making an {0} socket transparent: not permitted")]
    Denied(Family),
    /// `EAFNOSUPPORT`: the kernel runs without this family (`ipv6.disable=1`).
    #[error("making an {0} socket transparent: this kernel runs without {0}")]
    NoFamily(Family),
    /// Anything else.
    #[error("making an {family} socket transparent: {source}")]
    Other {
        /// Of which family.
        family: Family,
        /// Why.
        source: io::Error,
    },
}

impl Hints for TransparencyError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Denied(_) => vec!["add the capability `NET_RAW` (`--cap-add NET_RAW`)".to_owned()],
            Self::NoFamily(_) | Self::Other { .. } => Vec::new(),
        }
    }
}

/// Tries `IP_TRANSPARENT` or `IPV6_TRANSPARENT` on a socket that is closed again.
pub fn can_be_transparent(family: Family) -> Result<(), TransparencyError> {
    let attempt = || match family {
        Family::V4 => Socket::new(Domain::IPV4, Type::STREAM, None)?.set_ip_transparent_v4(true),
        Family::V6 => Socket::new(Domain::IPV6, Type::STREAM, None)?.set_ip_transparent_v6(true),
    };
    attempt().map_err(|source| match Errno::from_io_error(&source) {
        Some(Errno::PERM) => TransparencyError::Denied(family),
        Some(Errno::AFNOSUPPORT) => TransparencyError::NoFamily(family),
        _ => TransparencyError::Other { family, source },
    })
}
