//! What was counted before a window: the counters are read whenever Clearway is awake for something else, and the last
//! readings are kept. So an idle Clearway wakes up no more often than it does anyway.

use std::collections::VecDeque;
use std::time::Duration;

use super::counters::NetworkCounters;
use super::figures::CostBefore;

/// How much time there is at least between a glance and the window that is compared with it.
const LEAST: Duration = Duration::from_secs(1);

/// What is older says nothing of the time before a window.
const OLDEST: Duration = Duration::from_mins(1);

/// How many glances are kept.
const MOST: usize = 4;

/// The last glances at the counters, the newest at the end.
#[derive(Clone, Debug, Default)]
pub struct Baseline(VecDeque<(Duration, NetworkCounters)>);

impl Baseline {
    /// The counters were these at that time. Of several within a second the first one is kept.
    pub fn note(&mut self, counters: NetworkCounters, at: Duration) {
        if self.0.back().is_some_and(|(last, _)| at.saturating_sub(*last) < LEAST) {
            return;
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((at, counters));
    }

    /// What was counted between the last glance that is at least a second old and now, when a window begins.
    pub fn until(&self, counters: NetworkCounters, now: Duration) -> Option<CostBefore> {
        let old = |at: &Duration| now.saturating_sub(*at) >= LEAST && now.saturating_sub(*at) <= OLDEST;
        let (at, earlier) = self.0.iter().rev().find(|(at, _)| old(at))?;
        Some(CostBefore { seconds: now.saturating_sub(*at), network: counters.since(*earlier) })
    }
}
