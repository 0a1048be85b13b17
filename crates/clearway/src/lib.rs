//! Clearway: the first process of an HAProxy container.
//!
//! The way through this crate: `entry` decides what a command line means; `runtime` is the supervising
//! loop between the pure core (`clearway_core::supervisor`) and the `shell`, which owns the processes,
//! the sockets and the plumbing; `front` is the socket over which `command` talks to it.
//!
//! A library only so that what it reads can be given any bytes from outside of the program ([`main`] is all that there is without
//! the feature `fuzz`; docs/decisions/0046-fuzzing.md).

use std::ffi::OsString;

use clearway_core::exit::ExitCode;
use cli::guise;
use ground::execute;

mod apply;
mod cli;
mod command;
mod custody;
mod cutover;
mod entry;
mod fleet;
mod front;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod ground;
mod path;
mod peers;
mod runtime;
mod shell;
mod tell;

/// The program.
pub fn main() -> std::process::ExitCode {
    if let Some(code) = fleet::stand_in::was_asked_for(&mut std::env::args_os()) {
        return code.into();
    }
    let mut words = std::env::args_os();
    let is_haproxy = guise::is_worn(words.next().as_deref());
    let arguments: Vec<OsString> = words.collect();
    let entry = if is_haproxy {
        entry::route_as_haproxy(arguments, guise::is_first())
    } else {
        entry::route(arguments)
    };
    let code = match entry {
        entry::Entry::Supervise(arguments) => match cli::settings(None, |name| std::env::var_os(name)) {
            Ok(settings) => runtime::run(settings, arguments),
            Err(error) => cli::Refusal::Setting(error).print(),
        },
        entry::Entry::Own(arguments) => match cli::parse(arguments, |name| std::env::var_os(name)) {
            Ok(order) => command::follow(order),
            Err(refusal) => refusal.print(),
        },
        entry::Entry::Execute(words) => match words.split_first() {
            Some((program, arguments)) => {
                guise::tell_of_unsupervised(&words);
                execute::in_place(program, arguments)
            }
            None => ExitCode::Usage,
        },
        entry::Entry::StepAside(words, serves) => guise::step_aside(&words, serves),
    };
    code.into()
}
