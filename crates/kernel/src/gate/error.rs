//! Why a gate could not be closed or opened.

use std::io;

use clearway_core::hints::Hints;
use rustix::io::Errno;

use crate::modules;
use crate::netlink::{BatchError, Feature, NetlinkError};
use crate::nft::{NftError, explain, is};

/// Why new clients cannot be stopped, or why those that were held could not be accepted.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// nftables.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// `ENOENT` or `EOPNOTSUPP` to a set.
    #[error("the kernel lacks nftables sets with timeouts: {0}")]
    NoSets(NetlinkError),
    /// `EINVAL`: nfnetlink has no subsystem for queues.
    #[error(
        "the kernel lacks netfilter queues: {0}{reason}",
        reason = modules::missing("nfnetlink_queue")
    )]
    NoQueues(NetlinkError),
    /// `ENOENT` to a rule: neither the expression nor the target that leads into a queue.
    #[error(
        "the kernel lacks both the nft `queue` expression (CONFIG_NFT_QUEUE) and iptables' target NFQUEUE for nftables \
         (CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_TARGET_NFQUEUE; modules `nft_compat`, `xt_NFQUEUE`): {0}{reason}",
        reason = modules::missing("nft_queue")
    )]
    NoQueueRule(NetlinkError),
    /// `EPERM` to every number.
    #[error("{0}")]
    Denied(NetlinkError),
    /// Other processes have all the numbers that were tried.
    #[error("other processes have {attempts} of the numbers of netfilter queues that were tried")]
    NoNumber {
        /// How many were tried.
        attempts: u32,
    },
    /// Anything else about the queue.
    #[error(transparent)]
    Queue(NetlinkError),
    /// The packets that wait could not be accepted; the queue is removed with its socket, and the clients send again.
    #[error("{0}")]
    Release(NetlinkError),
    /// The thread that keeps the gate closed could not be started.
    #[error("starting the thread that keeps new clients waiting: {0}")]
    Thread(io::Error),
    /// It has ended by itself, and the kernel has opened the gate.
    #[error(
        "the thread that keeps new clients waiting has ended by itself; no client is kept waiting any more"
    )]
    ThreadEnded,
}

impl Hints for GateError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Nft(error) => error.hints(),
            Self::NoSets(_) => vec![
                "run a kernel of 4.18 or newer with CONFIG_NF_TABLES (up to Linux 5.5 also the module `nf_tables_set`)"
                    .to_owned(),
            ],
            Self::NoQueues(_) => vec![
                modules::hint("nfnetlink_queue") + ", or run a kernel with CONFIG_NETFILTER_NETLINK_QUEUE",
            ],
            Self::NoQueueRule(_) => vec![modules::hint("nft_queue")],
            Self::Denied(_) => vec![
                "netfilter queues need `NET_ADMIN` in this network namespace (`--cap-add NET_ADMIN`)".to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

/// Anything about the table except rules that lead into a queue.
pub(super) fn of_table(refused: BatchError) -> GateError {
    let is_missing = is(&refused.error, &[Errno::NOENT, Errno::OPNOTSUPP]);
    if refused.needs == Some(Feature::Timeouts) && is_missing {
        return GateError::NoSets(refused.error);
    }
    explain(refused).into()
}

/// Whether the kernel has everything but the expression `counter`.
pub(super) fn lacks_counter(refused: &BatchError) -> bool {
    refused.needs == Some(Feature::Counter) && is(&refused.error, &[Errno::NOENT, Errno::OPNOTSUPP])
}

/// Each way into a queue was refused; the last one counts.
pub(super) fn of_rules(refusals: Vec<BatchError>) -> GateError {
    let mut refusals = refusals.into_iter();
    match refusals.next_back() {
        Some(refused) if is(&refused.error, &[Errno::NOENT, Errno::OPNOTSUPP]) => {
            GateError::NoQueueRule(refused.error)
        }
        Some(refused) => explain(refused).into(),
        None => GateError::ThreadEnded,
    }
}

/// From what was refused of the queue to what that means.
pub(super) fn of_queue(error: NetlinkError) -> GateError {
    match error.errno() {
        Some(Errno::PROTONOSUPPORT | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOENT) => {
            GateError::NoQueues(error)
        }
        Some(Errno::PERM) => GateError::Denied(error),
        _ => GateError::Queue(error),
    }
}
