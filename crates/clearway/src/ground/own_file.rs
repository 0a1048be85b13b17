//! A file that this process has made, at a path where another process may put one of its own.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
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

/// A whole new file in the place of the one that is there, with its owner and mode if that is `former`.
pub fn replace(path: &Path, content: &[u8], former: Option<&Metadata>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".clearway-{}", std::process::id()));
    let beside = path.with_file_name(name);
    // One that a process of our number has left, and never what a link there leads to.
    let _ = std::fs::remove_file(&beside);
    let made = OpenOptions::new().write(true).create_new(true).open(&beside).and_then(|mut file| {
        if let Some(former) = former {
            // The owner first, which takes bits of the mode away. Without the right it is ours.
            let _ = fchown(&file, Some(former.uid()), Some(former.gid()));
            file.set_permissions(former.permissions())?;
        }
        file.write_all(content)
    });
    let replaced = made.and_then(|()| std::fs::rename(&beside, path));
    if replaced.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    replaced
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
