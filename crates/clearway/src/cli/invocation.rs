//! HAProxy's part of a command line.

use std::ffi::OsString;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_haproxy::command_line::Invocation;

use crate::cli::{guise, is_a_flag};

/// HAProxy's arguments. A flag of ours among them would be a usage error of HAProxy's, and its words are of no help.
pub fn invocation(arguments: Vec<OsString>) -> Result<Invocation, Failure> {
    let of_haproxy = arguments.iter().map_while(|word| word.to_str()).take_while(|word| *word != "--");
    if let Some(flag) = of_haproxy.into_iter().find(|word| is_a_flag(word)) {
        let message = format!("`{flag}` is Clearway's, and stands among the arguments of HAProxy");
        let hint = format!(
            "put it before them, as in `clearway run {flag} ... -- haproxy -f FILE`; most flags of `run` have a variable, \
             too (`clearway run --help`)"
        );
        return Err(Failure::new(ExitCode::Usage, message).hint(hint));
    }
    let mut invocation =
        Invocation::parse(arguments).map_err(|error| Failure::new(ExitCode::Usage, error.to_string()))?;
    invocation.program = guise::behind(invocation.program)?;
    Ok(invocation)
}
