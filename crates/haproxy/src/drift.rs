//! Whether the configuration on disk is still the one that runs.
//!
//! An [`Imprint`] of what a generation was started from is small, however large the files are: a digest of each,
//! and from where single files are mounted. [`Imprint::drift`] reads the files once more and tells what is
//! different. What the configuration names (certificates, maps) is told by the crate that watches it, as
//! [`Drift::named`].
//!
//! A container that has a single *file* mounted goes on seeing that file after it was replaced on the
//! host, which is what most editors do, and no reload sees the new one (docker-library/haproxy#253). The kernel
//! shows it in `/proc/self/mountinfo` ([`FileMount`]); a drift says so.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;

use crate::command_line::Invocation;
use crate::configuration::{Configuration, SourceFile};

mod mounts;

#[cfg(any(test, feature = "fuzz"))]
pub(crate) use mounts::fuzz;
pub use mounts::{FileMount, Mounts};

/// 64 bits that tell contents apart. Against accidents, not against an attacker: one that can write the files can run
/// any content anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// Of bytes at hand.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        Self(hasher.finish())
    }
}

/// What a generation was started from.
#[derive(Clone, Debug, Default)]
pub struct Imprint {
    files: BTreeMap<PathBuf, Digest>,
    mounts: Mounts,
}

/// What is different on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The files that HAProxy would read now, beside those that it has read.
    pub files: FilesOnDisk,
    /// The files that those name: certificates, maps, and so on.
    pub named: Vec<FileDifference>,
    /// Files that were replaced on the host, where this container cannot see it.
    pub replaced: Vec<FileMount>,
}

/// The files on disk, beside those that run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilesOnDisk {
    /// They are the same.
    Same,
    /// They are not.
    Changed(Vec<FileDifference>),
    /// They cannot be read at the moment: why.
    Unreadable(String),
}

/// One file that is different, as HAProxy names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileDifference {
    /// It has another content.
    Changed(PathBuf),
    /// It has appeared in a directory given with `-f`.
    Added(PathBuf),
    /// It has gone from such a directory.
    Removed(PathBuf),
}

impl Imprint {
    /// Whether both are of the same files with the same contents.
    pub fn is_same(&self, other: &Self) -> bool {
        self.files == other.files
    }

    /// Of the files as they were read for a generation.
    pub fn of(files: &[SourceFile]) -> Self {
        Self {
            files: files.iter().map(|file| (file.name.clone(), Digest::of(&file.bytes))).collect(),
            mounts: Mounts::of(files.iter().map(|file| &*file.path)),
        }
    }

    /// The same, read for a later generation in the same process. What was replaced before that is replaced still.
    #[must_use]
    pub fn following(self, former: &Self) -> Self {
        Self { mounts: self.mounts.following(&former.mounts), ..self }
    }

    /// Files that were replaced on the host before they were read, so that the former ones were; `former` is what was read
    /// before, if anything was.
    pub fn replaced_since(&self, former: &Self) -> Vec<FileMount> {
        former.mounts.replaced(&self.mounts)
    }

    /// Reads the files that the command line names and compares.
    pub fn drift(&self, invocation: &Invocation) -> Drift {
        let (files, replaced) = match Configuration::sources(invocation) {
            Ok(now) => {
                let now = Self::of(&now);
                (self.compare(&now), self.mounts.replaced(&now.mounts))
            }
            Err(error) => (FilesOnDisk::Unreadable(error.to_string()), Vec::new()),
        };
        Drift { files, named: Vec::new(), replaced }
    }

    fn compare(&self, now: &Self) -> FilesOnDisk {
        let appeared = now.files.iter().filter_map(|(name, new)| match self.files.get(name) {
            None => Some(FileDifference::Added(name.clone())),
            Some(old) => (old != new).then(|| FileDifference::Changed(name.clone())),
        });
        let gone = self.files.keys().filter(|name| !now.files.contains_key(*name));
        let gone = gone.map(|name| FileDifference::Removed(name.clone()));
        let differences: Vec<FileDifference> = appeared.chain(gone).collect();
        if differences.is_empty() { FilesOnDisk::Same } else { FilesOnDisk::Changed(differences) }
    }
}

impl Drift {
    /// Whether what runs is what a reload would read.
    pub fn is_none(&self) -> bool {
        self.files == FilesOnDisk::Same && self.named.is_empty() && self.replaced.is_empty()
    }
}

/// How many files a line names.
const NAMED: usize = 5;

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let differences = match &self.files {
            FilesOnDisk::Changed(differences) => differences.as_slice(),
            FilesOnDisk::Same | FilesOnDisk::Unreadable(_) => &[],
        };
        let differences: Vec<String> =
            differences.iter().chain(&self.named).map(FileDifference::to_string).collect();
        let mut parts = Vec::new();
        if let FilesOnDisk::Unreadable(why) = &self.files {
            parts.push(why.clone());
        }
        if let [first, ..] = self.replaced.as_slice() {
            parts.push(first.replaced());
        }
        if !differences.is_empty() {
            let more = match differences.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named: Vec<String> = differences.into_iter().take(NAMED).collect();
            parts.insert(0, format!("not yet loaded: {}{more}", named.join(", ")));
        }
        match parts.as_slice() {
            [] => f.write_str("the files are those that run"),
            parts => f.write_str(&parts.join("; ")),
        }
    }
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(name) => write!(f, "{} has changed", name.display()),
            Self::Added(name) => write!(f, "{} is new", name.display()),
            Self::Removed(name) => write!(f, "{} is gone", name.display()),
        }
    }
}

#[cfg(test)]
mod tests;
