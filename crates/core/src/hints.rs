//! Hints: the text of an error says what failed and why, its hints say what mends that. The one is never written into the
//! other, nor looked for there.

use std::fmt;

/// An error, or something to be said, that may know what mends it.
pub trait Hints: fmt::Display {
    /// The command or flag that mends it, one line each.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A hint as a line for people: this is the only place that knows how it looks.
#[derive(Clone, Copy, Debug)]
pub struct Hint<T>(pub T);

impl<T: fmt::Display> fmt::Display for Hint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hint: {}", self.0)
    }
}

/// Something for the log, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// What it is.
    pub text: String,
    /// What mends it.
    pub hints: Vec<String>,
}

impl<T: Into<String>> From<T> for Remark {
    fn from(text: T) -> Self {
        Self { text: text.into(), hints: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                sources(&entry, found);
            } else if entry.extension().is_some_and(|end| end == "rs") {
                found.push(entry);
            }
        }
    }

    #[test]
    fn nothing_else_writes_a_hint_into_a_text_or_looks_for_one_there() {
        let mut found = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
        assert!(found.len() > 100, "{found:?}");
        let word = Hint("").to_string();
        let others = found.iter().filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            !path.ends_with("core/src/hints.rs")
                && code
                    .into_iter()
                    .any(|line| line.contains(&format!("\"{word}")) || line.contains(&format!("\\n{word}")))
        });
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
    }
}
