//! What a child may keep of the capabilities that Clearway has.

use std::collections::HashSet;
use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets};

/// What HAProxy may keep whatever its files say, as far as Clearway has it: what a root start needs for its
/// files, its ports and its limits, and `NET_RAW` to be transparent. With host networking `NET_ADMIN` would own
/// the host's network; `SYS_ADMIN`, `SYS_PTRACE` and the like would bring it back.
const ALWAYS: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::SYS_NICE)
    .union(CapabilitySet::SYS_RESOURCE);

/// What it may keep beside that if one of these words stands anywhere in its files, even where it means
/// something else: it is better to keep a right too many than to break a configuration.
const FOR_WORDS: [(&[&str], CapabilitySet); 3] = [
    // The master signals its worker, which has another user then.
    (
        // Programs and checks may change their user themselves.
        &["user", "uid", "group", "gid", "program", "external"],
        CapabilitySet::SETUID.union(CapabilitySet::SETGID).union(CapabilitySet::KILL),
    ),
    (&["chroot"], CapabilitySet::SYS_CHROOT),
    // `bind ... namespace`: HAProxy calls `setns`.
    (&["namespace"], CapabilitySet::SYS_ADMIN),
];

/// What a child may keep of the capabilities that Clearway has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(CapabilitySet);

impl Rights {
    /// None: enough to answer a question that reads no file.
    pub const NONE: Self = Self(CapabilitySet::empty());

    /// Enough to execute a program that only another user may execute.
    pub const TO_EXECUTE: Self = Self(CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH));

    /// What a HAProxy with these files needs at most.
    pub fn for_files<'a>(files: impl Iterator<Item = &'a [u8]>) -> Self {
        let words: HashSet<&[u8]> =
            files.flat_map(|bytes| bytes.split(|byte| !byte.is_ascii_alphanumeric())).collect();
        let kept = FOR_WORDS
            .iter()
            .filter(|(names, _)| names.iter().any(|name| words.contains(name.as_bytes())))
            .fold(ALWAYS, |kept, (_, more)| kept.union(*more));
        Self(kept)
    }

    /// Takes everything else from this process for good: a later exec as root does not bring it back. Between fork and exec:
    /// plain system calls only.
    pub fn keep_only(self) -> io::Result<()> {
        let Self(kept) = self;
        let sets = rustix::thread::capabilities(None)?;
        // While SETPCAP is still there: root gets everything of the bounding set back at exec, so that is what
        // has to shrink. Without SETPCAP `no_new_privs` has the same effect (docs/facts H5), at the price that
        // set-user-id programs which HAProxy might start (`external-check`) gain nothing either.
        let mut shrunk = true;
        for number in 0..u64::BITS {
            let one = CapabilitySet::from_bits_retain(1 << number);
            if kept.contains(one) || !rustix::thread::capability_is_in_bounding_set(one).unwrap_or(false) {
                continue;
            }
            shrunk &= rustix::thread::remove_capability_from_bounding_set(one).is_ok();
        }
        if !shrunk {
            rustix::thread::set_no_new_privs(true)?;
        }
        rustix::thread::set_capabilities(
            None,
            CapabilitySets {
                effective: sets.effective.intersection(kept),
                permitted: sets.permitted.intersection(kept),
                inheritable: sets.inheritable.intersection(kept),
            },
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(file: &str) -> CapabilitySet {
        Rights::for_files(std::iter::once(file.as_bytes())).0
    }

    #[test]
    fn what_the_files_do_not_mention_is_given_up() {
        let plain = rights("listen a\n bind :80\n source 0.0.0.0 usesrc clientip\n default_backend users\n");
        assert_eq!(plain, ALWAYS);
        let other_user = rights("global\n\tuser haproxy\n");
        assert!(other_user.contains(CapabilitySet::SETUID | CapabilitySet::KILL));
        assert!(!other_user.contains(CapabilitySet::SYS_CHROOT));
        assert!(rights("global\n chroot /var/lib/haproxy").contains(CapabilitySet::SYS_CHROOT));
        assert!(rights(" bind :80 namespace blue").contains(CapabilitySet::SYS_ADMIN));
    }

    #[test]
    fn nothing_brings_net_admin_in() {
        assert!(!rights("user uid group gid chroot namespace net_admin").contains(CapabilitySet::NET_ADMIN));
    }
}
