//! Why a netlink call did not succeed.

use std::io;

use rustix::io::Errno;

use super::protocol::Protocol;

/// Why a netlink call did not succeed. `what` is what was being done.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket could not be had: `EPROTONOSUPPORT` where the kernel lacks the protocol.
    #[error("opening a netlink socket ({protocol}): {source}")]
    Open {
        /// Which one.
        protocol: Protocol,
        /// Why.
        source: io::Error,
    },
    /// Sending or receiving failed.
    #[error("{what}: talking to the kernel: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel said no.
    #[error("{what}: {errno}{}", words.as_deref().map(|w| format!(" ({w})")).unwrap_or_default())]
    Refused {
        /// What was being done.
        what: String,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's own explanation, where it gives one.
        words: Option<String>,
    },
    /// No answer within [`super::PATIENCE`] or [`super::DEADLINE`].
    #[error("{what}: the kernel did not answer in time")]
    Silent {
        /// What was being done.
        what: String,
    },
    /// Answers were lost (`ENOBUFS`, `NLMSG_OVERRUN`), also when asked for again.
    #[error("{what}: answers of the kernel were lost")]
    Overrun {
        /// What was being done.
        what: String,
    },
    /// An answer is not a netlink message.
    #[error("{what}: the answer of the kernel cannot be read: {why}")]
    Malformed {
        /// What was being done.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl NetlinkError {
    /// The kernel's error number, where it refused or the socket could not be opened.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Open { source, .. } | Self::Io { source, .. } => Errno::from_io_error(source),
            _ => None,
        }
    }
}
