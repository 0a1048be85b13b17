//! Which strategies this kernel and these capabilities allow, asked before anything is touched: at the start, and by
//! `clearway doctor`. Changes nothing.

use clearway_core::failure::Failure;
use clearway_core::strategy::Strategy;
use clearway_haproxy::configuration::Configuration;
use clearway_kernel::gate::{Gate, Manner};
use clearway_kernel::steering::Present;

use crate::cutover::redirection;
use crate::ground::failure::Unavailable;

/// Why a strategy cannot be had here, if so.
pub fn check(strategy: Strategy) -> Result<(), Unavailable> {
    let of_a_gate = |manner| Gate::probe(manner).map_err(|error| Unavailable::of(strategy, &error));
    match strategy {
        // These take what can be had.
        Strategy::Auto | Strategy::Handoff => Ok(()),
        // To know which clients wait: `sock_diag` for TCP, which may be a module.
        Strategy::Reuseport => Present::now().map(drop).map_err(|error| Unavailable::of(strategy, &error)),
        Strategy::TableFlip => redirection::probe(),
        Strategy::SynDrop => of_a_gate(Manner::Drop),
        Strategy::Plug => of_a_gate(Manner::Hold),
    }
}

/// What is wrong with a strategy for these files, if something is.
pub fn check_files(strategy: Strategy, configuration: &Configuration) -> Result<(), Failure> {
    match strategy {
        Strategy::TableFlip => redirection::can_be_copied(configuration),
        _ => Ok(()),
    }
}

/// What a strategy is, in a few words.
pub fn summary(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Handoff => {
            "the listening sockets are handed over; what HAProxy does not recognise is steered"
        }
        Strategy::Reuseport => {
            "sockets are bound beside the former ones, and new connections steered to them"
        }
        Strategy::SynDrop => "SYNs are dropped while the former sockets are closed",
        Strategy::Plug => "SYNs wait while the former sockets are closed",
        Strategy::TableFlip => "new connections are redirected to private ports",
        Strategy::Auto => "`handoff`, and the best that can be had for what cannot be steered",
    }
}
