//! What HAProxy and the programs of `program` sections say, on its way to where Clearway's own words go
//! (docs/decisions/0034).
//!
//! | the log is | a line of HAProxy's standard error | a line of its standard output, or of a program |
//! |---|---|---|
//! | text | as it came, unless it is routine ([`Line::is_routine`]) | not seen: they have Clearway's own descriptors |
//! | JSON | an event with `process`, `pid`, `generation` and `stream`, unless it is routine | the same; of a program, with `program` |
//! | JSON, and the line is an object itself | as it came | as it came |
//!
//! With the level `debug` nothing is left out. Whatever the level of the log is, no other line is: HAProxy's own `quiet` is for
//! that. A line counts when it is complete, or its writer is gone, or it is longer than [`LONGEST`].

use clearway_core::names::Generation;
use clearway_core::notice::Fields;
use clearway_core::settings::{LogFormat, LogLevel, LogSetting};
use clearway_haproxy::line::{Level, Line};
use serde_json::{Map, Value, json};

use crate::tell::rendered;

/// A longer line is passed on in parts.
const LONGEST: usize = 64 << 10;

/// What says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The processes of a generation.
    Haproxy(Generation),
    /// The program of a section, by its name.
    Program(String),
}

/// Where it says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One stream of lines.
#[derive(Debug)]
pub struct Voice {
    speaker: Speaker,
    stream: Stream,
    log: LogSetting,
    partial: Vec<u8>,
    /// Of the last line that had one: lines that follow it, indented, belong to it.
    level: Option<Level>,
}

impl Voice {
    /// Of which nothing was heard yet.
    pub fn of(speaker: Speaker, stream: Stream, log: LogSetting) -> Self {
        Self { speaker, stream, log, partial: Vec::new(), level: None }
    }

    /// What is to be written when this was heard.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= LONGEST {
                self.speak(&mut out);
            }
        }
        out
    }

    /// What is to be written when nothing more will be heard.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.partial.is_empty() {
            self.speak(&mut out);
        }
        out
    }

    fn speak(&mut self, out: &mut Vec<u8>) {
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        let line = match (&self.speaker, self.stream) {
            (Speaker::Haproxy(_), Stream::Stderr) => Line::of(text.trim_end()),
            _ => Line { level: None, pid: None, text: text.trim_end() },
        };
        if line.is_routine() && self.log.level != LogLevel::Debug {
            return;
        }
        if self.log.format == LogFormat::Text {
            out.extend_from_slice(&bytes);
        } else if is_an_object(line.text) {
            out.extend_from_slice(line.text.as_bytes());
            out.push(b'\n');
        } else if !line.text.is_empty() {
            out.extend_from_slice(self.event(&line).as_bytes());
            out.push(b'\n');
        }
    }

    fn event(&mut self, line: &Line<'_>) -> String {
        let belongs = line.text.starts_with([' ', '\t']);
        self.level = line.level.or(self.level.filter(|_| belongs));
        let level = match self.level {
            Some(Level::Alert) => LogLevel::Error,
            Some(Level::Warning) => LogLevel::Warn,
            Some(Level::Notice) | None => LogLevel::Info,
        };
        let mut fields: Fields = Vec::new();
        match &self.speaker {
            Speaker::Haproxy(generation) => {
                fields.push(("process", json!("haproxy")));
                fields.extend(line.pid.map(|pid| ("pid", json!(pid))));
                fields.push(("generation", json!(generation.number())));
            }
            Speaker::Program(name) => {
                fields.push(("process", json!("program")));
                fields.push(("program", json!(name)));
            }
        }
        let stream = match self.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        fields.push(("stream", json!(stream)));
        rendered::object(level, line.text, fields)
    }
}

fn is_an_object(text: &str) -> bool {
    text.starts_with('{') && serde_json::from_str::<Map<String, Value>>(text).is_ok()
}

#[cfg(test)]
mod tests;
