//! Which servers, and whether numbers of servers, are asked for by lines anywhere in the files: such servers are not deleted, and
//! such numbers must be those of a fresh start. Looked for only if servers come or go; it may find too many.

use std::collections::HashSet;

use super::sections::first_word;
use crate::configuration::Configuration;

/// What lines refer to.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    /// Words of lines that can name a server.
    pub(super) names: HashSet<String>,
    /// Whether `srv_id` is there.
    pub(super) numbers: bool,
}

impl Mentions {
    /// Of the files that run, and of those that are to run.
    pub(super) fn of((old, new): (&Configuration, &Configuration)) -> Self {
        let mut found = Self::default();
        for file in old.files.iter().chain(&new.files) {
            for line in file.bytes.split(|byte| *byte == b'\n') {
                let server = matches!(first_word(line), b"server" | b"server-template");
                let marks: &[&[u8]] = if server { &[b"track"] } else { &[b"use-server", b"srv_", b"track"] };
                if marks.iter().any(|mark| has(line, mark)) {
                    found.take(line, server);
                }
            }
        }
        found
    }

    fn take(&mut self, line: &[u8], server: bool) {
        self.numbers |= has(line, b"srv_id");
        let text = String::from_utf8_lossy(line);
        let ends = |c: char| c.is_whitespace() || "(){},\"'".contains(c);
        // A server's own name is no mention of it.
        let words = text.split(ends).filter(|word| !word.is_empty()).skip(if server { 3 } else { 0 });
        for word in words {
            self.names.insert(word.to_owned());
            self.names.extend(word.rsplit_once('/').map(|(_, name)| name.to_owned()));
        }
    }
}

/// Whether a line has these bytes.
pub(super) fn has(line: &[u8], mark: &[u8]) -> bool {
    let Some(first) = mark.first() else { return true };
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        let from = rest.get(at..).unwrap_or_default();
        if from.starts_with(mark) {
            return true;
        }
        rest = from.get(1..).unwrap_or_default();
    }
    false
}
