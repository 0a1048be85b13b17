//! When the canary asks the transparent servers, whose answers count, and at which pace they are asked.
//!
//! [`schedule`] decides when a round begins, and which round's answers are of today; [`pace`] decides within a round
//! which server is asked when. No clock and no sockets: the time is told, as the time since an arbitrary beginning.

pub mod pace;
pub mod schedule;
