//! When a holder looks for a balancer that was there before it.
//!
//! A balancer that begins knocks at the holder's door by itself. One that was there first has to be looked for, and may be in
//! any state: it loads its first configuration for minutes, it drains for hours, it waits for a predecessor. So a
//! conversation that is open is left alone, whether sockets have come by it or not; while there is none, the look-outs
//! have pauses between them that grow as long as they come to nothing.
//!
//! ```text
//!   looking --- begun, or a balancer has come ---> talking, with one or several: no look-out
//!      ^                                             | the last of them has ended, or has said that it stops
//!      '------------- after a pause -----------------'
//! ```
//!
//! Time is a duration since the holder began.

use std::collections::BTreeSet;
use std::time::Duration;

/// The first pause.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest: as long as a balancer may go without being held that began before the holder, and behind another one.
const LONGEST: Duration = Duration::from_secs(10);

/// The balancers that the holder talks to, by number, and when it looks for another one.
#[derive(Debug)]
pub struct Lookout {
    talking: BTreeSet<u64>,
    next: Duration,
    pause: Duration,
}

impl Default for Lookout {
    fn default() -> Self {
        Self { talking: BTreeSet::new(), next: Duration::ZERO, pause: SHORTEST }
    }
}

impl Lookout {
    /// When to look; unset while a conversation is open.
    pub fn due(&self) -> Option<Duration> {
        self.talking.is_empty().then_some(self.next)
    }

    /// Whether to look now. What it comes to is told by [`Self::begun`], or was nothing.
    pub fn look(&mut self, now: Duration) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.pause_from(now);
        }
        due
    }

    /// A conversation has begun, from either side.
    pub fn begun(&mut self, conversation: u64) {
        self.talking.insert(conversation);
    }

    /// Sockets have come by it: that balancer serves, so the next one is looked for soon.
    pub fn kept(&mut self, conversation: u64) {
        self.talking.insert(conversation);
        self.pause = SHORTEST;
    }

    /// It has ended, or the balancer has said that it stops: another one may have the name.
    pub fn over(&mut self, conversation: u64, now: Duration) {
        if self.talking.remove(&conversation) {
            self.pause_from(now);
        }
    }

    fn pause_from(&mut self, now: Duration) {
        self.next = now.saturating_add(self.pause);
        self.pause = (self.pause * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests;
