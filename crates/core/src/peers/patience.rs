//! How often something is tried again that others may bring about, and how long that is put up with.
//!
//! Only the pauses between two tries count: however long a try itself takes (another Clearway may be busy with a reload
//! for minutes before it answers), it uses up nothing. So there is no clock here, and a machine that stands still for a
//! while changes nothing either.

use std::time::Duration;

/// Tries with a pause between them, for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pause: Duration,
    limit: Duration,
    spent: Duration,
}

impl Patience {
    /// Nothing was tried yet. Pauses of `pause` make up `limit` at most.
    pub const fn new(pause: Duration, limit: Duration) -> Self {
        Self { pause, limit, spent: Duration::ZERO }
    }

    /// A try has come to nothing: how long to pause before the next one, unset if it was the last.
    pub fn again(&mut self) -> Option<Duration> {
        let spent = self.spent.saturating_add(self.pause);
        if spent > self.limit {
            return None;
        }
        self.spent = spent;
        Some(self.pause)
    }

    /// It has succeeded: the next time begins anew.
    pub fn renew(&mut self) {
        self.spent = Duration::ZERO;
    }
}

/// Tries that never end: often at first, and seldom when that has come to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    often: Patience,
    seldom: Duration,
    said: bool,
}

/// The next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// How long to pause before it.
    pub pause: Duration,
    /// Whether to say that it has come to nothing so far: once, when the tries become seldom.
    pub say: bool,
}

impl Persistence {
    /// Nothing was tried yet. Pauses of `seldom` follow when the patience is at its end.
    pub const fn new(often: Patience, seldom: Duration) -> Self {
        Self { often, seldom, said: false }
    }

    /// A try has come to nothing.
    pub fn again(&mut self) -> Again {
        match self.often.again() {
            Some(pause) => Again { pause, say: false },
            None => Again { pause: self.seldom, say: !std::mem::replace(&mut self.said, true) },
        }
    }

    /// It has succeeded: the next time begins anew. Says whether it was said that it failed.
    pub fn renew(&mut self) -> bool {
        self.often.renew();
        std::mem::take(&mut self.said)
    }
}

#[cfg(test)]
mod tests;
