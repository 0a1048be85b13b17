//! What the subcommands write, directly: a reader that is gone is no reason to fail, where `println!` would panic.

use clearway_core::failure::Failure;
use clearway_core::hints::Hint;

/// A line to standard output.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

/// A line to standard error, likewise.
#[macro_export]
macro_rules! complain {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

/// Says what went wrong, on standard error: HAProxy's words first, what helps last.
pub fn complain(failure: &Failure) {
    complain_of(&failure.words, &failure.message, &failure.hints);
}

/// The same of its parts.
pub fn complain_of(words: &[String], message: &str, hints: &[String]) {
    for line in words {
        crate::complain!("{line}");
    }
    crate::complain!("clearway: {message}");
    for hint in hints {
        crate::complain!("{}", Hint(hint));
    }
}
