//! The way to a file: every name in every directory that decides which file a path means.
//!
//! `/etc/haproxy/haproxy.cfg -> ..data/haproxy.cfg`, `..data -> ..2026_01`: three names in two directories. If
//! any of them comes to mean something else, so does the path. The directories themselves may be replaced, too.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use clearway_haproxy::drift::FileMount;

/// As the kernel: more links than this are a loop.
const MOST_LINKS: usize = 40;

/// What is to be watched, by real directories.
#[derive(Debug, Default)]
pub struct Interests {
    /// In these directories these names.
    pub names: BTreeMap<PathBuf, BTreeSet<OsString>>,
    /// In these directories every name: they are read as a whole.
    pub whole: BTreeSet<PathBuf>,
    /// These directories themselves, whether they are moved or deleted.
    pub on_the_way: BTreeSet<PathBuf>,
    /// These files themselves: they are mounts of their own, and no directory here tells of them.
    pub mounted: BTreeSet<PathBuf>,
}

impl Interests {
    /// What decides about these paths, which are absolute.
    pub fn of<'a>(paths: impl Iterator<Item = &'a Path>, mounts: &[FileMount]) -> Self {
        let mounts: BTreeSet<&Path> = mounts.iter().map(|mount| &*mount.point).collect();
        let mut interests = Self::default();
        // Many files in few directories: the way to each directory is gone once.
        let mut known: BTreeMap<PathBuf, Option<PathBuf>> = BTreeMap::new();
        for path in paths {
            let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let real = known
                .entry(directory.to_path_buf())
                .or_insert_with(|| {
                    interests.walk(Path::new("/"), directory, MOST_LINKS).filter(|real| real.is_dir())
                })
                .clone();
            let file = real.and_then(|real| interests.walk(&real, Path::new(name), MOST_LINKS));
            match file {
                Some(file) if file.is_dir() => {
                    interests.whole.insert(file);
                }
                Some(file) if mounts.contains(&*file) => {
                    interests.mounted.insert(file);
                }
                _ => {}
            }
        }
        interests
    }

    /// Goes on from a real directory; where it arrives, if there is something.
    fn walk(&mut self, from: &Path, path: &Path, links: usize) -> Option<PathBuf> {
        let mut at = from.to_path_buf();
        let mut components = path.components();
        while let Some(component) = components.next() {
            let name = match component {
                Component::RootDir | Component::Prefix(_) => {
                    at = PathBuf::from("/");
                    continue;
                }
                Component::CurDir => continue,
                Component::ParentDir => {
                    at.pop();
                    continue;
                }
                Component::Normal(name) => name,
            };
            let next = at.join(name);
            let kind = fs::symlink_metadata(&next).ok().map(|metadata| metadata.file_type());
            match kind {
                Some(kind) if kind.is_dir() => {
                    self.on_the_way.insert(next.clone());
                    at = next;
                }
                Some(kind) if kind.is_symlink() => {
                    self.names.entry(at.clone()).or_default().insert(name.to_owned());
                    let target = fs::read_link(&next).ok()?.join(components.as_path());
                    return self.walk(&at, &target, links.checked_sub(1)?);
                }
                Some(_) => {
                    self.names.entry(at).or_default().insert(name.to_owned());
                    return Some(next).filter(|_| components.next().is_none());
                }
                None => {
                    self.names.entry(at).or_default().insert(name.to_owned());
                    return None;
                }
            }
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests;
