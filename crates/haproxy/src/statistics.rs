//! What HAProxy counts (`show stat`), joined over several processes of it, under the names of its own Prometheus exporter.
//!
//! ```text
//!   show stat --> StatReader: a line at a time --> StatSample: a number for each field of each frontend, backend, server
//!                                                     |
//!       of those that have ended: their counters --> add <-- of each that lives, the one that serves among them
//! ```
//!
//! A column is found by its name in the first line of the answer, so that a version may have more of them or fewer. A field
//! says how its numbers are joined ([`Joining`]): what is counted is added up, what a limit, a weight or a state is comes from the
//! process that serves. What a name or a number is that comes from outside is never trusted: a line that is none is left out.

use std::collections::BTreeMap;

mod fields;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod reading;
mod scope;

pub use fields::{FIELDS, Joining, StatField, Unit};
pub use reading::StatReader;
pub use scope::Scope;

/// A frontend, a backend or a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatObject {
    /// Which of them.
    pub scope: Scope,
    /// The section of the file.
    pub proxy: String,
    /// The server; empty if it is none.
    pub server: String,
}

/// The place of a number that HAProxy did not say.
const UNSAID: i64 = i64::MIN;

/// What is known of an object: a number for each of [`FIELDS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatNumbers(Box<[i64]>);

impl Default for StatNumbers {
    fn default() -> Self {
        Self(vec![UNSAID; FIELDS.len()].into())
    }
}

impl StatNumbers {
    /// The number of one of [`FIELDS`], by its place there.
    pub fn get(&self, field: usize) -> Option<i64> {
        self.0.get(field).copied().filter(|number| *number != UNSAID)
    }

    fn set(&mut self, field: usize, number: Option<i64>) {
        if let (Some(place), Some(number)) = (self.0.get_mut(field), number) {
            *place = number;
        }
    }

    /// Changes each number of which `one` makes something.
    fn each(&mut self, other: &Self, one: impl Fn(Joining, Option<i64>, i64) -> Option<i64>) {
        for (place, field) in FIELDS.iter().enumerate() {
            if let Some(number) = other.get(place) {
                self.set(place, one(field.joining, self.get(place), number));
            }
        }
    }
}

/// What is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatOf {
    /// The process that serves: limits, weights and states are its.
    Serving,
    /// One that drains.
    Draining,
    /// One that drains, and counts in memory that it shares with the one that serves.
    Sharing,
    /// One that has ended: its counters are all that is left.
    Ended,
}

/// What a process has said, or several of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatSample(BTreeMap<StatObject, StatNumbers>);

impl StatSample {
    /// Each object with its numbers, the frontends first.
    pub fn all(&self) -> impl Iterator<Item = (&StatObject, &StatNumbers)> {
        self.0.iter()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what another process has said.
    pub fn add(&mut self, other: &Self, of: StatOf) {
        for (object, numbers) in &other.0 {
            self.0.entry(object.clone()).or_default().each(numbers, |joining, known, number| {
                let adds = match joining {
                    Joining::Counter => of != StatOf::Sharing,
                    Joining::Sum | Joining::Greatest => of != StatOf::Ended,
                    Joining::Serving => of == StatOf::Serving,
                };
                let joined = match (joining, known) {
                    (Joining::Counter | Joining::Sum, Some(known)) => known.saturating_add(number),
                    (Joining::Greatest, Some(known)) => known.max(number),
                    _ => number,
                };
                adds.then_some(joined)
            });
        }
    }

    /// What was counted since another sample of the same process: the counters are less by that, all else is as it is.
    #[must_use]
    pub fn since(mut self, before: &Self) -> Self {
        for (object, numbers) in &before.0 {
            if let Some(mine) = self.0.get_mut(object) {
                mine.each(numbers, |joining, known, number| {
                    let counts = joining == Joining::Counter;
                    known.filter(|_| counts).map(|known| known.saturating_sub(number).max(0))
                });
            }
        }
        self
    }

    /// Keeps the objects that one of these has: what no file has any more is forgotten.
    pub fn keep_those_of(&mut self, living: &[&Self]) {
        self.0.retain(|object, _| living.iter().any(|one| one.0.contains_key(object)));
    }
}

#[cfg(test)]
mod tests;
