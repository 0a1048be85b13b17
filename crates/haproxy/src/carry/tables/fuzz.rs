//! Any text as what HAProxy says of its stick tables.

use std::collections::BTreeSet;

use super::{TableEntry, TableHeading, as_word, same_numbers, unescaped, words};
use crate::runtime::batch::is_one_command;
use crate::runtime::state::ServersState;

/// An answer to `show table NAME`.
pub(crate) fn stick_tables(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let headings = TableHeading::all(&text);
    for heading in &headings {
        let _ = (heading.cannot_become(None), heading.cannot_become(headings.first()));
    }
    for line in text.lines() {
        a_key_stays_the_same(line);
        if let Some(entry) = TableEntry::of(line) {
            commands_are_single(&entry);
        }
    }
    if let Some(state) = ServersState::of(&text) {
        let _ = same_numbers(state, state);
    }
}

fn commands_are_single(entry: &TableEntry<'_>) {
    let each = entry.each("t");
    for (name, command) in each.iter().flatten() {
        assert!(is_one_command(command), "{name}: {command:?}");
        assert_eq!(words(command).count(), 7, "{command:?}");
    }
    let Ok(whole) = entry.command("t", &BTreeSet::new()) else { return };
    assert!(is_one_command(&whole), "{whole:?}");
    let words = words(&whole).count();
    assert!((5..=64).contains(&words), "HAProxy takes 64 words at most: {whole:?}");
}

/// What HAProxy reads of a command is what it has written: a backslash takes the meaning from the next byte.
fn a_key_stays_the_same(written: &str) {
    let Ok(word) = as_word(written) else { return };
    assert!(is_one_command(&word) && words(&word).eq([word.as_str()]), "{word:?}");
    let mut read = Vec::new();
    let mut escaped = false;
    for byte in word.bytes() {
        escaped = byte == b'\\' && !escaped;
        if !escaped {
            read.push(byte);
        }
    }
    assert_eq!(read, unescaped(written));
}
