//! What files looked like at one moment, and what is different at another one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use clearway_haproxy::configuration::SourceFile;
use clearway_haproxy::drift::{self, Digest};

use crate::fleet::files::stamp::Stamp;

/// What there was at the last look. What is not in it was not there.
#[derive(Debug, Default)]
pub struct Sighting {
    files: BTreeMap<PathBuf, FileContent>,
    /// Those that are gone and must come back, kept as they were.
    missing: BTreeSet<PathBuf>,
    is_incomplete: bool,
}

/// One file.
#[derive(Clone, Debug)]
pub struct FileContent {
    stamp: Option<Stamp>,
    digest: Option<Digest>,
    is_settled: bool,
}

/// What is different between two looks.
#[derive(Debug, Default)]
pub struct FileChanges {
    /// What HAProxy would read otherwise now.
    pub changed: Vec<PathBuf>,
    /// What HAProxy would not start without, and is gone.
    pub missing: Vec<PathBuf>,
    /// What was gone like this, and is there again.
    pub back: Vec<PathBuf>,
}

impl Sighting {
    /// Where the files are that were seen, those in directories included.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Their numbers: device and inode.
    pub fn inodes(&self) -> HashSet<(u64, u64)> {
        self.files.values().filter_map(|content| Some(content.stamp.as_ref()?.inode())).collect()
    }

    /// Whether there were more files than are looked at.
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// What was seen of this file.
    pub fn get(&self, path: &Path) -> Option<&FileContent> {
        self.files.get(path)
    }

    /// This was seen of that file.
    pub fn add(&mut self, path: &Path, content: FileContent) {
        self.files.insert(path.to_path_buf(), content);
    }

    /// There are more files than are looked at.
    pub fn leave_out(&mut self) {
        self.is_incomplete = true;
    }

    /// What each file that is otherwise now has become.
    pub fn changes(&self, now: &Self) -> Vec<drift::FileDifference> {
        let appeared = now.files.iter().filter_map(|(path, new)| match self.files.get(path) {
            None => Some(drift::FileDifference::Added(path.clone())),
            Some(old) => (!old.is_like(new)).then(|| drift::FileDifference::Changed(path.clone())),
        });
        let gone = self.files.keys().filter(|path| !now.files.contains_key(*path));
        appeared.chain(gone.map(|path| drift::FileDifference::Removed(path.clone()))).collect()
    }

    /// The same, but the configuration as it was read for a generation.
    pub fn with(mut self, files: &[SourceFile]) -> Self {
        for file in files {
            let digest = Some(Digest::of(&file.bytes));
            self.add(&absolute(&file.path), FileContent { stamp: None, digest, is_settled: false });
        }
        self
    }

    /// The same, but what is missing as it was before.
    pub fn keeping(mut self, before: &Self, missing: &[PathBuf]) -> Self {
        for path in missing {
            if let Some(content) = before.files.get(path) {
                self.add(path, content.clone());
            }
        }
        self.missing = missing.iter().cloned().collect();
        self
    }

    /// What is different now. `required`: the files without which HAProxy would not start.
    pub fn difference(&self, now: &Self, required: &BTreeSet<&Path>) -> FileChanges {
        let mut changes = FileChanges::default();
        for (path, content) in &now.files {
            if self.missing.contains(path) {
                changes.back.push(path.clone());
            }
            if !self.files.get(path).is_some_and(|before| before.is_like(content)) {
                changes.changed.push(path.clone());
            }
        }
        // Of a directory that is not there at the moment nothing is known.
        let without = |path: &Path| path.parent().is_some_and(|at| required.contains(at) && !at.is_dir());
        for path in self.files.keys().filter(|path| !now.files.contains_key(*path)) {
            let must_be_there = required.contains(&**path) || without(path);
            let which = if must_be_there { &mut changes.missing } else { &mut changes.changed };
            which.push(path.clone());
        }
        changes
    }
}

impl FileContent {
    /// The digest is unset if the file was not read.
    pub fn of(stamp: Stamp, digest: Option<Digest>) -> Self {
        Self { stamp: Some(stamp), digest, is_settled: stamp.is_settled() }
    }

    /// Whether a file with this stamp still has the same content, so that it need not be read.
    pub fn is_still(&self, stamp: &Stamp) -> bool {
        self.is_settled && self.stamp.as_ref() == Some(stamp)
    }

    fn is_like(&self, other: &Self) -> bool {
        match (self.digest, other.digest) {
            (Some(one), Some(other)) => one == other,
            _ => self.stamp.is_some() && self.stamp == other.stamp,
        }
    }
}

/// As the process sees it, without looking at links.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests;
