//! The notices about programs.

use std::time::Duration;

use super::ProgramSignal;
use crate::notice::data;

crate::notices! {
    /// A change of state of a program, for the log. `program` is the name of its section.
    pub enum ProgramReport {
        /// A program was started.
        Info "program.started" Started { program: String, pid: u32 } => "program `{program}` started, pid {pid}";
        /// A program could not be started.
        Error "program.not-started" NotStarted { program: String, error: String }
            => "program `{program}` cannot be started: {error}";
        /// A program ended although it was not told to (an error: where HAProxy's master takes that for a failure). `again`
        /// is the pause after which it is started again.
        Warn or Error if *failed, "program.died"
        Died { program: String, pid: u32, how: String, failed: bool, again: Option<Duration> }
            => "program `{program}`, pid {pid}, has ended ({how}); {}", again.map_or_else(
                || "it is started again at the next reload, if at all".to_owned(),
                |pause| format!("it is started again in {} ms", pause.as_millis()));
        /// A program was told to end, and has ended.
        Info "program.ended" Left { program: String, pid: u32, how: String }
            => "program `{program}`, pid {pid}, has ended as it was told ({how})";
        /// A program was told to end, has not, and is told again.
        Warn "program.told-again" Pressed { program: String, signal: ProgramSignal }
            => "program `{program}` was told to end and has not: it gets {}", signal_of(*signal);
    }
}

data! {
    ProgramSignal: "text" as |told| signal_of(*told),
}

fn signal_of(told: ProgramSignal) -> &'static str {
    if told == ProgramSignal::Kill { "SIGKILL" } else { "SIGTERM" }
}
