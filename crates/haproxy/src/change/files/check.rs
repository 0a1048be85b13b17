//! What HAProxy must say of a file afterwards.

/// What HAProxy must answer when all is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCheck {
    /// `show map FILE`, `show acl FILE`, `show ssl cert FILE`
    pub command: String,
    pub(super) answer: FileAnswer,
}

/// The same without the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileAnswer {
    /// These entries, without where they are in memory.
    Entries(Vec<String>),
    /// With this line. Up to 3.0 a certificate is `Unused` after the CA file of its `bind` line was changed at run time, and what is
    /// committed then reaches no client although HAProxy says `Success!` (2.6.12, 3.0.11; not 3.2.26).
    With(&'static str),
}

pub(super) const USED: &str = "Status: Used";

impl FileCheck {
    /// Whether this is what HAProxy answers.
    pub fn is_met(&self, answer: &str) -> bool {
        let entry = |line: &str| line.split_once(' ').map_or("", |(_, entry)| entry).trim_end().to_owned();
        let mut lines = answer.lines().filter(|line| !line.is_empty());
        match &self.answer {
            FileAnswer::Entries(entries) => lines.map(entry).eq(entries.iter().cloned()),
            FileAnswer::With(line) => lines.any(|one| one.trim() == *line),
        }
    }
}
