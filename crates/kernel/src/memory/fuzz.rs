//! Any text as `/proc/self/cgroup`.

use std::path::Path;

use super::folders;

/// Where a group's files are looked for is below what is mounted, as far as the text can tell: `..` is the kernel's own.
pub(crate) fn memberships(text: &str) {
    let mount = Path::new("/sys/fs/cgroup");
    for line in text.lines() {
        assert!(folders(mount, line).iter().all(|folder| folder.starts_with(mount)), "{line}");
    }
}
