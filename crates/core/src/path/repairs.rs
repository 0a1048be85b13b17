//! How long to wait until the next look: a moment, unless another process removes again what was put back, again and again.
//!
//! A process that removes our rules once, or once in a few seconds, does so in one go: after 10 ms it is over. Against
//! one that does nothing else there is no winning: then the pauses grow to `LONGEST`, which settles at some 25 repairs a
//! minute. Looks that find nothing (another Clearway of this instance changes its rules) are cheap, and stay within a
//! second.

use std::collections::VecDeque;
use std::time::Duration;

/// How long others have to finish what they do. Short: a client that connects meanwhile waits a second longer, until the
/// kernel sends the SYN again.
const SOON: Duration = Duration::from_millis(10);
/// Half of the first pause that is longer.
const LONGER: Duration = Duration::from_millis(100);
/// The pause where many looks find nothing.
const OFTEN: Duration = Duration::from_millis(800);
/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(15);

/// What counts as "again and again": more than so many repairs within [`WINDOW`].
pub const FREE: usize = 20;
/// So many looks within [`WINDOW`] are many.
const MANY: usize = 60;
/// For how long a repair counts.
pub const WINDOW: Duration = Duration::from_mins(1);

/// What has happened within the last minute.
#[derive(Debug, Default)]
pub(super) struct RepairPace {
    repairs: VecDeque<Duration>,
    looks: VecDeque<Duration>,
}

impl RepairPace {
    /// A look is over, and had to put something back or not.
    pub(super) fn looked(&mut self, repaired: bool, now: Duration) {
        remember(&mut self.looks, now);
        if repaired {
            remember(&mut self.repairs, now);
        }
    }

    /// How long to wait from a hint to the look.
    pub(super) fn pause(&self, now: Duration) -> Duration {
        match recent(&self.repairs, now).checked_sub(FREE) {
            Some(over) => {
                // 0.2 s, 0.4 s, 0.8 s, ...
                let doublings = u32::try_from(over).unwrap_or(u32::MAX).saturating_add(1);
                LONGER.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST)
            }
            None if recent(&self.looks, now) >= MANY => OFTEN,
            None => SOON,
        }
    }

    /// Whether the last look is as long ago as a hint would have to wait.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.looks.back().is_none_or(|last| now.saturating_sub(*last) >= self.pause(now))
    }

    /// Whether another process removes again and again.
    pub(super) fn is_fight(&self, now: Duration) -> bool {
        recent(&self.repairs, now) >= FREE
    }
}

fn remember(times: &mut VecDeque<Duration>, now: Duration) {
    if times.len() >= MANY {
        times.pop_front();
    }
    times.push_back(now);
}

fn recent(times: &VecDeque<Duration>, now: Duration) -> usize {
    times.iter().filter(|at| now.saturating_sub(**at) < WINDOW).count()
}

#[cfg(test)]
mod tests;
