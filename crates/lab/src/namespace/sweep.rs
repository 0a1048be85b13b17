//! What runs that were killed have left: their namespaces and their cables into the host carry the pid of their
//! maker.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{NAMED, ip};
use crate::process;
use crate::wait::eventually;

/// Removes the namespaces and cables of lab processes that no longer live, and says which.
pub fn sweep() -> Result<Vec<String>> {
    let mut swept = Vec::new();
    for name in orphans_in(NAMED) {
        if let Ok(metadata) = fs::metadata(Path::new(NAMED).join(&name)) {
            eventually(Duration::from_secs(5), "the processes of a dead run to end", || {
                let left = process::in_namespace(metadata.ino());
                left.iter().copied().for_each(process::kill);
                left.is_empty().then_some(())
            })?;
        }
        ip(&["netns", "del", &name])?;
        swept.push(name);
    }
    for name in orphans_in("/sys/class/net") {
        // The kernel may be taking it away at this moment, with the namespace of its other end.
        if ip(&["link", "del", &name]).is_ok() {
            swept.push(name);
        }
    }
    Ok(swept)
}

/// The names in a directory that dead makers have left.
fn orphans_in(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| is_orphan(name))
        .collect()
}

/// Whether a name is one of ours, and its maker no longer lives.
pub(crate) fn is_orphan(name: &str) -> bool {
    maker_of(name).is_some_and(|maker| !Path::new(&format!("/proc/{maker}")).exists())
}

/// The pid in `cw<pid>-<n>-<role>`.
fn maker_of(name: &str) -> Option<u32> {
    let mut parts = name.strip_prefix("cw")?.splitn(3, '-');
    let maker = parts.next()?.parse().ok()?;
    parts.next()?.parse::<u32>().ok()?;
    parts.next().map(|_| maker)
}

#[cfg(test)]
mod tests {
    use super::{is_orphan, maker_of};

    #[test]
    fn only_our_own_names_have_a_maker() {
        assert_eq!(maker_of("cw4711-0-client"), Some(4711));
        assert_eq!(maker_of("cw4194304-17-c"), Some(4_194_304));
        assert_eq!(maker_of("cw-client"), None);
        assert_eq!(maker_of("cw12-client"), None);
        assert_eq!(maker_of("cni-12-0-x"), None);
    }

    #[test]
    fn what_a_living_process_has_made_is_no_orphan() {
        assert!(!is_orphan(&format!("cw{}-0-client", std::process::id())));
        assert!(!is_orphan("eth0"));
        assert!(is_orphan("cw4194305-0-client"), "no process has a pid beyond the kernel's limit");
    }
}
