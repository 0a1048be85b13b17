//! What is different between two configurations, and how a running HAProxy can be brought from one to the other.
//!
//! Answers with data ([`Verdict`]); what it does not understand is a reload (docs/decisions/0047-apply.md). Only `transaction`
//! speaks, over a connection that it is given.

pub mod plan;

pub use plan::{Effect, Expect, Order, Plan, Reason, Step, StepKind, Tally, Verdict};
