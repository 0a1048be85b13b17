//! Times of day, as the log writes them: in UTC.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// The time of day so long ago, to the second: `2026-11-29T12:24:58Z`. A clock that is beyond all calendars yields `?`.
pub fn at(ago: Duration) -> String {
    let mut text = String::new();
    let time = SystemTime::now().checked_sub(ago).filter(|time| *time >= SystemTime::UNIX_EPOCH);
    let written = time.map(|time| write!(text, "{}", humantime::format_rfc3339_seconds(time)));
    if let Some(Ok(())) = written { text } else { "?".to_owned() }
}
