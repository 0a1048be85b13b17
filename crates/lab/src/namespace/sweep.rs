//! What runs that were killed have left: their namespaces carry the pid of their maker.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{NAMED, ip};
use crate::process;
use crate::wait::eventually;

/// Removes the namespaces of lab processes that no longer live, and says which.
pub fn sweep() -> Result<Vec<String>> {
    let mut swept = Vec::new();
    let Ok(entries) = fs::read_dir(NAMED) else { return Ok(swept) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(maker) = maker_of(&name) else { continue };
        if Path::new(&format!("/proc/{maker}")).exists() {
            continue;
        }
        if let Ok(metadata) = fs::metadata(entry.path()) {
            eventually(Duration::from_secs(5), "the processes of a dead run to end", || {
                let left = process::in_namespace(metadata.ino());
                left.iter().copied().for_each(process::kill);
                left.is_empty().then_some(())
            })?;
        }
        ip(&["netns", "del", &name])?;
        swept.push(name);
    }
    Ok(swept)
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
    use super::maker_of;

    #[test]
    fn only_our_own_names_have_a_maker() {
        assert_eq!(maker_of("cw4711-0-client"), Some(4711));
        assert_eq!(maker_of("cw-client"), None);
        assert_eq!(maker_of("cw12-client"), None);
        assert_eq!(maker_of("cni-12-0-x"), None);
    }
}
