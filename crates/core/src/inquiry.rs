//! When the HAProxy that serves is asked for the state of its servers.
//!
//! ```text
//!            begins               asked                 heard
//!   nothing -------> at once ------------> no answer yet -------> TOGETHER with other things; when HAProxy says
//!                       ^                                              something on its standard error, AT LEAST
//!                       '----------------------------------------------- after the last answer
//! ```
//!
//! HAProxy says so when a server goes down or comes back, so that is known within a second, and one that has nothing to
//! say is asked seldom: for what was set over its runtime API, and because it may be told to be quiet; but closely while
//! sessions of old generations depend on the answer ([`OldServers`]). Asking takes a hundredth of the time at most, a tenth
//! then. Time is a duration since the beginning.

use std::time::Duration;

mod glances;
mod old_servers;

pub use glances::{CLOSE, Glances};
pub use old_servers::{OldServer, OldServers, SeenAs};

/// How often one is asked, or looked at, that says nothing.
pub const EVERY: Duration = Duration::from_secs(10);

/// The next time, not before that, for everything that is done so seldom: at once, so that one wake-up is for all.
pub fn together(earliest: Duration) -> Duration {
    let begun = u32::try_from(earliest.as_nanos().div_ceil(EVERY.as_nanos())).unwrap_or(u32::MAX);
    EVERY.saturating_mul(begun)
}

/// How long there is between an answer and the next question in any case.
pub const AT_LEAST: Duration = Duration::from_secs(1);

/// How long after its words. One that reloads itself says so, and loses what comes to its master CLI in that moment.
pub const AFTERWARDS: Duration = Duration::from_millis(250);

/// Which part of the time may be spent asking.
const SHARE: u32 = 100;

/// The same while old sessions depend on it: on a busy machine an answer takes some tenths of a second.
const CLOSE_SHARE: u32 = 10;

/// How often one is asked that says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attention {
    /// Together with other things ([`EVERY`]).
    #[default]
    Seldom,
    /// As often as is allowed ([`AT_LEAST`]).
    Close,
}

/// The questions to one generation after the other.
#[derive(Debug, Default)]
pub struct Inquiry {
    /// Unset while an answer is awaited, or nothing serves.
    next: Option<Duration>,
    /// Not before that, whatever is said.
    earliest: Duration,
    /// Whether HAProxy has said something since it was asked.
    said: bool,
    pace: Attention,
}

impl Inquiry {
    /// A generation serves from now on: it is asked at once.
    pub fn begins(&mut self, now: Duration) {
        *self = Self { next: Some(now), earliest: now, ..Self::default() };
    }

    /// When to ask.
    pub fn due(&self) -> Option<Duration> {
        self.next
    }

    /// Whether it would change anything if HAProxy said something.
    pub fn listens(&self) -> bool {
        !self.said
    }

    /// HAProxy has said something.
    pub fn said(&mut self, now: Duration) {
        self.said = true;
        self.next = self.next.map(|next| next.min(self.earliest.max(now.saturating_add(AFTERWARDS))));
    }

    /// It is asked now, and so often afterwards.
    pub fn asked(&mut self, pace: Attention) {
        *self = Self { next: None, said: false, pace, ..*self };
    }

    /// It has answered, and took so long. What it says meanwhile may be about something that is not in the answer.
    pub fn heard(&mut self, took: Duration, now: Duration) {
        let share = if self.pace == Attention::Close { CLOSE_SHARE } else { SHARE };
        self.pause(took.saturating_mul(share), now);
    }

    /// It has not answered within so long: one that hangs is cheap to ask, and may answer again at any time.
    pub fn unanswered(&mut self, waited: Duration, now: Duration) {
        self.pause(waited, now);
    }

    fn pause(&mut self, pause: Duration, now: Duration) {
        let pause = pause.max(AT_LEAST);
        self.earliest = now.saturating_add(pause);
        let soon = self.said || self.pace == Attention::Close;
        self.next = Some(if soon { self.earliest } else { together(self.earliest) });
    }
}

#[cfg(test)]
mod tests;
