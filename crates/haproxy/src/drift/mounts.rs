//! Single files that are mounted (`docker run --volume=FILE:FILE`, `subPath` in Kubernetes), as
//! `/proc/self/mountinfo` shows them.
//!
//! Measured with `mount --bind` and with Docker 20.10 (Linux 6.18): the fourth field is the file's path in its
//! own filesystem; `//deleted` is put behind it when the file is unlinked there or another one is renamed over
//! it, and a rename of the file itself shows as another path. The fifth field is where it is mounted.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A file that is a mount of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Its path in the filesystem that it comes from, mostly that of the host.
    pub source: PathBuf,
    /// There is no such file any more: it was deleted, or replaced by another of the same name.
    pub deleted: bool,
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

    /// Every mount that this process sees, directories as well, in the order in which they were made.
    pub fn all() -> Vec<Self> {
        let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
        text.split(|byte| *byte == b'\n').filter_map(Self::parse).collect()
    }

    /// `148 75 254:0 /etc/h.cfg//deleted /usr/local/etc/h.cfg ro - ext4 ...`
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ').skip(3).map(unescape);
        let (mut source, point) = (fields.next()?, fields.next()?);
        let deleted = source.ends_with(b"//deleted");
        if deleted {
            source.truncate(source.len() - b"//deleted".len());
        }
        let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
        Some(Self { point: path(point), source: path(source), deleted })
    }

    /// For whoever may fall into the trap: what a single file means.
    pub fn note(&self) -> String {
        format!(
            "`{}` is mounted as a single file: whoever replaces it on the host, as most editors do, changes \
             nothing here. Mount its directory",
            self.point.display()
        )
    }

    /// For whoever has fallen into it: what happened, and what mends it.
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
