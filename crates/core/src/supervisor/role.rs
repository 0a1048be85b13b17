//! What this Clearway is to another one of the instance.

use std::time::Duration;

use super::event::Peer;

/// What this Clearway is to another one of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakeoverRole {
    /// There is no other one.
    Alone,
    /// Another Clearway wants the sockets, as soon as the attempt is over that is under way.
    Asked(Peer),
    /// Another one has the sockets, and has until then to serve from them.
    Handing { to: Peer, until: Duration },
    /// Another one serves from them. Until then it may fail, and this one would come back.
    Superseded { by: Peer, since: Duration, until: Duration },
    /// The other way round: the sockets are those of a predecessor that serves.
    Succeeding,
    /// The predecessor drains, and would come back until then. A next one may have asked for the sockets during an attempt.
    OnProbation { until: Duration, asked: Option<Peer> },
    /// Another one has the name, and this one will not serve again: it stops.
    Nameless,
}

impl TakeoverRole {
    /// The predecessor will not come back.
    pub(super) fn without_a_predecessor(asked: Option<Peer>) -> Self {
        asked.map_or(Self::Alone, Self::Asked)
    }

    pub(super) fn deadline(self) -> Option<Duration> {
        match self {
            Self::Handing { until, .. }
            | Self::Superseded { until, .. }
            | Self::OnProbation { until, .. } => Some(until),
            Self::Alone | Self::Asked(_) | Self::Succeeding | Self::Nameless => None,
        }
    }

    /// Whether a reload that is asked for may not begin.
    pub(super) fn refuses_reloads(self) -> bool {
        matches!(self, Self::Handing { .. } | Self::Superseded { .. })
    }
}
