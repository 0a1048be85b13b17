//! Which part of the kernel is spoken to.

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE, NETLINK_SOCK_DIAG};

/// The netlink protocols that Clearway speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Protocol {
    /// Rules, routes.
    Route,
    /// nftables. A kernel without `CONFIG_NETFILTER_NETLINK` answers `EPROTONOSUPPORT`.
    Netfilter,
    /// Sockets (`ss`).
    SockDiag,
}

impl Protocol {
    pub(super) fn number(self) -> isize {
        match self {
            Self::Route => NETLINK_ROUTE,
            Self::Netfilter => NETLINK_NETFILTER,
            Self::SockDiag => NETLINK_SOCK_DIAG,
        }
    }
}
