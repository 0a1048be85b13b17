//! The fence: containers of one name do not take over from each other for ever.
//!
//! Two containers of one name that are both started again whenever they end (`restart: always`) would supersede each
//! other for ever. So the one that serves remembers which ones it and its predecessors superseded, and turns them away
//! for a while; each try counts anew, so that one that keeps trying stays out. A new container, also one of the old
//! image, is another one: that is how a roll-back is done at once.
//!
//! An orchestrator that replaces what ends by a new container (two replicas of one Swarm service on a node) gets past
//! that. So the takeovers within the same while are counted, and where there were too many, the one that serves turns
//! every newcomer away until none has come for that long.
//!
//! Time is a duration since Clearway began.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::count::Count;
use crate::exit::ExitCode;
use crate::failure::Failure;

/// What has to stay away, and until when.
#[derive(Debug)]
pub struct Fence {
    limit: Duration,
    most: Option<usize>,
    former: BTreeMap<String, Duration>,
    closed_until: Option<Duration>,
}

/// Why a newcomer does not get the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// It was superseded a short while ago, and has to leave that alone for so long from now on.
    Superseded(Duration),
    /// So many containers have taken over from each other within the limit.
    TooMany {
        /// How many.
        takeovers: usize,
        /// Within how long; also how long no other one may come before the next one is let in.
        within: Duration,
    },
}

impl TurnedAway {
    /// What the container is told.
    pub fn failure(self) -> Failure {
        match self {
            Self::Superseded(wait) => Failure::new(
                ExitCode::InstanceTaken,
                format!(
                    "this container was superseded by the one that serves, and does not take over back by itself for {} s",
                    wait.as_secs()
                ),
            )
            .hint(
                "to go back to its image now, start a new container of that image; a shorter CLEARWAY_TAKEOVER_BACK of the \
                 one that serves lets this one in sooner",
            ),
            Self::TooMany { takeovers, within } => Failure::new(
                ExitCode::TakeoversTooMany,
                format!(
                    "containers of this name replace each other for ever ({} within {} s): no other one takes over until \
                     none has tried for {} s",
                    Count(takeovers, "takeover"),
                    within.as_secs(),
                    within.as_secs()
                ),
            )
            .hint(
                "keep one container of this name on a host: with Swarm `mode: global`, or one replica \
                 (docs/how-to/swarm.md); CLEARWAY_TAKEOVER_MOST=0 of the one that serves allows any number of takeovers",
            ),
        }
    }
}

/// More containers than this within the limit are not remembered: the oldest is forgotten.
const MOST: usize = 256;

impl Fence {
    /// None yet. What is superseded stays away for so long; after so many takeovers within that time all do, unless
    /// that is unset.
    pub fn new(limit: Duration, most: Option<usize>) -> Self {
        Self { limit, most, former: BTreeMap::new(), closed_until: None }
    }

    /// A container was superseded, so long ago.
    pub fn keep_out(&mut self, origin: String, ago: Duration, now: Duration) {
        let until = now + self.limit.saturating_sub(ago);
        let known = self.former.entry(origin).or_default();
        *known = until.max(*known);
        if self.former.len() > MOST {
            let first = self.former.iter().min_by_key(|(_, until)| **until).map(|(origin, _)| origin.clone());
            first.map(|origin| self.former.remove(&origin));
        }
    }

    /// A container asks to take over: unset if it may.
    pub fn ask(&mut self, origin: &str, now: Duration) -> Option<TurnedAway> {
        if let Some(until) = self.former.get_mut(origin).filter(|until| **until > now) {
            *until = now + self.limit;
            return Some(TurnedAway::Superseded(self.limit));
        }
        let takeovers = self.takeovers(now);
        let too_many = self.most.is_some_and(|most| takeovers >= most);
        if !too_many && self.closed_until.is_none_or(|until| until <= now) {
            return None;
        }
        self.closed_until = Some(now + self.limit);
        Some(TurnedAway::TooMany { takeovers, within: self.limit })
    }

    /// How many containers were superseded within the limit.
    pub fn takeovers(&self, now: Duration) -> usize {
        self.former.values().filter(|until| **until > now).count()
    }

    /// All that have to stay away, and how long ago that began, for a successor to know.
    pub fn list(&self, now: Duration) -> Vec<(String, Duration)> {
        let still = self.former.iter().filter(|(_, until)| **until > now);
        still
            .map(|(origin, until)| (origin.clone(), self.limit.saturating_sub(until.saturating_sub(now))))
            .collect()
    }
}

#[cfg(test)]
mod tests;
