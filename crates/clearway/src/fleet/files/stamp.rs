//! What changes with a file although nothing reads it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// Two writes within a tick of the kernel's clock may leave the same times. A file that was written so recently is read
/// again at the next look.
const SETTLED: Duration = Duration::from_secs(1);

/// The inode, the size and the times of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file with this metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Device and inode.
    pub fn inode(&self) -> (u64, u64) {
        self.inode
    }

    /// How many bytes the file has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether nothing can have written the file since without a change of its times.
    pub fn is_settled(&self) -> bool {
        let changed = u64::try_from(self.changed.0).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed.saturating_add(1));
        changed.elapsed().is_ok_and(|age| age > SETTLED)
    }
}
