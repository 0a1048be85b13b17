//! Why the new clients of an address cannot be steered.

use std::fmt;
use std::net::SocketAddr;

use crate::queues::Listener;

/// Why the new clients of an address cannot be steered. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", address.map_or_else(|| "a socket".to_owned(), |address| address.to_string()))]
pub struct NotSteerable {
    /// Where; `None` if it is bound to no address.
    pub address: Option<SocketAddr>,
    /// Its sockets that leave. They can still be sealed and waited for.
    pub leaving: Vec<Listener>,
    /// Why.
    pub reason: Reason,
}

/// Why there is no [`super::ReuseportGroup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not a TCP socket that listens in this network namespace.
    NotListening,
    /// Another process listens on the same address, so that no index is known.
    Stranger {
        /// The inode of its socket; [`crate::listeners::strangers`] names the process.
        inode: u64,
        /// The user that made it.
        uid: u32,
    },
    /// The sockets were made by different users: two groups with one address.
    SeveralUsers,
    /// Some stay and some leave, no new one comes, and the order is not known.
    OrderUnknown,
    /// A socket that listened on the same address before is closed, and another one has taken its place.
    OtherGone,
    /// A new socket is more specific and gets the new clients already: wait for those that came before.
    Narrower,
    /// A new socket is less specific and gets no client until this one is closed: seal, then wait.
    Wider,
    /// No new socket serves this address.
    Unserved,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListening => f.write_str("it is no TCP socket that listens in this network namespace"),
            Self::Stranger { inode, uid } => {
                write!(f, "another socket (inode {inode}, uid {uid}) listens on the same address")
            }
            Self::SeveralUsers => f.write_str("its sockets were made by different users"),
            Self::OrderUnknown => {
                f.write_str("some of its sockets stay, and the kernel does not tell which is which")
            }
            Self::OtherGone => {
                f.write_str("one that was there before has gone, and which socket has its place is not known")
            }
            Self::Narrower => f.write_str("a new socket has a narrower address and gets the new connections"),
            Self::Wider => {
                f.write_str("a new socket has a wider address and gets none before this one is closed")
            }
            Self::Unserved => f.write_str("no new socket has this address"),
        }
    }
}
