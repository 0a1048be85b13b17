//! What several subcommands print.

use clearway_core::exit::ExitCode;

use crate::front::api;
use crate::ground::print::complain_of;

/// What a running Clearway has refused, on standard error: HAProxy's words first, what helps last.
pub fn refused(what: &str, refused: &api::Refused) {
    complain_of(&refused.words, &format!("{what}: {}", refused.message), &refused.hints);
}

/// One line, if there is anything to list.
pub fn list(what: &str, items: &[String]) {
    if !items.is_empty() {
        crate::say!("{what}: {}", items.join(", "));
    }
}

/// The exit code with this number.
pub fn code(number: u8) -> ExitCode {
    ExitCode::ALL.into_iter().find(|code| code.number() == number).unwrap_or(ExitCode::Internal)
}
