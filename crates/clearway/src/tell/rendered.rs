//! Notices as the log writes them: a line with the sentence, and below it a line for each of the hints; or one JSON object with
//! the event and its fields beside the sentence (docs/decisions/0024).

use std::fmt::Write;
use std::sync::OnceLock;

use clearway_core::hints::Hint;
use clearway_core::notice::{Fields, Notice};
use clearway_core::settings::{LogFormat, LogLevel};
use serde::Serializer;
use serde_json::Value;

use crate::ground::clock;

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Chooses the format, once.
pub fn choose(format: LogFormat) {
    FORMAT.get_or_init(|| format);
}

/// Whether each line is an event in JSON.
fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// A notice as the log writes it, with the end of its last line.
pub fn rendered(notice: &dyn Notice) -> String {
    if is_json() { as_json(notice) } else { as_text(notice) }
}

fn as_text(notice: &dyn Notice) -> String {
    let fields = notice.fields();
    let hints = fields.iter().find(|(name, _)| *name == "hints").map(|(_, hints)| hints);
    lines(&clock::now(), &notice.level().to_string(), &notice.to_string(), hints)
}

/// The lines of the text format: the sentence, and each of the hints, a list.
pub fn lines(time: &str, level: &str, sentence: &str, hints: Option<&Value>) -> String {
    let hints = hints.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut lines = String::new();
    for line in std::iter::once(sentence.to_owned()).chain(hints.map(|hint| Hint(hint).to_string())) {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{} {:>5} {}", harmless(time), harmless(level), harmless(&line));
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

#[cfg(test)]
mod tests;
