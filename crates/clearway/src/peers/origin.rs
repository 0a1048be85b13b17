//! What tells one container from another, and is the same when it is started again.
//!
//! Its root file system (an overlay has directories of its own), its place in the cgroup tree, and the file that the
//! engine has mounted at /etc/hostname, which lies in a directory of the container: a fuse-overlayfs looks the same in
//! all containers, and so does the place in a cgroup namespace of one's own. Not the host's name itself, which
//! containers share under host networking. It is compared, never read: a hash.
//!
//! The hash goes over the wire and is compared with one that another version has made, so which function it is, and which
//! bytes go in, is part of the protocol: SipHash-1-3 with a zero key, each text closed by 0xff, a value that may be missing
//! behind a number of eight bytes. That is what Rust's `DefaultHasher` makes of the same values in the versions that
//! built Clearway so far, which promises nothing for the next one.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// This container's, or this unit's under systemd; unset where nothing tells.
pub fn of_this_container() -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    of(&mounts, &groups)
}

pub(super) fn of(mounts: &str, groups: &str) -> Option<String> {
    // `36 35 98:0 /root /mount/point options - type source super-options`
    let mounted_at = |place| mounts.lines().find(|line| line.split(' ').nth(4) == Some(place));
    let root = mounted_at("/")?;
    let inside = root.split(' ').nth(3)?;
    let (_, outside) = root.split_once(" - ")?;
    let mut digest = OriginHash(SipHasher13::new());
    digest.text(inside);
    digest.text(outside);
    // `/var/lib/docker/containers/ID/hostname`; outside of containers nothing is mounted there.
    digest.optional(mounted_at("/etc/hostname").and_then(|line| line.split(' ').nth(3)));
    // `0::/system.slice/clearway.service`; in a cgroup namespace of its own always `/`.
    groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).for_each(|group| digest.text(group));
    Some(format!("{:016x}", digest.0.finish()))
}

/// What has gone into the hash so far.
struct OriginHash(SipHasher13);

impl OriginHash {
    fn text(&mut self, text: &str) {
        self.0.write(text.as_bytes());
        self.0.write(&[0xff]);
    }

    fn optional(&mut self, text: Option<&str>) {
        self.0.write(&u64::from(text.is_some()).to_le_bytes());
        if let Some(text) = text {
            self.text(text);
        }
    }
}

#[cfg(test)]
mod tests;
