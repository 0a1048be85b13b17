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
//! Under the name `haproxy` (module [`guise`](crate::cli::guise)) all arguments are HAProxy's.
//!
//! This module only decides; it touches nothing.

use std::ffi::OsString;

use clearway_haproxy::command_line::{Invocation, InvocationPurpose};

/// Clearway's subcommands; everything else that is not for HAProxy is executed in place.
pub const SUBCOMMANDS: [&str; 24] = [
    "run",
    "hold",
    "reload",
    "apply",
    "plan",
    "rollback",
    "diff",
    "status",
    "history",
    "events",
    "metrics",
    "health",
    "drain",
    "stop",
    "sessions",
    "end",
    "cleanup",
    "check",
    "doctor",
    "man",
    "completions",
    "settings",
    "log-events",
    "help",
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
    /// Execute HAProxy itself with these words, and whether it is going to serve, without being supervised.
    StepAside(Vec<OsString>, bool),
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

/// The same under the name `haproxy`. Only the process that the container is for is supervised: what else calls HAProxy
/// wants an answer, or one that goes into the background.
pub fn route_as_haproxy(arguments: Vec<OsString>, is_first: bool) -> Entry {
    let words: Vec<OsString> = std::iter::once("haproxy".into()).chain(arguments).collect();
    if is_first {
        return Entry::Supervise(words);
    }
    let read = Invocation::parse(words.clone());
    Entry::StepAside(words, read.is_ok_and(|read| read.purpose == InvocationPurpose::Supervise))
}

#[cfg(test)]
mod tests;
