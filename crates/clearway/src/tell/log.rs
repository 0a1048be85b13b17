//! Clearway's own log, on standard error. Standard output belongs to HAProxy (`log stdout`).

use std::sync::OnceLock;

use clearway_core::failure::Failure;
use clearway_core::hints::{Hint, Hints, Remark};
use clearway_core::names::Generation;
use clearway_core::settings::{LogFormat, LogLevel, LogSetting};
use clearway_core::supervisor::{Report, Severity};
use clearway_kernel::plumbing::{RemoveErrors, Swept};
use tracing::{error, info, warn};
use tracing_subscriber::filter::LevelFilter;

use crate::cli;
use crate::tell::output::Stderr;

/// The text says which generation it is about; JSON has it as a field of its own besides.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Sets the log up, once.
pub fn init(setting: LogSetting) {
    FORMAT.get_or_init(|| setting.format);
    let level = match setting.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        .with_writer(|| Stderr)
        // What cannot be written is dropped and counted by the writer itself.
        .log_internal_errors(false);
    match setting.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// Variables that look like settings and have no effect.
pub fn strays() {
    for stray in cli::strays(std::env::vars_os()) {
        warn!("{stray}");
    }
}

/// Whether each line is an event in JSON.
pub fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// One line for a change of state, and what would help below it.
pub fn report(report: &Report) {
    let generation = report.generation().filter(|_| is_json());
    let generation = generation.map(Generation::number);
    let line = |text: &str| match report.severity() {
        Severity::Error => error!(generation, "{text}"),
        Severity::Warn => warn!(generation, "{text}"),
        Severity::Info => info!(generation, "{text}"),
    };
    line(&report.to_string());
    for hint in report.hints() {
        line(&Hint(hint).to_string());
    }
}

/// What was found of dead predecessors, if anything.
pub fn swept(outcome: &Result<Swept, RemoveErrors>) {
    match outcome {
        Ok(swept) if swept.removed.is_empty() => {}
        Ok(swept) => {
            info!("removed what a dead predecessor left in the kernel: {}", swept.removed.join(", "));
        }
        Err(errors) => notice(&Remark { text: errors.to_string(), hints: errors.hints() }),
    }
}

/// A warning, and what would help.
pub fn notice(notice: &Remark) {
    warn!("{}", notice.text);
    hints(&notice.hints);
}

/// What would help after a warning.
pub fn hints<T: std::fmt::Display>(hints: &[T]) {
    for hint in hints {
        warn!("{}", Hint(hint));
    }
}

/// A failure, and what would help.
pub fn failure(failure: &Failure) {
    error!("{}", failure.message);
    for hint in &failure.hints {
        error!("{}", Hint(hint));
    }
}
