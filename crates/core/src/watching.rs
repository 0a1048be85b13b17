//! When watched files are looked at.
//!
//! ```text
//!   a hint ----------------> no other one for a quiet time, LONGEST after the first one at most ---> look
//!   hints cannot be had ---> every POLL ----------------------------------------------------------> look
//! ```
//!
//! Time is a duration since the beginning.

use std::time::Duration;

/// How long a constant stream of hints may put a look off.
pub const LONGEST: Duration = Duration::from_secs(5);

/// How often everything is looked at where hints cannot be had.
pub const POLL: Duration = Duration::from_secs(5);

/// When to look.
#[derive(Debug)]
pub struct LookTimes {
    quiet: Duration,
    /// The first hint since the last look, and the last one.
    hinted: Option<(Duration, Duration)>,
    /// When to look although there was no hint.
    poll_at: Option<Duration>,
}

impl LookTimes {
    /// Never. Hints are followed by a look when there was none for `quiet`.
    pub fn after(quiet: Duration) -> Self {
        Self { quiet, hinted: None, poll_at: None }
    }

    /// Something may have changed.
    pub fn hint(&mut self, now: Duration) {
        self.hinted = Some((self.hinted.map_or(now, |(first, _)| first), now));
    }

    /// It is looked then, whether there is a hint or not.
    pub fn poll(&mut self, at: Duration) {
        self.poll_at = Some(at);
    }

    /// It is not looked without a hint.
    pub fn wait_for_hints(&mut self) {
        self.poll_at = None;
    }

    /// When to look next.
    pub fn next(&self) -> Option<Duration> {
        let hinted = self.hinted.map(|(first, last)| {
            let latest = first.saturating_add(LONGEST.max(self.quiet));
            last.saturating_add(self.quiet).min(latest)
        });
        [hinted, self.poll_at].into_iter().flatten().min()
    }

    /// Whether there was a hint since the last look.
    pub fn is_hinted(&self) -> bool {
        self.hinted.is_some()
    }

    /// A look begins; says whether there was a hint.
    pub fn begin(&mut self) -> bool {
        self.hinted.take().is_some()
    }
}

#[cfg(test)]
mod tests;
