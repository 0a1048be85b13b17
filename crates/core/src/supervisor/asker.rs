//! What asks for a reload, a rollback or a stop.

use std::fmt;

use crate::notice::data;
use crate::settings::ApplySetting;

/// A request over the admin socket that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// What asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    /// A signal, by its name (`SIGHUP`): it gets no answer.
    Signal(&'static str),
    /// A request over the admin socket, which is answered.
    Admin(RequestId),
    /// A request to apply what is on disk at run time, which is answered.
    Apply(RequestId),
    /// A request for a rollback, which is answered.
    Rollback(RequestId),
    /// `clearway drain`, which looks for itself when Clearway is gone.
    Drain,
    /// HAProxy's own master, which was signalled instead of Clearway: it gets no answer.
    Master,
    /// Files that are watched (`CLEARWAY_WATCH`): they get no answer.
    Watch,
}

impl Asker {
    /// What it is called where programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signal(name) => name,
            Self::Admin(_) => "admin-socket",
            Self::Apply(_) => "apply",
            Self::Rollback(_) => "rollback",
            Self::Drain => "drain",
            Self::Master => "haproxy-master",
            Self::Watch => "watch",
        }
    }

    /// The request that waits for an answer, if it is one.
    pub(super) fn request(self) -> Option<RequestId> {
        match self {
            Self::Admin(request) | Self::Apply(request) | Self::Rollback(request) => Some(request),
            Self::Signal(_) | Self::Drain | Self::Master | Self::Watch => None,
        }
    }

    /// Whether it does not want what is on the disk, but what served before.
    pub(super) fn rolls_back(self) -> bool {
        matches!(self, Self::Rollback(_))
    }

    /// Whether what it wants is planned first, and applied at run time where it can be.
    pub(super) fn plans(self, setting: ApplySetting) -> bool {
        match self {
            Self::Apply(_) => true,
            Self::Signal(_) | Self::Admin(_) | Self::Watch | Self::Drain => setting == ApplySetting::Auto,
            // What a worker has that a master has started by itself is in no file that was read here.
            Self::Master | Self::Rollback(_) => false,
        }
    }

    /// Whether a stop asked for by this one, for the second time, means at once. Asking twice over the
    /// admin socket, or with `SIGUSR1`, means nothing: it drains already.
    pub(super) fn insists(self) -> bool {
        matches!(self, Self::Signal("SIGTERM" | "SIGINT"))
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::Admin(_) => f.write_str("the admin socket"),
            Self::Apply(_) => f.write_str("`clearway apply`"),
            Self::Rollback(_) => f.write_str("`clearway rollback`"),
            Self::Master => f.write_str("a signal to HAProxy's own master"),
            Self::Drain => f.write_str("`clearway drain`"),
            Self::Watch => f.write_str("a changed file"),
        }
    }
}

data! {
    Asker: "text" as |asker| asker.name(),
}
