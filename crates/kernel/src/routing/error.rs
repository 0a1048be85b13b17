//! Why rules or routes could not be made, read or removed.

use clearway_core::hints::Hints;
use rustix::io::Errno;

use super::Family;
use crate::netlink::NetlinkError;

/// Why rules or routes could not be made, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    /// `EPERM`.
    #[error("{0}")]
    Denied(NetlinkError),
    /// `EAFNOSUPPORT`, `EOPNOTSUPP`: a kernel without this family, or without policy routing for it.
    #[error("{error}")]
    NoFamily {
        /// Which family.
        family: Family,
        /// What the kernel said.
        error: NetlinkError,
    },
    /// `EACCES` or `ENODEV` to a route: `net.ipv6.conf.lo.disable_ipv6` is 1.
    #[error("{0}")]
    Ipv6Disabled(NetlinkError),
    /// `ENETDOWN`.
    #[error("{0}")]
    LoopbackDown(NetlinkError),
    /// Anything else.
    #[error(transparent)]
    Netlink(NetlinkError),
}

impl Hints for RoutingError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Denied(_) => {
                "changing rules and routes needs `NET_ADMIN` in this network namespace (`--cap-add NET_ADMIN`)".to_owned()
            }
            Self::NoFamily { family, .. } => format!(
                "this kernel runs without {family} (`ipv6.disable=1`) or without policy routing for it \
                 (CONFIG_IP_MULTIPLE_TABLES, CONFIG_IPV6_MULTIPLE_TABLES)"
            ),
            Self::Ipv6Disabled(_) => {
                "IPv6 is switched off on `lo` (`net.ipv6.conf.lo.disable_ipv6`)".to_owned()
            }
            Self::LoopbackDown(_) => "the interface `lo` is down (`ip link set lo up`)".to_owned(),
            Self::Netlink(_) => return Vec::new(),
        };
        vec![hint]
    }
}

impl RoutingError {
    pub(super) fn from_netlink(family: Family, error: NetlinkError) -> Self {
        match (error.errno(), family) {
            (Some(Errno::PERM), _) => Self::Denied(error),
            (Some(Errno::AFNOSUPPORT | Errno::OPNOTSUPP), _) => Self::NoFamily { family, error },
            (Some(Errno::ACCESS | Errno::NODEV), Family::V6) => Self::Ipv6Disabled(error),
            (Some(Errno::NETDOWN), _) => Self::LoopbackDown(error),
            _ => Self::Netlink(error),
        }
    }

    /// Whether the kernel lacks the family, so that Clearway does without.
    pub fn is_without_family(&self) -> bool {
        matches!(self, Self::NoFamily { .. } | Self::Ipv6Disabled(_))
    }
}
