//! The entry point's contract: what the first argument decides.
//!
//! The image's ENTRYPOINT is `clearway`, and people write after it what they wrote for other HAProxy
//! images:
//!
//! | first argument | means |
//! |---|---|
//! | `haproxy`, or anything with a `-` in front but `--help` and `--version` | supervise HAProxy with these arguments |
//! | a subcommand of Clearway | that subcommand |
//! | anything else | execute it in place (`docker run -it image bash`) |
//!
//! This module only decides; it touches nothing.

use std::ffi::OsString;

/// Clearway's subcommands; everything else that is not for HAProxy is executed in place.
pub const SUBCOMMANDS: [&str; 13] = [
    "run", "hold", "reload", "status", "health", "drain", "stop", "cleanup", "check", "doctor", "man",
    "settings", "help",
];

/// What is to be done with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `clearway run -- ARGUMENTS`: supervise HAProxy.
    Supervise(Vec<OsString>),
    /// Clearway's own command line, to be parsed by clap.
    Own(Vec<OsString>),
    /// Execute this program in place.
    Execute(Vec<OsString>),
}

/// Decides what a command line (without the program's own name) means.
pub fn route(arguments: Vec<OsString>) -> Entry {
    let first = arguments.first().and_then(|first| first.to_str());
    match first {
        None if arguments.is_empty() => Entry::Own(arguments),
        Some("--help" | "--version") => Entry::Own(arguments),
        Some("haproxy") => Entry::Supervise(arguments),
        Some(first) if first.starts_with('-') => Entry::Supervise(arguments),
        Some(first) if SUBCOMMANDS.contains(&first) => Entry::Own(arguments),
        _ => Entry::Execute(arguments),
    }
}

#[cfg(test)]
mod tests;
