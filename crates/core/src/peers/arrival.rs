//! The arrival of a Clearway: it takes the name of its instance, or asks the one that has it for its sockets, and then a
//! holder for what that has kept.
//!
//! ```text
//!   TakeName ---- Taken --------------------------------------------------> AskHolder ----> Begin, alone
//!     ^    | NotFree: Knock                                                    ^
//!     |    |---------- Given: it answers with its sockets --------------------'-----------> Begin, with them
//!     |    |---------- Refused ------------------------------------------------> Leave
//!     |    |---------- NoAnswer: no process is at its door; it has just begun, or is about to leave
//!     |    |---------- Gone: it has ended while it was asked: its name is free, now or in a moment
//!     |    '---------- NotYet: another takeover is under way there
//!     '-- after a pause, as long as there is [patience](Patience)
//! ```
//!
//! Time spent in a conversation does not count: a predecessor may be busy with a reload for minutes, and one that ends
//! then leaves a free name, which no other process takes.

use std::time::Duration;

use super::patience::Patience;

/// How long a name may be taken while no process is at its door; also how long the name of one that has ended may take to
/// be free, as a process that is killed closes its descriptors one after the other.
const IN_BETWEEN: Patience = Patience::new(Duration::from_millis(100), Duration::from_secs(2));

/// How long another takeover may be under way.
const ANOTHER_TAKEOVER: Patience = Patience::new(Duration::from_millis(500), Duration::from_secs(30));

/// What the last action has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalEvent {
    /// The name is this one's; a private instance has one of its own.
    Taken,
    /// Another process has the name.
    NotFree,
    /// Its door is closed.
    NoAnswer,
    /// It has given its sockets.
    Given,
    /// It has ended before it answered.
    Gone,
    /// Another takeover is under way there, or has just been done.
    NotYet,
    /// It does not give them.
    Refused,
    /// The pause is over.
    Paused,
    /// The holder has said what it has, or there is none.
    Asked,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalAction {
    /// Take the name, if it is free.
    TakeName,
    /// Knock at the door of the Clearway that has the name, and ask for its sockets.
    Knock,
    /// Wait for so long.
    Pause(Duration),
    /// Ask the holder what it has kept.
    AskHolder,
    /// Begin with what was given.
    Begin,
    /// Leave, for the reason that was heard last.
    Leave,
}

/// A Clearway before it begins.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    is_private: bool,
    in_between: Patience,
    another: Patience,
}

impl Arrival {
    /// Nothing was tried yet: [`ArrivalAction::TakeName`] is first. A private instance has a name of its own, and no holder.
    pub fn new(is_private: bool) -> Self {
        Self { is_private, in_between: IN_BETWEEN, another: ANOTHER_TAKEOVER }
    }

    /// What follows.
    pub fn hear(&mut self, heard: ArrivalEvent) -> ArrivalAction {
        match heard {
            ArrivalEvent::Paused => ArrivalAction::TakeName,
            ArrivalEvent::NotFree if self.is_private => ArrivalAction::Leave,
            ArrivalEvent::NotFree => ArrivalAction::Knock,
            ArrivalEvent::Taken if self.is_private => ArrivalAction::Begin,
            ArrivalEvent::Taken | ArrivalEvent::Given => ArrivalAction::AskHolder,
            ArrivalEvent::Asked => ArrivalAction::Begin,
            ArrivalEvent::Refused => ArrivalAction::Leave,
            ArrivalEvent::NoAnswer | ArrivalEvent::Gone => pause(self.in_between.again()),
            ArrivalEvent::NotYet => {
                // It lives, and answers: if it ends later, that is another beginning.
                self.in_between.renew();
                pause(self.another.again())
            }
        }
    }
}

fn pause(again: Option<Duration>) -> ArrivalAction {
    again.map_or(ArrivalAction::Leave, ArrivalAction::Pause)
}

#[cfg(test)]
mod tests;
