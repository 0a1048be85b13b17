//! What a generation has of the state of the servers that the former one knew, for the log, the answer and the status.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::count::some;
use crate::notice::parts;

/// How many servers a log line names.
const NAMED: usize = 8;

/// What came of carrying the state of servers over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// What was set, a server after the other: `web/s1: down`.
    pub set: Vec<String>,
    /// What was not, each with its reason.
    pub left: Vec<String>,
    /// Set if nothing could be asked any more: how old the state is that was used, in seconds.
    pub age_seconds: Option<u64>,
}

impl Carried {
    /// Nothing was carried, for this reason.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { left: vec![why.into()], ..Self::default() }
    }

    /// Both, this one first.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let set = self.set.into_iter().chain(other.set).collect();
        let left = self.left.into_iter().chain(other.left).collect();
        Self { set, left, age_seconds: self.age_seconds.or(other.age_seconds) }
    }

    /// Whether there is nothing to be said.
    pub fn is_nothing(&self) -> bool {
        self.set.is_empty() && self.left.is_empty()
    }
}

parts! {
    Carried as carried {
        set: Vec<String> = carried.set.clone(),
        left: Vec<String> = carried.left.clone(),
        age_seconds: Option<u64> = carried.age_seconds,
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.set.as_slice() {
            [] => f.write_str("nothing was carried over")?,
            set => write!(f, "carried over: {}", some(set, NAMED))?,
        }
        if let Some(age) = self.age_seconds {
            write!(f, " (as known {age} s ago)")?;
        }
        if !self.left.is_empty() {
            write!(f, "; not carried over: {}", some(&self.left, NAMED))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_some_and_counts_the_rest() {
        let set: Vec<String> = (0..10).map(|number| format!("b/s{number}: down")).collect();
        let carried = Carried { set, age_seconds: Some(3), left: vec!["b/x: because".into()] };
        let line = carried.to_string();
        assert!(line.starts_with("carried over: b/s0: down, "), "{line}");
        assert!(line.ends_with(" and 2 more (as known 3 s ago); not carried over: b/x: because"), "{line}");
        assert!(Carried::default().is_nothing());
        let tables = Carried { set: vec!["table t: 1 entry".into()], ..Carried::default() };
        assert!(tables.and(carried).to_string().starts_with("carried over: table t: 1 entry, b/s0: down, "));
    }
}
