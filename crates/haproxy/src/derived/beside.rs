//! A copy that means what the files mean where they stand.
//!
//! HAProxy reads the copy under another path. What depends on the path is written anew, where it stands; the number of
//! every line stays, and all other bytes do:
//!
//! | in the file | in the copy |
//! |---|---|
//! | `default-path config`, `default-path parent` | `default-path origin DIRECTORY`, of this very file |
//! | the same, and the next file is in another directory | two lines more, between the two files: `global`, and `default-path origin` with the directory of the next |
//! | `env(HAPROXY_CFGFILES)`, which is evaluated when HAProxy runs | `env(HAPROXY_USER_CFGFILES)`, which the overlay sets ([`crate::overlay`]) |
//! | `env(HAPROXY_MASTER_CLI)` | `env(HAPROXY_USER_MASTER_CLI)`, likewise |
//! | a `program` section, if [`Sections::WithoutPrograms`] | empty lines; `.if` and its like stay |
//!
//! A `default-path` inside an `.if` block is rewritten in its place, and is not carried over to a next file in another
//! directory: whether it counts, only HAProxy knows.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::configuration::words::places;
use crate::configuration::{Configuration, SourceFile, is_section};
use crate::quoted::quoted;

/// What the copy asks for instead of the list of HAProxy's files, and the overlay sets.
pub const USERS_FILES: &str = "HAPROXY_USER_CFGFILES";

/// The same for the addresses of the master CLI.
pub const USERS_MASTER_CLI: &str = "HAPROXY_USER_MASTER_CLI";

/// What HAProxy sets by itself, from its command line, after it has read its files; and what the copy asks for instead.
const RETOLD: [(&[u8], &str); 2] =
    [(b"HAPROXY_CFGFILES", USERS_FILES), (b"HAPROXY_MASTER_CLI", USERS_MASTER_CLI)];

/// Which sections the copy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sections {
    /// All of them.
    All,
    /// All but `program`: HAProxy's master would start those.
    WithoutPrograms,
}

/// The copy: what HAProxy is to read, in this order. May have more files than the configuration; each has the name of the
/// file that it is a copy of.
pub fn beside(configuration: &Configuration, sections: Sections) -> Vec<SourceFile> {
    let mut copies = Vec::with_capacity(configuration.files.len());
    // What an earlier file said for all that follow, and the directory that the copy has written for it.
    let mut carried: Option<(RelativePath, PathBuf)> = None;
    for file in &configuration.files {
        if let Some((policy, written)) = &mut carried {
            let here = policy.directory(&file.path);
            if *written != here {
                let mut bytes = b"global\n    default-path origin ".to_vec();
                bytes.extend(quoted(&here));
                bytes.push(b'\n');
                copies.push(SourceFile { bytes, ..file.clone() });
                *written = here;
            }
        }
        let mut copy = FileCopy { file, sections, is_program: false, depth: 0, carried };
        let bytes = copy.of_all();
        carried = copy.carried;
        copies.push(SourceFile { bytes, ..file.clone() });
    }
    copies
}

/// What a copy asks for where the files ask for what would be another command line's: somewhere `env(HAPROXY_CFGFILES)` or
/// `env(HAPROXY_MASTER_CLI)` is evaluated. Empty: no copy is needed for it.
pub fn asked(configuration: &Configuration) -> BTreeSet<&'static str> {
    let lines = configuration.files.iter().flat_map(|file| file.bytes.split(|byte| *byte == b'\n'));
    let mut asked = BTreeSet::new();
    for line in lines {
        let mut rest = said(line, &places(line));
        while let Some((name, instead)) = find_asked(rest) {
            asked.insert(instead);
            rest = rest.get(name.end..).unwrap_or_default();
        }
    }
    asked
}

/// From where files are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RelativePath {
    Config,
    Parent,
}

impl RelativePath {
    fn of(word: &[u8]) -> Option<Self> {
        match word {
            b"config" => Some(Self::Config),
            b"parent" => Some(Self::Parent),
            _ => None,
        }
    }

    /// The directory that HAProxy would change to for this file. The kernel follows links in it before it takes `..`.
    fn directory(self, file: &Path) -> PathBuf {
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
        let directory = absolute.parent().unwrap_or(Path::new("/"));
        match self {
            Self::Config => directory.to_path_buf(),
            Self::Parent => directory.join(".."),
        }
    }
}

/// The copy of one file, line by line.
struct FileCopy<'a> {
    file: &'a SourceFile,
    sections: Sections,
    is_program: bool,
    /// How many `.if` blocks are open.
    depth: usize,
    carried: Option<(RelativePath, PathBuf)>,
}

impl FileCopy<'_> {
    fn of_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.file.bytes.len());
        for (index, line) in self.file.bytes.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                bytes.push(b'\n');
            }
            self.line(line, &mut bytes);
        }
        bytes
    }

    fn line(&mut self, line: &[u8], bytes: &mut Vec<u8>) {
        let places = places(line);
        let word = |index: usize| places.get(index).and_then(|place| line.get(place.clone())).map(bare);
        let first = word(0).unwrap_or_default();
        match first.as_slice() {
            b".if" => self.depth += 1,
            b".endif" => self.depth = self.depth.saturating_sub(1),
            name if std::str::from_utf8(name).is_ok_and(is_section) => self.is_program = name == b"program",
            _ => {}
        }
        if self.is_program && self.sections == Sections::WithoutPrograms && !first.starts_with(b".") {
            return;
        }
        if first == b"default-path" {
            let policy = word(1).as_deref().and_then(RelativePath::of);
            let directory = policy.map(|policy| policy.directory(&self.file.path));
            if self.depth == 0 {
                self.carried = policy.zip(directory.clone());
            }
            if let (Some(place), Some(directory)) = (places.get(1), directory) {
                bytes.extend(line.get(..place.start).unwrap_or_default());
                bytes.extend(b"origin ");
                bytes.extend(quoted(&directory));
                bytes.extend(line.get(place.end..).unwrap_or_default());
                return;
            }
        }
        let said = said(line, &places);
        let mut rest = said;
        while let Some((name, instead)) = find_asked(rest) {
            bytes.extend(rest.get(..name.start).unwrap_or_default());
            bytes.extend(instead.as_bytes());
            rest = rest.get(name.end..).unwrap_or_default();
        }
        bytes.extend(rest);
        bytes.extend(line.get(said.len()..).unwrap_or_default());
    }
}

/// The line without its comment.
fn said<'a>(line: &'a [u8], places: &[Range<usize>]) -> &'a [u8] {
    let end = places.last().map_or(0, |place| place.end);
    line.get(..end).unwrap_or_default()
}

/// Where the name stands in the first `env(NAME)` of one that is retold, and what the copy asks for instead.
fn find_asked(bytes: &[u8]) -> Option<(Range<usize>, &'static str)> {
    const ASKS: &[u8] = b"env(";
    bytes.windows(ASKS.len()).enumerate().filter(|(_, window)| *window == ASKS).find_map(|(at, _)| {
        let begin = at + ASKS.len();
        RETOLD.iter().find_map(|(name, instead)| {
            let rest = bytes.get(begin..)?.strip_prefix(*name)?;
            matches!(rest.first(), Some(b')' | b',')).then_some((begin..begin + name.len(), *instead))
        })
    })
}

/// Without quotes and backslashes.
fn bare(word: &[u8]) -> Vec<u8> {
    word.iter().copied().filter(|byte| !matches!(byte, b'"' | b'\'' | b'\\')).collect()
}

#[cfg(test)]
mod tests;
