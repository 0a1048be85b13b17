//! Clearway: the first process of an HAProxy container.
//!
//! The way through this crate: [`entry`] decides what a command line means; [`run`] is the supervising
//! loop between the pure core (`clearway_core::supervisor`) and the [`shell`], which owns the processes,
//! the sockets and the plumbing; [`admin`] is the socket over which [`command`] talks to it.

use std::ffi::OsString;

use clearway_core::exit::ExitCode;
use entry::guise;

mod admin;
mod cli;
mod clock;
mod command;
mod due;
mod entry;
mod execute;
mod hold;
mod intercept;
mod log;
mod obstacles;
mod output;
mod places;
mod run;
mod shell;
mod steps;
mod strategies;
mod systemd;
mod takeover;
mod upkeep;
mod voice;
mod watch;

fn main() -> std::process::ExitCode {
    if let Some(code) = shell::stand_in::was_asked_for(&mut std::env::args_os()) {
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
            Ok(settings) => run::run(settings, arguments),
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
