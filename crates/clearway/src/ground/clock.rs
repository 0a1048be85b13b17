//! Times of day, as the log writes them: in UTC. A clock that is beyond all calendars yields `?`.

use std::fmt::{Display, Write};
use std::time::{Duration, SystemTime};

/// The time of day so long ago, to the second: `2026-11-29T12:24:58Z`.
pub fn at(ago: Duration) -> String {
    written(SystemTime::now().checked_sub(ago), humantime::format_rfc3339_seconds)
}

/// Now, to the microsecond.
pub fn now() -> String {
    written(Some(SystemTime::now()), humantime::format_rfc3339_micros)
}

fn written<T: Display>(time: Option<SystemTime>, format: fn(SystemTime) -> T) -> String {
    let mut text = String::new();
    // Those before 1970 are not only beyond it: they end in a panic.
    let time = time.filter(|time| *time >= SystemTime::UNIX_EPOCH).map(format);
    match time.map(|time| write!(text, "{time}")) {
        Some(Ok(())) => text,
        _ => "?".to_owned(),
    }
}
