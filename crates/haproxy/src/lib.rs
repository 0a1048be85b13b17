//! HAProxy as a foreign program: everything Clearway knows about it from outside.
//!
//! The crate reads what the user gave HAProxy ([`command_line`], [`configuration`]), says what is added to it
//! ([`overlay`]), speaks its protocols over private sockets ([`sockpair`], [`getsocks`], [`runtime`]), tells
//! sockets apart ([`inventory`]), makes copies of the files with other ports ([`derived`]), knows whether the files have changed since ([`drift`]) and explains its last
//! words ([`complaint`], each of them a [`mod@line`]), and joins what several of it have counted ([`statistics`]).
//!
//! It promises that nothing read from outside can panic it, that every call that can block takes a limit, and
//! that every descriptor is close-on-exec from birth. It does not start HAProxy, send signals or keep an event
//! loop: the shell (`crates/clearway`) does. The facts behind it were measured with HAProxy 2.6.12, 3.0.11 and
//! 3.2.26; where a version matters, it is named.
#![forbid(unsafe_code)]

pub mod carry;
pub mod change;
pub mod command_line;
pub mod complaint;
pub mod configuration;
mod deadline;
pub mod derived;
pub mod drift;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod getsocks;
pub mod inventory;
pub mod line;
pub mod marked_down;
pub mod master_cli;
pub mod overlay;
mod quoted;
pub mod runtime;
pub mod sockpair;
pub mod statistics;
pub mod version;
