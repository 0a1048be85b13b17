//! What can go wrong with the plumbing as a whole.

use std::fmt;
use std::net::SocketAddr;

use clearway_core::hints::Hints;
use clearway_core::names::Mark;

use crate::{nft::NftError, routing::RoutingError};

/// Why the plumbing could not be installed, repaired or looked at.
#[derive(Debug, thiserror::Error)]
pub enum PlumbingError {
    /// nftables.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// Rules or routes.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// Another program uses the mark that was asked for.
    #[error("the mark {mark} is used by the foreign rule `{rule}`")]
    MarkTaken {
        /// The mark asked for.
        mark: Mark,
        /// The rule, as `ip rule` shows it.
        rule: String,
    },
    /// The mark that was asked for differs from that of a living Clearway of the same instance.
    #[error("the mark {mark} differs from {theirs}, which the running Clearway of the same instance uses")]
    MarkDiffers {
        /// The mark asked for.
        mark: Mark,
        /// Theirs.
        theirs: Mark,
    },
    /// Foreign rules use every bit that would do.
    #[error("every bit of the mark that Clearway would take is used by a foreign rule (`ip rule`)")]
    NoFreeMark,
    /// Not what a rule for a loopback server can be made of.
    #[error(
        "`{0}` is no server on a loopback address (127.0.0.0/8, ::1) with a port from 1 to 65534, which is what the \
         kernel's rules can tell"
    )]
    NotLoopback(SocketAddr),
    /// All 64 blocks are in use.
    #[error(
        "every block of preferences and routing tables is in use: by other Clearways (`nft list tables`) or by \
         foreign rules between 900 and 1219 (`ip rule`)"
    )]
    NoFreeBlock,
    /// Other Clearways were faster each time.
    #[error("other Clearways took the chosen block {attempts} times in a row")]
    NoPeace {
        /// How often it was tried.
        attempts: usize,
    },
    /// Installing failed, and so did removing what had been installed.
    #[error("{cause}; what had been installed by then could not be removed: {left}")]
    Stuck {
        /// Why installing failed.
        cause: Box<PlumbingError>,
        /// What is left, and why.
        left: RemoveErrors,
    },
}

impl PlumbingError {
    /// Whether it would succeed without servers on this host's own addresses ([`super::PlumbingNeeds::own`]): the
    /// kernel lacks conntrack.
    pub fn is_without_conntrack(&self) -> bool {
        matches!(self, Self::Nft(NftError::NoConntrack(_)))
    }
}

impl Hints for PlumbingError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Nft(error) => error.hints(),
            Self::Routing(error) => error.hints(),
            Self::MarkTaken { .. } => {
                vec!["ask for another bit, or leave the choice to Clearway".to_owned()]
            }
            Self::NotLoopback(_) => {
                vec!["let the server listen on another port, or on another address of this host".to_owned()]
            }
            Self::Stuck { cause, left } => [cause.hints(), left.hints()].concat(),
            Self::MarkDiffers { .. } | Self::NoFreeMark | Self::NoFreeBlock | Self::NoPeace { .. } => {
                Vec::new()
            }
        }
    }
}

/// Everything that failed in a removal; the rest has been removed.
#[derive(Debug, Default)]
pub struct RemoveErrors {
    /// One by one.
    pub errors: Vec<PlumbingError>,
    /// What was removed nevertheless, in `ip`'s and `nft`'s words.
    pub removed: Vec<String>,
}

impl RemoveErrors {
    pub(super) fn note<T, E: Into<PlumbingError>>(&mut self, outcome: Result<T, E>) -> Option<T> {
        outcome.map_err(|error| self.errors.push(error.into())).ok()
    }

    pub(super) fn into_result(self) -> Result<(), Self> {
        if self.errors.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for RemoveErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.errors.iter().enumerate() {
            write!(f, "{}{error}", if place == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for RemoveErrors {}

/// Each once: many errors have one cause.
impl Hints for RemoveErrors {
    fn hints(&self) -> Vec<String> {
        let mut hints: Vec<String> = Vec::new();
        for hint in self.errors.iter().flat_map(Hints::hints) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints
    }
}
