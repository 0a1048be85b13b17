//! Clearway's own log, on standard error. Standard output belongs to HAProxy (`log stdout`).
//!
//! A notice is a line with its sentence, and below it a line for each of its hints; or one JSON object with its event and its
//! fields beside the sentence (docs/decisions/0024).

use std::fmt::Write;
use std::sync::OnceLock;

use clearway_core::failure::Failure;
use clearway_core::hints::{Hint, Hints, Remark};
use clearway_core::notice::{Fields, Notice};
use clearway_core::settings::{LogFormat, LogLevel, LogSetting};
use clearway_kernel::plumbing::{RemoveErrors, Swept};
use serde::Serializer;
use serde_json::Value;
use tracing::{error, info, warn};
use tracing_subscriber::filter::LevelFilter;

use crate::ground::{clock, notice};
use crate::tell::output::{self, Stderr};

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Sets the log up, once.
pub fn init(setting: LogSetting) {
    FORMAT.get_or_init(|| setting.format);
    notice::listen(setting.level, |notice| output::to_stderr(rendered(notice).as_bytes()));
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

/// Whether each line is an event in JSON.
pub fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// A notice as the log writes it, with the end of its last line.
pub fn rendered(notice: &dyn Notice) -> String {
    if is_json() { as_json(notice) } else { as_text(notice) }
}

fn as_text(notice: &dyn Notice) -> String {
    let fields = notice.fields();
    let hints = fields.iter().find(|(name, _)| *name == "hints").and_then(|(_, hints)| hints.as_array());
    let hints = hints.into_iter().flatten().filter_map(Value::as_str).map(|hint| Hint(hint).to_string());
    let (now, level) = (clock::now(), notice.level());
    let mut lines = String::new();
    for line in std::iter::once(notice.to_string()).chain(hints) {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{now} {:>5} {}", level.to_string(), harmless(&line));
    }
    lines
}

/// What a terminal would take for a command is written in another way: a file may contain it, or the answer of a server.
fn harmless(line: &str) -> String {
    let is_harmful = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    line.chars().fold(String::with_capacity(line.len()), |mut text, c| {
        if is_harmful(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
        text
    })
}

fn as_json(notice: &dyn Notice) -> String {
    let event = ("event", notice.event().into());
    object(notice.level(), &notice.to_string(), [event].into_iter().chain(notice.fields())) + "\n"
}

/// A line of the log as an object, without its end: a text, and more about it.
pub fn object(
    level: LogLevel,
    message: &str,
    more: impl IntoIterator<Item = (&'static str, Value)>,
) -> String {
    let begun: Fields = vec![
        ("timestamp", clock::now().into()),
        ("level", level.to_string().into()),
        ("message", message.into()),
    ];
    let mut line = Vec::new();
    // Of what is in them, nothing can fail: every name is a text.
    let _ = serde_json::Serializer::new(&mut line).collect_map(begun.into_iter().chain(more));
    String::from_utf8(line).unwrap_or_default()
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

#[cfg(test)]
mod tests;
