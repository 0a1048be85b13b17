//! What tells one container from another, and is the same when it is started again.
//!
//! Its root file system (an overlay has directories of its own), its place in the cgroup tree, and the file that the
//! engine has mounted at /etc/hostname, which lies in a directory of the container: a fuse-overlayfs looks the same in
//! all containers, and so does the place in a cgroup namespace of one's own. Not the host's name itself, which
//! containers share under host networking. It is compared, never read: a hash.

use std::hash::{DefaultHasher, Hash, Hasher};

/// This container's, or this unit's under systemd; unset where nothing tells.
pub fn of_this_container() -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    of(&mounts, &groups)
}

fn of(mounts: &str, groups: &str) -> Option<String> {
    // `36 35 98:0 /root /mount/point options - type source super-options`
    let mounted_at = |place| mounts.lines().find(|line| line.split(' ').nth(4) == Some(place));
    let root = mounted_at("/")?;
    let inside = root.split(' ').nth(3)?;
    let (_, outside) = root.split_once(" - ")?;
    let mut hasher = DefaultHasher::new();
    (inside, outside).hash(&mut hasher);
    // `/var/lib/docker/containers/ID/hostname`; outside of containers nothing is mounted there.
    mounted_at("/etc/hostname").and_then(|line| line.split(' ').nth(3)).hash(&mut hasher);
    // `0::/system.slice/clearway.service`; in a cgroup namespace of its own always `/`.
    for group in groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        group.hash(&mut hasher);
    }
    Some(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests;
