//! `clearway run`: the start, the loop, and the signals; `clearway hold` likewise ([`hold`]).
//!
//! Signals, ended children, the admin socket, the threads that prove a generation, and the clock: each
//! becomes an event for the core, and what the core answers is carried out by the shell, in order.

mod boot;
mod event_loop;
pub mod hold;
mod notices;
mod signals;

pub use boot::run;
pub use notices::RuntimeNotice;
