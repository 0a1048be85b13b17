//! Single files that are mounted (`docker run --volume=FILE:FILE`, `subPath` in Kubernetes), as
//! `/proc/self/mountinfo` shows them.
//!
//! Measured with `mount --bind` and with Docker 20.10 (Linux 6.18): the fourth field is the file's path in its
//! own filesystem; `//deleted` is put behind it when the file is unlinked there or another one is renamed over
//! it, and a rename of the file itself shows as another path. The fifth field is where it is mounted.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;

/// A file that is a mount of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMount {
    /// The kernel's number of the mount.
    pub id: u64,
    /// Where it is mounted.
    pub point: PathBuf,
    /// Its path in the filesystem that it comes from, mostly that of the host.
    pub source: PathBuf,
    /// There is no such file any more: it was deleted, or replaced by another of the same name.
    pub deleted: bool,
}

/// The mounts among some files, as they were at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts(Vec<FileMount>);

impl Mounts {
    /// Those among some files that are mounts of their own.
    pub fn of<'a>(files: impl Iterator<Item = &'a Path>) -> Self {
        Self(FileMount::of(files))
    }

    /// Those that are a file with one of these numbers (device and inode): for more files than can be asked for by name.
    pub fn among(inodes: &HashSet<(u64, u64)>) -> Self {
        let is_among = |mount: &FileMount| {
            fs::metadata(&mount.point)
                .is_ok_and(|file| file.is_file() && inodes.contains(&(file.dev(), file.ino())))
        };
        Self(FileMount::all().into_iter().filter(is_among).collect())
    }

    /// The same at a later time, with the names that the files had at the former one: a reload that reads a file that was
    /// renamed on the host does not make it the right one.
    #[must_use]
    pub fn following(mut self, former: &Self) -> Self {
        for mount in &mut self.0 {
            if let Some(before) = former.0.iter().find(|before| before.is_same(mount)) {
                mount.source.clone_from(&before.source);
            }
        }
        self
    }

    /// Which of those at a later time are not what has their name on the host. A file that was only renamed (an editor's
    /// backup) is not marked as deleted, but has another name.
    pub fn replaced(&self, now: &Self) -> Vec<FileMount> {
        let elsewhere = |mount: &FileMount| {
            self.0.iter().any(|before| before.is_same(mount) && before.source != mount.source)
        };
        now.0.iter().filter(|mount| mount.deleted || elsewhere(mount)).cloned().collect()
    }
}

#[cfg(test)]
impl<const N: usize> From<[FileMount; N]> for Mounts {
    fn from(mounts: [FileMount; N]) -> Self {
        Self(mounts.into())
    }
}

impl FileMount {
    /// Those among some files that are mounts of their own.
    pub fn of<'a>(files: impl Iterator<Item = &'a Path>) -> Vec<Self> {
        let mounts = Self::all();
        files
            .filter_map(|file| fs::canonicalize(file).ok())
            // What was mounted last covers the others.
            .filter_map(|file| mounts.iter().rfind(|mount| mount.point == file).cloned())
            .collect()
    }

    /// Whether both are the same mount, whatever its file is called.
    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.point == other.point
    }

    /// Every mount that this process sees, directories as well, in the order in which they were made.
    pub fn all() -> Vec<Self> {
        let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
        text.split(|byte| *byte == b'\n').filter_map(Self::parse).collect()
    }

    /// `148 75 254:0 /etc/h.cfg//deleted /usr/local/etc/h.cfg ro - ext4 ...`
    fn parse(line: &[u8]) -> Option<Self> {
        let id = std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
        let mut fields = line.split(|byte| *byte == b' ').skip(3).map(unescape);
        let (mut source, point) = (fields.next()?, fields.next()?);
        let deleted = source.ends_with(b"//deleted");
        if deleted {
            source.truncate(source.len() - b"//deleted".len());
        }
        let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
        Some(Self { id, point: path(point), source: path(source), deleted })
    }

    /// A warning before it happens: what a single file as a mount means.
    pub fn note(&self) -> String {
        format!(
            "`{}` is mounted as a single file: a program that replaces it on the host, as most editors do, changes \
             nothing here. Mount its directory",
            self.point.display()
        )
    }

    /// After it has happened: what happened, and what mends it.
    pub fn replaced(&self) -> String {
        let directory = self.point.parent().unwrap_or(Path::new("/")).display();
        format!(
            "`{}` was replaced on the host, but here it is the former file, because the file itself is mounted and \
             not its directory. Make the container anew with the directory (`--volume=DIRECTORY:{directory}:ro`)",
            self.point.display()
        )
    }
}

/// `\040` for a blank, and so on.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *byte == b'\\');
        let octal = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(octal.unwrap_or(*byte));
        rest = if octal.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_lines_that_docker_made() {
        let mount = |line: &str| FileMount::parse(line.as_bytes());
        let before = mount(
            "148 75 254:0 /tmp/cw-dk/h.cfg /usr/local/etc/haproxy/haproxy.cfg ro,relatime - ext4 /dev/vda rw",
        );
        let before = before.unwrap();
        assert_eq!(before.point, Path::new("/usr/local/etc/haproxy/haproxy.cfg"));
        assert_eq!((before.source.to_str(), before.deleted), (Some("/tmp/cw-dk/h.cfg"), false));
        let after = mount(
            "148 75 254:0 /tmp/cw-dk/h.cfg//deleted /usr/local/etc/haproxy/haproxy.cfg ro,relatime - ext4 /dev/vda",
        );
        assert_eq!(after.unwrap(), FileMount { deleted: true, ..before });
        let blank =
            mount(r"90 52 254:0 /host/sp\040ace//deleted /cont/sp\040a\134ce rw - ext4 /dev/vda rw").unwrap();
        assert_eq!((blank.source, blank.point), ("/host/sp ace".into(), r"/cont/sp a\ce".into()));
        assert_eq!(mount("1 2 3"), None);
        assert_eq!(unescape(br"\9\04\400"), br"\9\04\400");
    }

    #[test]
    fn an_ordinary_file_is_no_mount() {
        assert_eq!(
            FileMount::of([Path::new("/proc/self/mountinfo"), Path::new("/")].into_iter().take(1)),
            []
        );
    }
}
