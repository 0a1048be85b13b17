//! What Clearway itself says of its reloads: what moved how many sockets, for how long it kept clients back, and how
//! many of them.
//!
//! The former is the answer of `clearway reload --json`. The latter is known only when the former generation has
//! closed its sockets, which is after the answer: it is a line of the log. Read leniently: what a version does not tell
//! is not there.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;

/// What one reload was said to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// How many sockets each means moved.
    pub moved: BTreeMap<String, u64>,
}

/// A time in which clients were kept back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// How long it was; told in whole milliseconds.
    pub ms: f64,
    /// How many SYNs waited for its end, where they were not dropped.
    pub held: Option<u64>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    moved: Vec<Moved>,
}

#[derive(Deserialize)]
struct Moved {
    by: String,
}

impl Told {
    /// Reads the answer of `clearway reload --json`.
    pub(super) fn read(json: &str) -> Result<Self> {
        let mut told = Self::default();
        for Moved { by } in serde_json::from_str::<Answer>(json)?.moved {
            *told.moved.entry(by).or_default() += 1;
        }
        Ok(told)
    }
}

/// The windows that a log tells of, in their order: `SYNs to ... were held for 31 ms: 12 waited`.
pub(super) fn windows(log: &str) -> Vec<Window> {
    log.lines().filter_map(window).collect()
}

fn window(line: &str) -> Option<Window> {
    let (_, words) = line.split_once("SYNs to ")?;
    let (_, words) = words.split_once(" for ")?;
    let (ms, rest) = words.split_once(" ms")?;
    let held = rest.strip_prefix(": ").and_then(|rest| rest.split_once(" waited")?.0.parse().ok());
    Some(Window { ms: ms.parse().ok()?, held })
}

#[cfg(test)]
mod tests {
    use super::{Told, Window, windows};

    #[test]
    fn sockets_are_counted_by_what_moved_them() {
        let json = r#"{"result":"serving","generation":2,"moved":[{"address":":80","by":"plug"},
            {"address":":::80","by":"plug"},{"address":":81","by":"handoff"}]}"#;
        let told = Told::read(json).expect("JSON");
        assert_eq!(told.moved, [("handoff".to_owned(), 1), ("plug".to_owned(), 2)].into());
        assert_eq!(Told::read(r#"{"result":"serving"}"#).expect("JSON"), Told::default());
        assert!(Told::read("generation 2 serves").is_err());
    }

    #[test]
    fn windows_are_in_the_log() {
        let log = "2026-11-28T06:48:04Z  INFO generation 2 serves, worker 7: 3 sockets, after 240 ms\n\
                   2026-11-28T06:48:05Z  INFO SYNs to :80, [::]:80 were held for 31 ms: 12 waited\n\
                   2026-11-28T06:48:09Z  INFO SYNs to :80 were dropped for 4 ms\n\
                   2026-11-28T06:48:09Z  WARN SYNs to :80 for ever\n";
        assert_eq!(windows(log), [Window { ms: 31.0, held: Some(12) }, Window { ms: 4.0, held: None },]);
    }
}
