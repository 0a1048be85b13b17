//! Clearway's pure decisions.
//!
//! This crate owns what Clearway *decides*: the settings, what a configuration asks for, the life of
//! generations. It does no I/O, has no clock and no threads, and depends on no other crate of the
//! house; the shell (`crates/clearway`) carries out what is decided here.

#![forbid(unsafe_code)]

pub mod names;
