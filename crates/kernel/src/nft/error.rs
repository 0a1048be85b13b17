//! What the kernel refuses of nftables, and what that means.

use std::io;

use clearway_core::hints::Hints;
use rustix::io::Errno;

use crate::modules;
use crate::netlink::{BatchError, Feature, NetlinkError};

/// Why the table could not be made, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// `EPROTONOSUPPORT`, `EOPNOTSUPP`, or `EINVAL` to a dump: no `nf_tables` in this kernel.
    #[error(
        "the kernel lacks nftables: {0}{reason}",
        reason = modules::missing("nf_tables")
    )]
    NoNfTables(NetlinkError),
    /// `EPERM` to all of nftables.
    #[error("{0}")]
    Denied(NetlinkError),
    /// `ENOENT` or `EOPNOTSUPP` to a chain: `inet` or its `filter` chains are missing.
    #[error("the kernel lacks nftables chains of family `inet`: {0}")]
    NoInetChains(NetlinkError),
    /// `ENOENT` to a rule: the expression `socket` (Linux 4.18) is not there and could not be loaded.
    #[error(
        "the kernel lacks the nft `socket` expression: {0}{reason}",
        reason = modules::missing("nft_socket")
    )]
    NoSocketExpression(NetlinkError),
    /// `ENOENT` or `EOPNOTSUPP` (no `CONFIG_NF_CONNTRACK_MARK`) to a rule with `ct`, or to the chain of type `route`
    /// (family `inet` since Linux 5.2).
    #[error(
        "the kernel lacks what servers on this host's own addresses need, conntrack (`ct`) and chains of type \
         `route`: {0}{reason}",
        reason = modules::missing("nft_ct")
    )]
    NoConntrack(NetlinkError),
    /// `ENOENT` to a rule: `tproxy` (Linux 4.19) or `fib` is not there and could not be loaded.
    #[error(
        "the kernel lacks what intercepting needs, the nft expressions `tproxy` and `fib`: {0}{reason}",
        reason = modules::missing("nft_tproxy")
    )]
    NoInterception(NetlinkError),
    /// The sign of life of a table without owner could not be bound.
    #[error("binding the abstract socket `{name}`: {source}")]
    Token {
        /// The name of the table and of the socket.
        name: String,
        /// Why; `EADDRINUSE` if another process has it.
        source: io::Error,
    },
    /// Anything else.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

impl Hints for NftError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NoNfTables(_) => {
                modules::hint("nf_tables")
                    + ", or run a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"
            }
            Self::Denied(_) => {
                "changing nftables needs `NET_ADMIN` in this network namespace (`--cap-add NET_ADMIN`)"
                    .to_owned()
            }
            Self::NoInetChains(_) => {
                "run a kernel with CONFIG_NF_TABLES_INET (module `nf_tables_inet` before Linux \
                                      4.17: `modprobe nf_tables_inet`)"
                    .to_owned()
            }
            Self::NoSocketExpression(_) => modules::hint("nft_socket"),
            Self::NoConntrack(_) => {
                modules::hint("nft_ct")
                    + ", or let these servers listen on a loopback address (127.0.0.1, ::1)"
            }
            Self::NoInterception(_) => {
                modules::hint("nft_tproxy") + "; likewise `nft_fib_inet`; or do without `CLEARWAY_INTERCEPT`"
            }
            Self::Token { .. } | Self::Netlink(_) => return Vec::new(),
        };
        vec![hint]
    }
}

pub(crate) fn is(error: &NetlinkError, numbers: &[Errno]) -> bool {
    error.errno().is_some_and(|errno| numbers.contains(&errno))
}

/// From what was refused, and where, to what that means.
pub(crate) fn explain(BatchError { needs, error }: BatchError) -> NftError {
    match (needs, error.errno()) {
        (None, Some(Errno::PERM)) => NftError::Denied(error),
        (None, Some(Errno::OPNOTSUPP | Errno::INVAL)) => NftError::NoNfTables(error),
        (Some(Feature::Chain), Some(Errno::NOENT | Errno::OPNOTSUPP)) => NftError::NoInetChains(error),
        (
            Some(Feature::Conntrack | Feature::RouteChain),
            Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::PROTONOSUPPORT),
        ) => NftError::NoConntrack(error),
        (Some(Feature::Tproxy | Feature::Fib), Some(Errno::NOENT | Errno::OPNOTSUPP)) => {
            NftError::NoInterception(error)
        }
        (Some(Feature::Socket | Feature::Wildcard), Some(Errno::NOENT)) => {
            NftError::NoSocketExpression(error)
        }
        _ => NftError::Netlink(error),
    }
}
