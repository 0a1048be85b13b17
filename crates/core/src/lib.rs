//! Clearway's pure decisions.
//!
//! This crate owns what Clearway *decides*: the settings, the exit codes, the life of generations. It
//! does no I/O, has no clock and no threads, and depends on no other crate of the house; the shell
//! (`crates/clearway`) carries out what is decided here. Begin reading in [`supervisor`].

#![forbid(unsafe_code)]

pub mod cost;
pub mod count;
pub mod cutover;
pub mod exit;
pub mod failure;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod hints;
pub mod inquiry;
pub mod intercept;
pub mod names;
pub mod notice;
pub mod path;
pub mod peers;
pub mod programs;
pub mod settings;
pub mod signal;
pub mod strategy;
pub mod supervisor;
pub mod watching;
