//! When the children of HAProxy's own master are looked at: it may be signalled instead of Clearway, and replace its worker.
//!
//! A master that reloads says so on its standard error, and takes a while: then, and at its start, it is looked at closely.
//! One that says nothing, as with `quiet`, is looked at seldom, together with other things.

use std::time::Duration;

use super::together;

/// How long there is between two looks when HAProxy has just said something.
pub const CLOSE: Duration = Duration::from_millis(250);

/// How many such looks there are.
const LOOKS: u32 = 12;

/// The looks at one master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glances {
    /// How many close looks are left.
    close: u32,
}

impl Glances {
    /// It has just begun.
    pub const fn begin() -> Self {
        Self { close: LOOKS }
    }

    /// When to look next.
    pub fn next(self, now: Duration) -> Duration {
        let soon = now.saturating_add(CLOSE);
        if self.close > 0 { soon } else { together(soon) }
    }

    /// Whether it would change anything if HAProxy said something.
    pub fn listens(self) -> bool {
        self.close == 0
    }

    /// HAProxy has said something.
    pub fn said(&mut self) {
        *self = Self::begin();
    }

    /// It was looked at.
    pub fn looked(&mut self) {
        self.close = self.close.saturating_sub(1);
    }
}
