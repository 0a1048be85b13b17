//! The stick tables: which there are, how long their keys may be, and whether they pass by `peers`.

use std::collections::BTreeMap;

use super::span::Section;

/// What the lines say about a stick table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StickTable {
    /// What follows `len`: the longest key. HAProxy has a value of its own where it is empty.
    pub length: String,
    /// Whether HAProxy teaches its peers what is in it, and the next process on this host is one of them.
    pub is_shared: bool,
}

/// All stick tables, by the names that HAProxy gives them. Of lines in `.if` blocks the last one counts, but one `peers` is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StickTables(BTreeMap<String, StickTable>);

impl StickTables {
    /// Reads a line: `stick-table type ...` of a proxy, whose name the table has, or `table NAME type ...` in `peers`.
    pub(super) fn line(&mut self, section: &Section, words: &[String]) {
        let word = |index: usize| words.get(index).map_or("", String::as_str);
        let (name, options) = match (section.keyword.as_str(), word(0)) {
            ("peers", "table") => (format!("{}/{}", section.name, word(1)), 2),
            (_, "stick-table") => (section.name.clone(), 1),
            _ => return,
        };
        let mut table = StickTable { is_shared: section.keyword == "peers", ..StickTable::default() };
        for pair in words.get(options..).unwrap_or_default().windows(2) {
            match pair {
                [key, value] if key == "len" => table.length.clone_from(value),
                [key, _] if key == "peers" => table.is_shared = true,
                _ => {}
            }
        }
        let was_shared = self.find(&name).is_some_and(|former| former.is_shared);
        table.is_shared |= was_shared;
        self.0.insert(name, table);
    }

    /// What is said about a table as HAProxy names it.
    pub fn find(&self, name: &str) -> Option<&StickTable> {
        self.0.get(name)
    }

    /// Whether there is one that does not pass by `peers`.
    pub fn has_unshared(&self) -> bool {
        self.0.values().any(|table| !table.is_shared)
    }
}
