//! Clearway's own log, on standard error. Standard output belongs to HAProxy (`log stdout`).

use clearway_core::failure::Failure;
use clearway_core::hints::{Hint, Hints, Remark};
use clearway_core::settings::{LogFormat, LogLevel, LogSetting};
use clearway_kernel::plumbing::{RemoveErrors, Swept};
use tracing::{error, info, warn};
use tracing_subscriber::filter::LevelFilter;

use crate::ground::notice;
use crate::tell::output::{self, Stderr};
use crate::tell::rendered;

/// Sets the log up, once.
pub fn init(setting: LogSetting) {
    rendered::choose(setting.format);
    notice::listen(setting.level, |notice| output::to_stderr(rendered::rendered(notice).as_bytes()));
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
