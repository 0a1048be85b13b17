//! When a round of questions begins, and whether its answers still count when they come.
//!
//! ```text
//! Resting --wake--> Unknown --heard--> Known --rest--> Resting
//!                      \------rest-------------------/
//! ```
//!
//! A round is asked beside the loop and may take minutes where servers are silent. What it comes to counts only if its
//! round is the one that is awaited: after [`Schedule::rest`] none is.

use std::time::Duration;

/// How soon something that is wrong is looked at again; twice as long each time.
pub const SOON: Duration = Duration::from_secs(5);

/// The longest time between two looks at something that is wrong.
pub const SELDOM: Duration = Duration::from_mins(5);

/// One round of questions, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round(u64);

/// How much is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CanaryState {
    /// Nothing transparent serves.
    Resting,
    /// Something does, since then, and nothing is known of its servers yet.
    Unknown(Duration),
    /// There was a first answer.
    Known,
}

/// A round that is awaited.
#[derive(Clone, Copy, Debug)]
struct Asking {
    round: Round,
    since: Duration,
    /// Something has changed since it began.
    again: bool,
}

/// The state of the questions.
#[derive(Debug)]
pub struct Schedule {
    every: Option<Duration>,
    state: CanaryState,
    asking: Option<Asking>,
    rounds: u64,
    ask_at: Option<Duration>,
    /// From one look to the next, while something is wrong.
    pause: Duration,
}

/// What a round has come to, as far as the schedule is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundResult {
    /// Every server finds the way, and nothing is in it.
    Well,
    /// Something is wrong or not known.
    Wrong,
}

impl Schedule {
    /// Nothing transparent serves yet. `every`: how often servers are asked that are well.
    pub fn new(every: Option<Duration>) -> Self {
        Self { every, state: CanaryState::Resting, asking: None, rounds: 0, ask_at: None, pause: SOON }
    }

    /// Something transparent serves; its servers follow.
    pub fn wake(&mut self, now: Duration) {
        if self.state == CanaryState::Resting {
            self.state = CanaryState::Unknown(now);
        }
    }

    /// There are other servers, or something else has changed that they depend on: they are asked at once, or once more
    /// if they are being asked.
    pub fn changed(&mut self, now: Duration) {
        self.pause = SOON;
        match &mut self.asking {
            Some(asking) => asking.again = true,
            None => self.ask_at = Some(now),
        }
    }

    /// There is no server to ask.
    pub fn nothing_to_ask(&mut self) {
        (self.ask_at, self.asking, self.pause, self.state) = (None, None, SOON, CanaryState::Known);
    }

    /// Nothing transparent serves. What is still on its way does not count any more.
    pub fn rest(&mut self) {
        (self.ask_at, self.asking, self.pause, self.state) = (None, None, SOON, CanaryState::Resting);
    }

    /// When a round is to begin; unset while one is awaited, and if there is nothing to ask.
    pub fn due(&self) -> Option<Duration> {
        self.ask_at
    }

    /// A round begins.
    pub fn ask(&mut self, now: Duration) -> Round {
        self.rounds += 1;
        let round = Round(self.rounds);
        self.ask_at = None;
        self.asking = Some(Asking { round, since: now, again: false });
        round
    }

    /// The round that has begun could not be asked: not soon again.
    pub fn could_not_ask(&mut self, now: Duration) {
        self.asking = None;
        self.ask_at = Some(now + SELDOM);
    }

    /// Whether a round is awaited.
    pub fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Whether the answers of a round count.
    pub fn awaits(&self, round: Round) -> bool {
        self.asking.is_some_and(|asking| asking.round == round)
    }

    /// What the round that is awaited has come to.
    pub fn heard(&mut self, seen: RoundResult, now: Duration) {
        let Some(asking) = self.asking.take() else { return };
        self.state = CanaryState::Known;
        self.ask_at = match seen {
            _ if asking.again => Some(now),
            RoundResult::Wrong => {
                let pause = self.pause;
                self.pause = (pause * 2).min(SELDOM);
                Some(now + self.every.map_or(pause, |every| every.min(pause)))
            }
            RoundResult::Well => {
                self.pause = SOON;
                self.every.map(|every| now + every)
            }
        };
    }

    /// Whether nothing is known although something transparent serves.
    pub fn knows_nothing(&self) -> bool {
        matches!(self.state, CanaryState::Unknown(_))
    }

    /// Whether nothing transparent serves.
    pub fn is_resting(&self) -> bool {
        self.state == CanaryState::Resting
    }

    /// For how long servers have been waited for: since something transparent serves, or since the round that is awaited
    /// has begun. Unset if none are.
    pub fn waiting(&self, now: Duration) -> Option<Duration> {
        let since = match (self.state, self.asking) {
            (CanaryState::Unknown(since), _) => since,
            (_, Some(asking)) => asking.since,
            _ => return None,
        };
        Some(now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests;
