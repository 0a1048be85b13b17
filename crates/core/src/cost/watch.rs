//! One window: how often is looked, when it is over, and what it has come to.

use std::time::Duration;

use super::counters::NetworkCounters;
use super::figures::{Cost, CostBefore, CostFigures};
use super::sockets::{CostLook, SocketFigures, SocketWatch};

/// How long there is between two looks.
pub const PACE: Duration = Duration::from_millis(10);

/// How long is looked after a window.
pub const AFTER: Duration = Duration::from_secs(1);

/// Which part of the time may be spent looking.
const SHARE: u32 = 10;

/// A window that is long is looked at in so many looks: a restart that is tried for hours is no reason to be busy.
const LOOKS: u32 = 1000;

/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(1);

/// A window that is being looked at, and the time after it.
#[derive(Debug)]
pub struct CostWatch {
    sockets: SocketWatch,
    before: Option<CostBefore>,
    /// When this part of the time began.
    since: Duration,
    /// What the counters were then.
    counters: NetworkCounters,
    window: Option<CostFigures>,
}

impl CostWatch {
    /// A window begins.
    pub fn begin(counters: NetworkCounters, before: Option<CostBefore>, now: Duration) -> Self {
        Self { sockets: SocketWatch::default(), before, since: now, counters, window: None }
    }

    /// What was seen; nothing if it could not be looked.
    pub fn look(&mut self, look: Option<CostLook>) {
        match look {
            Some(look) => self.sockets.look(look),
            None => self.sockets.fail(),
        }
    }

    /// How long until the next look, after one that took so long; none: the time after the window is over.
    pub fn pause(&self, took: Duration, now: Duration) -> Option<Duration> {
        let elapsed = now.saturating_sub(self.since);
        let dear = took.saturating_mul(SHARE);
        let pause = PACE.max(elapsed / LOOKS).max(dear).min(LONGEST);
        match self.window {
            None => Some(pause),
            Some(_) if elapsed >= AFTER => None,
            Some(_) => Some(pause.min(AFTER.saturating_sub(elapsed))),
        }
    }

    /// The window has ended, and was looked at once more. `counters`: before that look and after it. What was sent between
    /// them is counted for the time after, where its reason is seen.
    pub fn end(&mut self, counters: [NetworkCounters; 2], now: Duration) -> Cost {
        let [before, after] = counters;
        let window = self.part(before, after, now);
        self.window = Some(window);
        Cost { before: self.before, window, after: None, gate: None }
    }

    /// The time after it is over, and was looked at once more; nothing if the window has never ended.
    pub fn conclude(mut self, counters: NetworkCounters, now: Duration) -> Option<Cost> {
        let window = self.window?;
        let after = Some(self.part(counters, counters, now));
        Some(Cost { before: self.before, window, after, gate: None })
    }

    /// The counters that this part ends with, and those after its last look.
    fn part(&mut self, counters: NetworkCounters, latest: NetworkCounters, now: Duration) -> CostFigures {
        let network = counters.since(self.counters);
        let SocketFigures { dropped, reset, waited, waited_at_most, always_listened, none_closed } =
            self.sockets.end_part();
        // A namespace that has sent no RST at all, from before the first look until after the last, has refused and reset no
        // client.
        let is_quiet = latest.since(self.counters).resets_sent == Some(0);
        let seconds = now.saturating_sub(self.since);
        (self.since, self.counters) = (now, counters);
        CostFigures {
            seconds,
            refused: (is_quiet || always_listened).then_some(0),
            reset: if is_quiet || none_closed { Some(0) } else { reset },
            dropped,
            waited,
            waited_at_most,
            network,
        }
    }
}
