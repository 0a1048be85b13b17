//! The fence: a container that was superseded does not take over back by itself.
//!
//! Two containers of one name that are both started again whenever they end (`restart: always`) would supersede each
//! other for ever. So the one that serves remembers whom it and its predecessors superseded, and turns them away for
//! a while; each try counts anew, so that one that keeps trying stays out. A new container, also one of the old image,
//! is somebody else: that is how a roll-back is done at once.
//!
//! Time is a duration since Clearway began.

use std::collections::BTreeMap;
use std::time::Duration;

/// Who has to stay away, and until when.
#[derive(Debug)]
pub struct Fence {
    limit: Duration,
    former: BTreeMap<String, Duration>,
}

/// More containers than this within the limit are not remembered: the oldest is forgotten.
const MOST: usize = 256;

impl Fence {
    /// Nobody yet; whoever comes stays away for so long.
    pub fn new(limit: Duration) -> Self {
        Self { limit, former: BTreeMap::new() }
    }

    /// Somebody was superseded, so long ago.
    pub fn keep_out(&mut self, origin: String, ago: Duration, now: Duration) {
        let until = now + self.limit.saturating_sub(ago);
        let known = self.former.entry(origin).or_default();
        *known = until.max(*known);
        if self.former.len() > MOST {
            let first = self.former.iter().min_by_key(|(_, until)| **until).map(|(origin, _)| origin.clone());
            first.map(|origin| self.former.remove(&origin));
        }
    }

    /// Somebody asks to take over: unset if it may, else how long it has to leave that alone, from now on.
    pub fn ask(&mut self, origin: &str, now: Duration) -> Option<Duration> {
        let until = self.former.get_mut(origin).filter(|until| **until > now)?;
        *until = now + self.limit;
        Some(self.limit)
    }

    /// Everybody who has to stay away, and how long ago that began, for a successor to know.
    pub fn list(&self, now: Duration) -> Vec<(String, Duration)> {
        let still = self.former.iter().filter(|(_, until)| **until > now);
        still
            .map(|(origin, until)| (origin.clone(), self.limit.saturating_sub(until.saturating_sub(now))))
            .collect()
    }
}

#[cfg(test)]
mod tests;
