//! A file that this process has made, at a path where another process may put one of its own.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Such a file.
#[derive(Debug)]
pub struct OwnFile {
    path: PathBuf,
    /// Its device and its number.
    file: (u64, u64),
}

fn number(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl OwnFile {
    /// The file that was made there just now.
    pub fn at(path: PathBuf) -> io::Result<Self> {
        let file = number(&std::fs::symlink_metadata(&path)?);
        Ok(Self { path, file })
    }

    /// Moves it to another path, in the place of what is there.
    pub fn rename(self, path: PathBuf) -> io::Result<Self> {
        std::fs::rename(&self.path, &path)?;
        Ok(Self { path, ..self })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still there, and not another one.
    pub fn is_there(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|file| number(&file) == self.file)
    }

    /// Removes it; one that another process has put there stays.
    pub fn remove(&self) -> io::Result<()> {
        if self.is_there() { std::fs::remove_file(&self.path) } else { Ok(()) }
    }
}
