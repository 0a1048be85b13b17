//! What is different between two configurations, and how a running HAProxy can be brought from one to the other.
//!
//! Answers with data ([`Verdict`]); what it does not understand is a reload (docs/decisions/0047-apply.md). Only `transaction`
//! speaks, over a connection that it is given.

mod capabilities;
mod expected;
pub mod plan;

pub use capabilities::Capabilities;
pub use expected::Expected;
pub use plan::{Effect, Expect, Order, Plan, Reason, Step, StepKind, Tally, Verdict};

use crate::configuration::Configuration;

/// What a change of the files comes to, and what HAProxy must say of its servers before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// What is to be done.
    pub verdict: Verdict,
    /// What `show servers state` must say; empty unless something is done at run time.
    pub expected: Expected,
}

/// [`comparison`] without what is expected of the servers.
pub fn compare(old: &Configuration, new: &Configuration, can: &Capabilities) -> Verdict {
    comparison(old, new, can).verdict
}

/// Compares the configuration that runs with the one that is to run. Looks at the lines alone: what has changed in the files
/// that they name is not its business.
pub fn comparison(old: &Configuration, new: &Configuration, _can: &Capabilities) -> Comparison {
    let same = old.files == new.files;
    let reason = Reason { place: String::new(), what: "the configuration has changed".to_owned() };
    let verdict = if same { Verdict::Same } else { Verdict::Reload(vec![reason]) };
    Comparison { verdict, expected: Expected::default() }
}
