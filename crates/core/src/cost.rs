//! What a reload, a crash or a takeover cost new clients, as the kernel saw it.
//!
//! ```text
//!   before                         window                               after
//!   ...|----------------------|-----------------------------------|------------------|
//!      a glance, at most       Prepare, Apply, or end of          Attempted:          1 s later, or the next
//!      EVERY before            generation that served             it serves, or       window begins
//!                                                                  the former one does
//! ```
//!
//! Some figures are known for each socket: how many packets a listening socket has dropped, how many clients wait in its
//! queue, which ones, and whether it is closed. Others the kernel counts for the whole network namespace only
//! ([`NetworkCounters`]), where other programs reset connections as well: they are never mixed, and what was not measured is not
//! a figure ([`CostFigures`]).
//!
//! [`CostWindows`] decides when a window begins and ends, [`CostWatch`] how often is looked and what the looks come to, and
//! [`Baseline`] which glance is the one before. Time is a duration since some beginning. Decision 0042.

mod baseline;
mod counters;
mod figures;
mod sockets;
mod watch;
mod windows;

pub use baseline::Baseline;
pub use counters::NetworkCounters;
pub use figures::{Cost, CostBefore, CostFigures, CostGate};
pub use sockets::{ClientEnds, CostLook, QueueSeen};
pub use watch::{AFTER, CostWatch, PACE};
pub use windows::{CostStep, CostWindows};

#[cfg(test)]
mod tests;
