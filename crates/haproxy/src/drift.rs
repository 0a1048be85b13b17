//! Whether the configuration on disk is still the one that runs.
//!
//! An [`Imprint`] of what a generation was started from is small, however large the files are: a digest of each,
//! and from where single files are mounted. [`Imprint::drift`] reads the files once more and tells what is
//! different. What the configuration refers to (certificates, maps) is not looked at.
//!
//! A container that has a single *file* mounted goes on seeing that file after somebody has replaced it on the
//! host, which is what most editors do, and no reload sees the new one (docker-library/haproxy#253). The kernel
//! shows it in `/proc/self/mountinfo` ([`FileMount`]); a drift says so.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;

use crate::command_line::Invocation;
use crate::configuration::{Configuration, SourceFile};

mod mounts;

pub use mounts::FileMount;

/// 64 bits that tell contents apart. Against accidents, not against somebody who writes the files: he may make
/// any content he likes run anyway.
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
    mounts: Vec<FileMount>,
}

/// What is different on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The files that HAProxy would read now, beside those that it has read.
    pub files: Files,
    /// Files that were replaced on the host, where this container cannot see it.
    pub replaced: Vec<FileMount>,
}

/// The files on disk, beside those that run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// They are the same.
    Same,
    /// They are not.
    Changed(Vec<Difference>),
    /// They cannot be read at the moment: why.
    Unreadable(String),
}

/// One file that is different, as HAProxy names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
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
            mounts: FileMount::of(files.iter().map(|file| &*file.path)),
        }
    }

    /// The single files that were mounted when they were read.
    pub fn mounts(&self) -> &[FileMount] {
        &self.mounts
    }

    /// Reads the files that the command line names and compares.
    pub fn drift(&self, invocation: &Invocation) -> Drift {
        match Configuration::sources(invocation) {
            Ok(now) => {
                let now = Self::of(&now);
                Drift { files: self.compare(&now), replaced: self.replaced(&now.mounts) }
            }
            Err(error) => Drift { files: Files::Unreadable(error.to_string()), replaced: Vec::new() },
        }
    }

    fn compare(&self, now: &Self) -> Files {
        let appeared = now.files.iter().filter_map(|(name, new)| match self.files.get(name) {
            None => Some(Difference::Added(name.clone())),
            Some(old) => (old != new).then(|| Difference::Changed(name.clone())),
        });
        let gone = self.files.keys().filter(|name| !now.files.contains_key(*name));
        let gone = gone.map(|name| Difference::Removed(name.clone()));
        let differences: Vec<Difference> = appeared.chain(gone).collect();
        if differences.is_empty() { Files::Same } else { Files::Changed(differences) }
    }

    /// A file that was only renamed (an editor's backup) is not marked as deleted, but has another name.
    fn replaced(&self, now: &[FileMount]) -> Vec<FileMount> {
        let elsewhere = |mount: &FileMount| {
            self.mounts.iter().any(|before| before.point == mount.point && before.source != mount.source)
        };
        now.iter().filter(|mount| mount.deleted || elsewhere(mount)).cloned().collect()
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.files {
            Files::Same if self.replaced.is_empty() => f.write_str("the files are those that run")?,
            Files::Same => {}
            Files::Changed(differences) => {
                f.write_str("not yet loaded: ")?;
                for (index, difference) in differences.iter().enumerate() {
                    write!(f, "{}{difference}", if index > 0 { ", " } else { "" })?;
                }
            }
            Files::Unreadable(why) => f.write_str(why)?,
        }
        let before = if self.files == Files::Same { "" } else { "; " };
        match self.replaced.first() {
            None => Ok(()),
            Some(mount) => write!(f, "{before}{}", mount.replaced()),
        }
    }
}

impl fmt::Display for Difference {
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
