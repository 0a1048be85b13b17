//! The events of the log, as Markdown: docs/reference/log-events.md is made from it.

use std::fmt::Write;

use clearway_core::notice::{Notice, Row};
use clearway_core::peers::PeersReport;
use clearway_core::peers::hold::HoldReport;
use clearway_core::supervisor::Report;

use crate::custody::notices::CustodyNotice;
use crate::cutover::notices::CutoverNotice;
use crate::fleet::notices::FleetNotice;
use crate::front::master_cli::notices::MasterCliNotice;
use crate::front::notices::FrontNotice;
use crate::front::public::notices::PublicNotice;
use crate::ground::notice::GroundNotice;
use crate::path::notices::PathNotice;
use crate::peers::notices::PeersNotice;
use crate::runtime::RuntimeNotice;
use crate::tell::notices::{FollowedNotice, FoundNotice, TellNotice};

/// Every notice that there is, by its event.
fn table() -> Vec<Row> {
    let mut table = [
        Report::table(),
        PeersReport::table(),
        HoldReport::table(),
        GroundNotice::table(),
        CustodyNotice::table(),
        TellNotice::table(),
        FollowedNotice::table(),
        MasterCliNotice::table(),
        FoundNotice::table(),
        PathNotice::table(),
        FleetNotice::table(),
        CutoverNotice::table(),
        PeersNotice::table(),
        FrontNotice::table(),
        PublicNotice::table(),
        RuntimeNotice::table(),
    ]
    .concat();
    table.sort_by_key(|row| row.event);
    table
}

/// The page.
pub fn log_events() -> String {
    let mut text = String::from(
        "# Log events\n\nMade by `clearway log-events`; a test compares. With `CLEARWAY_LOG=json` each line of Clearway has an \
         `event` and these fields, beside `timestamp`, `level` and\n`message` ([the log](log.md)). Events and fields keep \
         their names and meanings, and a reader should ignore those that it does not know;\nthe sentence in `message` may \
         change.\n\n\
         | event | level | fields | when | since |\n|---|---|---|---|---|\n",
    );
    for Row { event, levels, fields, when, since } in table() {
        let levels: Vec<String> = levels.iter().map(ToString::to_string).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| `{event}` | {} | {} | {when} | {since} |",
            levels.join(", "),
            fields.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_page_is_what_the_types_say() {
        let written = include_str!("../../../../docs/reference/log-events.md");
        assert!(written == log_events(), "docs/reference/log-events.md is stale: run `make reference`");
    }

    #[test]
    fn each_event_is_told_from_the_others_and_from_what_every_line_has() {
        let mut seen = BTreeSet::new();
        for row in table() {
            assert!(seen.insert(row.event), "{} is there twice", row.event);
            let (subject, what) = row.event.split_once('.').unwrap();
            for word in [subject, what] {
                assert!(word.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", row.event);
            }
            for taken in ["timestamp", "level", "message", "id", "event", "process", "stream", "shortened"] {
                assert!(!row.fields.iter().any(|field| field.starts_with(&format!("`{taken}`"))), "{row:?}");
            }
            let names: BTreeSet<_> = row.fields.iter().map(|field| field.split('`').nth(1)).collect();
            assert_eq!(names.len(), row.fields.len(), "a name twice: {row:?}");
            assert!(row.when.ends_with('.') && !row.when.contains('|'), "{row:?}");
        }
    }
}
