//! A hook for the tests: each step of a reload, in the core's own names.
//!
//! No shipped binary has it: without the feature `test-steps` all of this is an empty function. With it, and where
//! `CLEARWAY_TEST_STEPS` names a unix socket, Clearway connects there and says before each step what it is
//! about to do:
//!
//! ```text
//!   Clearway  -- takes Prepared { generation: Generation(2), plumbing: NotNeeded, ... }\n -->  test
//!   Clearway  <-- any byte: go on ------------------------------------------------------  test
//! ```
//!
//! `hears` what a thread of the shell says, `takes` an event into the core, `does` an action; the thread that lets a
//! generation prove itself `asks` for its sockets. Meanwhile the loop stands still; HAProxy and the clients do not.

#[cfg(feature = "test-steps")]
mod told;
#[cfg(feature = "test-steps")]
pub use told::at;

/// Nothing: this binary was built without the feature `test-steps`.
#[cfg(not(feature = "test-steps"))]
pub fn at(_verb: &str, _step: &dyn std::fmt::Debug) {}
