//! What every room stands on: threads beside the loop, the clock, the other end of a connection, failures with their
//! remedy, the way of notices to the log, what the subcommands write,
//! the loop that steps a machine, hooks for the tests.
//!
//! It knows no room.

pub mod accounts;
pub mod aside;
pub mod clock;
pub mod credentials;
pub mod due;
pub mod execute;
pub mod failure;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod notice;
pub mod own_file;
pub mod places;
pub mod print;
pub mod settle;
pub mod steps;
