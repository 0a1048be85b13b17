//! Where a line stands, and in which section.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a line stands. Displays as `file:line`, the way HAProxy names it in its messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file as HAProxy names it.
    pub file: Arc<PathBuf>,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A section and its name: `frontend web`, `global`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// `global`, `defaults`, `frontend`, ...
    pub keyword: String,
    /// The name, empty where there is none.
    pub name: String,
    /// Where it begins.
    pub span: Span,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.keyword, if self.name.is_empty() { "" } else { " " }, self.name)
    }
}
