//! Any bytes as `/proc/self/mountinfo`.

use super::{FileMount, Mounts, unescape};

/// The whole file.
pub(crate) fn mountinfo(data: &[u8]) {
    let all: Vec<FileMount> = data.split(|byte| *byte == b'\n').filter_map(FileMount::parse).collect();
    for mount in &all {
        drop((mount.note(), mount.replaced()));
    }
    for field in data.split(|byte| *byte == b' ') {
        let plain = unescape(field);
        assert!(plain.len() <= field.len() && (plain == field || field.contains(&b'\\')));
    }
    let now = Mounts(all);
    // With one number there may be two in a text that no kernel writes.
    let replaced = now.clone().following(&now).replaced(&now);
    assert!(now.0.len() > 1 || replaced.iter().all(|mount| mount.deleted), "{replaced:?}");
}
