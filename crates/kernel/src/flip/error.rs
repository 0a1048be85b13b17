//! What the kernel refuses of a table flip, and what that means.

use clearway_core::hints::Hints;
use rustix::io::Errno;

use crate::modules;
use crate::netlink::{BatchError, Feature, NetlinkError};
use crate::nft::{self, NftError};

/// Why clients cannot be redirected.
#[derive(Debug, thiserror::Error)]
pub enum FlipError {
    /// No nftables, no `NET_ADMIN`, or anything else that has nothing to do with flips.
    #[error(transparent)]
    Table(#[from] NftError),
    /// `EINVAL` to an owner table, before Linux 5.12.
    #[error(
        "the kernel has no nftables tables that end with their process (Linux 5.12): if this one were killed, clients \
         would be redirected to ports where no process listens"
    )]
    NoOwner,
    /// `ENOENT` or `EOPNOTSUPP` to a chain or rule.
    #[error(
        "the kernel lacks what redirecting clients needs, {what}: {source}{reason}",
        reason = modules::missing(module)
    )]
    Lacking {
        /// The expression or chain.
        what: &'static str,
        /// The module that has it.
        module: &'static str,
        /// What the kernel said.
        source: NetlinkError,
    },
}

impl Hints for FlipError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Table(error) => error.hints(),
            Self::NoOwner => Vec::new(),
            Self::Lacking { module, .. } => vec![modules::hint(module) + ", or use another way to reload"],
        }
    }
}

/// From what was refused, and where, to what that means.
pub(super) fn explain(refused: BatchError) -> FlipError {
    let lacking = match refused.needs {
        // Chains of type `nat` in family `inet`: Linux 5.2.
        Some(Feature::NatChain) => Some(("nftables chains of type `nat` in family `inet`", "nft_chain_nat")),
        Some(Feature::Fib) => Some(("the nft `fib` expression", "nft_fib_inet")),
        Some(Feature::Nat) => Some(("the nft `nat` expression", "nft_nat")),
        Some(Feature::Conntrack) => Some(("the nft `ct` expression", "nft_ct")),
        Some(Feature::Reject) => Some(("the nft `reject` expression", "nft_reject_inet")),
        _ => None,
    };
    let absent = nft::is(&refused.error, &[Errno::NOENT, Errno::OPNOTSUPP, Errno::PROTONOSUPPORT]);
    match lacking.filter(|_| absent) {
        Some((what, module)) => FlipError::Lacking { what, module, source: refused.error },
        None => FlipError::Table(nft::explain(refused)),
    }
}
