//! What is said of the files that generations were started from.

use clearway_core::names::Generation;
use clearway_haproxy::configuration::SourceFile;
use clearway_haproxy::drift::{FileDifference, FileMount};
use serde::{Deserialize, Serialize};

use crate::fleet::difference::{Difference, DifferentFile};

/// How many bytes of files an answer has; it stays below what a client reads, however they are escaped.
const SHOWN: usize = 512 << 10;

/// Answer to `GET /v1/config`: what a generation was started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ConfigurationFiles {
    /// Which.
    pub generation: u32,
    /// In the order in which HAProxy reads them.
    pub files: Vec<ConfigurationFile>,
}

/// A file of a configuration, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ConfigurationFile {
    /// Where it was.
    pub path: String,
    /// How many bytes it had.
    pub bytes: usize,
    /// What it said; what is no UTF-8 in it is U+FFFD. Unset: 512 KiB of files are in the answer, and this one would be too much.
    pub content: Option<String>,
}

impl ConfigurationFiles {
    /// Of these files.
    pub fn of(generation: Generation, files: &[SourceFile]) -> Self {
        let mut room = SHOWN;
        let files = files.iter().map(|file| {
            let fits = file.bytes.len() <= room;
            room -= if fits { file.bytes.len() } else { 0 };
            ConfigurationFile {
                path: file.path.display().to_string(),
                bytes: file.bytes.len(),
                content: fits.then(|| String::from_utf8_lossy(&file.bytes).into_owned()),
            }
        });
        Self { generation: generation.number(), files: files.collect() }
    }
}

/// Answer to `GET /v1/config/diff`: the files on disk beside those that a generation was started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ConfigurationDiff {
    /// Which generation.
    pub generation: u32,
    /// Whether nothing is different.
    pub same: bool,
    /// The files of the configuration that are different.
    pub files: Vec<FileDiff>,
    /// Other files that are, which the configuration names, in words: what they were is not kept.
    pub named: Vec<String>,
    /// Files that were replaced where this container cannot see it, each with what mends it.
    pub replaced: Vec<String>,
}

/// A file that is different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct FileDiff {
    /// Where it is.
    pub path: String,
    /// `changed`, `added` or `removed`.
    pub change: String,
    /// The lines in the unified format, from those of the generation to those on disk.
    pub diff: String,
    /// How many more lines there would be.
    #[serde(default)]
    pub left_out: usize,
}

impl ConfigurationDiff {
    /// What was found.
    pub fn of(generation: Generation, found: Difference) -> Self {
        let Difference { files, named, replaced } = found;
        Self {
            generation: generation.number(),
            same: files.is_empty() && named.is_empty() && replaced.is_empty(),
            files: files.into_iter().map(FileDiff::from).collect(),
            named: named.iter().map(FileDifference::to_string).collect(),
            replaced: replaced.iter().map(FileMount::replaced).collect(),
        }
    }
}

impl From<DifferentFile> for FileDiff {
    fn from(DifferentFile { what, path, lines, left_out }: DifferentFile) -> Self {
        let change = match what {
            FileDifference::Changed(_) => "changed",
            FileDifference::Added(_) => "added",
            FileDifference::Removed(_) => "removed",
        };
        Self { path: path.display().to_string(), change: change.to_owned(), diff: lines, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_named_without_its_content() {
        let file =
            |name: &str, size| SourceFile { name: name.into(), path: name.into(), bytes: vec![1; size] };
        let files = [file("a", SHOWN - 1), file("b", 2), file("c", 1)];
        let answer = ConfigurationFiles::of(Generation::FIRST, &files);
        let told: Vec<_> = answer.files.iter().map(|one| (one.bytes, one.content.is_some())).collect();
        assert_eq!(told, [(SHOWN - 1, true), (2, false), (1, true)]);
        // Six bytes for each, at worst.
        assert!(serde_json::to_vec(&answer).unwrap().len() < 4 << 20);
    }
}
