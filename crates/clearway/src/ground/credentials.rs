//! The process at the other end of a Unix connection, as the kernel tells it: an abstract name can be bound, and
//! connected to, by any process of the network namespace. Only root and our own user are spoken to.

use std::os::unix::net::UnixStream;

use tokio::net::unix::UCred;

/// The process at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its user.
    pub uid: u32,
    /// Its number, if it is in our PID namespace (the kernel says 0 otherwise, for which
    /// `rustix::net::sockopt::socket_peercred` has no room; tokio's has).
    pub pid: Option<i32>,
}

impl Credentials {
    /// Looks at the other end. Leaves the connection non-blocking; without a tokio runtime nothing is found.
    pub fn of(stream: &UnixStream) -> Option<Self> {
        tokio::runtime::Handle::try_current().ok()?;
        stream.set_nonblocking(true).ok()?;
        let stream = tokio::net::UnixStream::from_std(stream.try_clone().ok()?).ok()?;
        stream.peer_cred().ok().map(Self::from)
    }

    /// Whether it may ask us, or be asked by us: it is of root, or of our own user.
    pub fn is_trusted(self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}

impl From<UCred> for Credentials {
    fn from(told: UCred) -> Self {
        Self { uid: told.uid(), pid: told.pid().filter(|pid| *pid > 0) }
    }
}
