//! What works with a restriction.

use std::fmt;

use clearway_core::names::Mark;

use crate::routing::Family;

/// Something that the operator should know about an installation that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlumbingNotice {
    /// No owner tables (Linux before 5.12): a killed process leaves its table to the next sweep.
    NoOwner,
    /// No `socket wildcard` (Linux before 5.10).
    NoWildcardGuard,
    /// No `reject` in `prerouting` (Linux before 5.9, or no `nft_reject_inet`).
    NoReset,
    /// Rules and routes of this family were left out.
    NoFamily {
        /// Which.
        family: Family,
        /// What the kernel said.
        why: String,
    },
    /// Another program uses the usual bit of the mark.
    MarkMoved {
        /// What is used instead.
        to: Mark,
        /// The foreign rule, as `ip rule` shows it.
        because_of: String,
    },
    /// The lock among Clearways could not be had within two seconds; the installation went on without it.
    Unlocked,
}

impl fmt::Display for PlumbingNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOwner => f.write_str(
                "this kernel has no nftables owner tables (Linux 5.12): if Clearway is killed, its table stays \
                 until the next Clearway starts or `clearway cleanup` is run",
            ),
            Self::NoWildcardGuard => f.write_str(
                "this kernel lacks `socket wildcard` in nftables (Linux 5.10): a `bind *:port transparent` in \
                 the HAProxy configuration would also catch what this host forwards to that port of others",
            ),
            Self::NoReset => f.write_str(
                "this kernel lacks `reject` in nftables' `prerouting` (Linux 5.9): a server that answers after \
                 HAProxy has given up waiting keeps a half-open connection until its own retries end",
            ),
            Self::NoFamily { family, why } => {
                write!(f, "{family} stays without transparency: {}", why.replace('\n', "; "))
            }
            Self::MarkMoved { to, because_of } => {
                write!(f, "the mark is {to} and not {}, which the rule `{because_of}` uses", Mark::DEFAULT)
            }
            Self::Unlocked => f.write_str(
                "another Clearway in this network namespace holds the lock `@clearway_lock` for more than two \
                 seconds; went on without it",
            ),
        }
    }
}
