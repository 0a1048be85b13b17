//! The arrival of a Clearway under a name that is taken: it asks the one that has the name for its sockets, and what
//! that comes to decides whether it asks again, and when.
//!
//! ```text
//!   take the name ---- it is free ----------------------------------------------------> begins alone
//!     ^    | taken: knock at the door
//!     |    |---------- it answers with its sockets -----------------------------------> begins with them
//!     |    |---------- it refuses -----------------------------------------------------> leaves
//!     |    |---------- [`Heard::Nobody`]: the other one has just begun, or is about to leave
//!     |    |---------- [`Heard::Gone`]: it has ended while it was asked: its name is free, now or in a moment
//!     |    '---------- [`Heard::NotYet`]: another takeover is under way there
//!     '-- after a pause, as long as there is [patience](Patience)
//! ```
//!
//! Time spent in a conversation does not count: a predecessor may be busy with a reload for minutes, and one that ends
//! then leaves a free name, which nobody else takes.

use std::time::Duration;

use crate::patience::{Patience, Persistence};

/// How long a name may be taken with nobody at its door; also how long the name of one that has ended may take to be
/// free, as a process that is killed closes its descriptors one after the other.
const IN_BETWEEN: Patience = Patience::new(Duration::from_millis(100), Duration::from_secs(2));

/// How long another takeover may be under way.
const ANOTHER_TAKEOVER: Patience = Patience::new(Duration::from_millis(500), Duration::from_secs(30));

/// When a successor tries to take the name of a predecessor that has died before it gave it: ten times a second for ten
/// seconds, and then every five seconds, because as long as it has none no other Clearway can take over from it.
pub const NAME_OF_THE_DEAD: Persistence = Persistence::new(
    Patience::new(Duration::from_millis(100), Duration::from_secs(10)),
    Duration::from_secs(5),
);

/// When one that has the name tries to open its door, if it cannot: a directory may come later, descriptors may be free.
pub const DOOR: Persistence =
    Persistence::new(Patience::new(Duration::from_secs(1), Duration::ZERO), Duration::from_secs(1));

/// What asking for the sockets has come to, if it was neither yes nor no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The name is taken, and its door closed.
    Nobody,
    /// The one that was asked has ended before it answered.
    Gone,
    /// Another takeover is under way there, or has just been done.
    NotYet,
}

/// A newcomer that waits for a name.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    in_between: Patience,
    another: Patience,
}

impl Default for Arrival {
    fn default() -> Self {
        Self { in_between: IN_BETWEEN, another: ANOTHER_TAKEOVER }
    }
}

impl Arrival {
    /// How long to pause before the name is tried again; unset if the newcomer is to leave.
    pub fn hear(&mut self, heard: Heard) -> Option<Duration> {
        match heard {
            Heard::Nobody | Heard::Gone => self.in_between.again(),
            Heard::NotYet => {
                // It lives, and answers: if it ends later, that is another beginning.
                self.in_between.renew();
                self.another.again()
            }
        }
    }
}

#[cfg(test)]
mod tests;
