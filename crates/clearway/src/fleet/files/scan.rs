//! A look at many files under way.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use clearway_haproxy::configuration;
use clearway_haproxy::drift::Digest;

use crate::fleet::files::sighting::{FileContent, Sighting};
use crate::fleet::files::stamp::Stamp;

/// More files than this are not looked at.
const MOST_FILES: usize = 20_000;

/// A larger file that is no configuration is not read.
pub const LARGE: u64 = 1 << 20;

/// How much of such files is read in one look.
const AT_ONCE: u64 = 16 << 20;

/// A look under way.
#[derive(Debug)]
pub struct Scan<'a> {
    before: &'a Sighting,
    now: Sighting,
    room: u64,
}

impl<'a> Scan<'a> {
    /// Nothing was looked at yet.
    pub fn beside(before: &'a Sighting) -> Self {
        Self { before, now: Sighting::default(), room: AT_ONCE }
    }

    /// What was seen.
    pub fn done(self) -> Sighting {
        self.now
    }

    /// Looks at a file. What is neither that nor a link to one is not there.
    pub fn at(&mut self, path: &Path, read_up_to: u64) {
        let Ok(metadata) = fs::metadata(path) else { return };
        if !metadata.is_file() || self.now.get(path).is_some() {
            return;
        }
        if self.now.paths().len() >= MOST_FILES {
            self.now.leave_out();
            return;
        }
        let stamp = Stamp::of(&metadata);
        let content = match self.before.get(path).filter(|before| before.is_still(&stamp)) {
            Some(before) => before.clone(),
            None => self.read(path, stamp, read_up_to),
        };
        self.now.add(path, content);
    }

    /// Looks at the files in a directory that begin with no dot.
    pub fn inside(&mut self, directory: &Path, read_up_to: u64, counts: &dyn Fn(&Path) -> bool) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.take(MOST_FILES).flatten() {
            let path = entry.path();
            if !entry.file_name().as_encoded_bytes().starts_with(b".") && counts(&path) {
                self.at(&path, read_up_to);
            }
        }
    }

    fn read(&mut self, path: &Path, stamp: Stamp, read_up_to: u64) -> FileContent {
        let of_configuration = read_up_to == configuration::LIMIT;
        if stamp.size() > read_up_to || (!of_configuration && stamp.size() > self.room) {
            return FileContent::of(stamp, None);
        }
        if !of_configuration {
            self.room -= stamp.size();
        }
        match read(path, read_up_to) {
            Some((stamp, digest)) => FileContent::of(stamp, Some(digest)),
            None => FileContent::of(stamp, None),
        }
    }
}

/// To be read; none if it is not a file. Never waits for a pipe that has come to be there.
pub fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

/// The content, and the stamp of the file that has it.
fn read(path: &Path, up_to: u64) -> Option<(Stamp, Digest)> {
    let (file, metadata) = open(path).ok()??;
    let mut bytes = Vec::new();
    file.take(up_to).read_to_end(&mut bytes).ok()?;
    Some((Stamp::of(&metadata), Digest::of(&bytes)))
}
