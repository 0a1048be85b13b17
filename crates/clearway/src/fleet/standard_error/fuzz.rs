//! Any bytes as what HAProxy says on its standard error: what becomes of it in the log, and what is remembered.

use clearway_core::names::Generation;
use clearway_core::settings::{LogFormat, LogLevel, LogSetting};
use serde_json::{Map, Value};

use super::{LINE_LENGTH, LINES, LastLines, renamed};
use crate::tell::voice::{Speaker, Stream, Voice};

pub(crate) fn log_lines(data: &[u8]) {
    assert_eq!(
        said(LogFormat::Text, [data]),
        said(LogFormat::Text, data.chunks(1)),
        "it depends on how the bytes arrive"
    );
    assert_eq!(events(&said(LogFormat::Json, [data])), events(&said(LogFormat::Json, data.chunks(1))));
    let mut last = LastLines::default();
    last.push(data);
    last.finish();
    // Bytes that are no text become three.
    let is_short = |line: &String| line.len() <= 3 * LINE_LENGTH && !line.contains('\n');
    assert!(last.complete.len() <= LINES && last.complete.iter().all(is_short));
    let names = [("/proc/self/fd/2".to_owned(), "overlay".to_owned())];
    for line in &last.complete {
        assert!(renamed(line, &[]) == *line && renamed(line, &names).len() <= line.len());
    }
}

/// Each line is an object. When it was written does not count.
fn events(written: &[u8]) -> Vec<Map<String, Value>> {
    let lines = written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events: Result<Vec<Map<String, Value>>, _> = lines.map(serde_json::from_slice).collect();
    assert!(events.is_ok(), "{events:?}");
    let mut events = events.unwrap_or_default();
    for event in &mut events {
        event.remove("timestamp");
    }
    events
}

/// What is written of it.
fn said<'a>(format: LogFormat, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let log = LogSetting { format, level: LogLevel::Info };
    let mut voice = Voice::of(Speaker::Haproxy(Generation::FIRST), Stream::Stderr, log);
    let mut written: Vec<u8> = pieces.into_iter().flat_map(|piece| voice.hear(piece)).collect();
    written.extend(voice.end());
    written
}
