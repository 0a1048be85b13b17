//! What this process may do.
//!
//! It reads the effective capabilities of the calling thread (capget(2)) and names those that Clearway
//! uses as Docker spells them in `--cap-add`. It changes nothing.

use std::fmt;

use rustix::io;
use rustix::thread::{CapabilitySet, capabilities};

macro_rules! capabilities {
    ($($(#[$doc:meta])* $variant:ident = $flag:ident,)*) => {
        /// A capability that Clearway or its HAProxy may need.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Capability { $($(#[$doc])* $variant,)* }

        impl Capability {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            fn flag(self) -> CapabilitySet {
                match self { $(Self::$variant => CapabilitySet::$flag,)* }
            }

            /// The name as Docker spells it: without `CAP_`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($flag),)* }
            }
        }
    };
}

capabilities! {
    /// Read and write files of other users: `/proc/*/fd`, an admin socket in the directory of one.
    DacOverride = DAC_OVERRIDE,
    /// Signal a HAProxy that runs under another user.
    Kill = KILL,
    /// HAProxy's `group`, and starting it under another one.
    SetGid = SETGID,
    /// HAProxy's `user`, and starting it under another one.
    SetUid = SETUID,
    /// Drop capabilities from the bounding set, hand on ambient ones.
    SetPcap = SETPCAP,
    /// Bind ports below 1024 (below `net.ipv4.ip_unprivileged_port_start`).
    NetBindService = NET_BIND_SERVICE,
    /// nftables, rules, routes; transparent sockets as well.
    NetAdmin = NET_ADMIN,
    /// Transparent sockets (`IP_TRANSPARENT`, Linux 3.2).
    NetRaw = NET_RAW,
    /// Load kernel modules: never needed, a sign of a `docker run` line from long ago.
    SysModule = SYS_MODULE,
    /// HAProxy's `chroot`.
    SysChroot = SYS_CHROOT,
    /// Look into processes of others (`/proc/*/fd`).
    SysPtrace = SYS_PTRACE,
    /// Namespaces (`bind ... namespace`), and far too much else.
    SysAdmin = SYS_ADMIN,
    /// Raise `RLIMIT_NOFILE` above its hard limit.
    SysResource = SYS_RESOURCE,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set(CapabilitySet);

impl Set {
    /// Whether it has this one.
    pub fn has(self, capability: Capability) -> bool {
        self.0.contains(capability.flag())
    }

    /// Those of `wanted` that it lacks, in that order.
    pub fn missing(self, wanted: &[Capability]) -> Vec<Capability> {
        wanted.iter().copied().filter(|capability| !self.has(*capability)).collect()
    }

    /// Those of [`Capability::ALL`] that it has.
    pub fn named(self) -> Vec<Capability> {
        Capability::ALL.iter().copied().filter(|capability| self.has(*capability)).collect()
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.named().into_iter().map(Capability::name).collect();
        f.write_str(if names.is_empty() { "none" } else { "" })?;
        f.write_str(&names.join(","))
    }
}

/// The effective capabilities of the calling thread could not be read (a seccomp filter, most likely).
#[derive(Debug, thiserror::Error)]
#[error("reading the capabilities of this process: {0}")]
pub struct CapabilityError(#[from] io::Errno);

/// Whether this process certainly has a capability in effect.
pub fn has(capability: Capability) -> bool {
    effective().is_ok_and(|held| held.has(capability))
}

/// The effective capabilities of the calling thread.
pub fn effective() -> Result<Set, CapabilityError> {
    Ok(Set(capabilities(None)?.effective))
}

#[cfg(test)]
mod tests;
