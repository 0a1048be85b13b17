//! Which HAProxy this is, from the first line of `haproxy -v` (which takes 6 to 9 ms).
//!
//! Owns the reading of that line and the few questions of Clearway that depend on it. Does not run HAProxy.

use std::fmt;

/// A version of HAProxy. Ordered by age: `3.0-dev7` comes before `3.0.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// 3 in 3.0.11.
    pub major: u16,
    /// 0 in 3.0.11.
    pub minor: u16,
    /// 11 in 3.0.11; 0 for a development version.
    pub patch: u16,
    /// 5 in 3.5-dev5.
    pub dev: Option<u16>,
}

/// Why the output of `haproxy -v` names no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading the output of `haproxy -v`: no `HAProxy version` in `{beginning}`")]
pub struct UnknownVersion {
    /// The first line of what was found, cut to 120 characters.
    pub beginning: String,
}

impl Version {
    /// A release, for comparisons.
    pub const fn release(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch, dev: None }
    }

    /// The oldest HAProxy that Clearway works with: `_getsocks` has had its form since 2.3, and the global
    /// `stats socket sockpair@` with `-W` is tried from 2.4 on.
    pub const OLDEST: Self = Self::release(2, 4, 0);

    /// Finds the version in the output of `haproxy -v` (`HAProxy version 3.0.11-1+deb13u3 2026/05/20 - ...`,
    /// before 2.4 `HA-Proxy version ...`).
    pub fn parse(output: &str) -> Result<Self, UnknownVersion> {
        output.lines().find_map(Self::from_line).ok_or_else(|| UnknownVersion {
            beginning: output.lines().next().unwrap_or_default().chars().take(120).collect(),
        })
    }

    fn from_line(line: &str) -> Option<Self> {
        let text =
            ["HAProxy version ", "HA-Proxy version "].iter().find_map(|start| line.strip_prefix(start))?;
        Self::from_text(text.split_whitespace().next()?)
    }

    /// Reads a bare version as `show info` gives it: `2.6.12-1+deb12u4`, `3.5-dev5-1a2b3c-12`.
    pub fn from_text(text: &str) -> Option<Self> {
        let (major, rest) = number(text)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        let (patch, rest) = match rest.strip_prefix('.') {
            Some(rest) => number(rest)?,
            None => (0, rest),
        };
        let dev = rest.strip_prefix("-dev").and_then(number).map(|(dev, _)| dev);
        Some(Self { major, minor, patch, dev })
    }

    /// Whether Clearway works with it: 2.4 or later.
    pub fn supported(self) -> bool {
        self >= Self::OLDEST
    }

    /// Whether `global` knows `setcap`: since 2.9-dev5 (on Linux builds, where it is on by default). An
    /// unknown keyword would stop HAProxy.
    pub fn has_setcap(self) -> bool {
        self >= Self { major: 2, minor: 9, patch: 0, dev: Some(5) }
    }

    /// What becomes of `user` together with `source ... usesrc`.
    ///
    /// Up to 2.9.x HAProxy refuses to start, `setcap` or not (2.6.12 measured, 2.9.0 read in its source). From
    /// 3.0 on `setcap cap_net_raw` makes it work. Without `setcap`, 3.0.11 under `-W` **starts and then fails
    /// every transparent connection without a word**: the master, still root, is the one that checks; 3.1 and
    /// later check in the worker and refuse (3.2.26 measured).
    pub fn user_with_transparency(self) -> UserWithTransparency {
        if self >= Self::release(3, 0, 0) {
            UserWithTransparency::NeedsSetcap
        } else {
            UserWithTransparency::Refused
        }
    }
}

/// What [`Version::user_with_transparency`] can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserWithTransparency {
    /// HAProxy does not start.
    Refused,
    /// It works with `setcap cap_net_raw`, which the overlay adds.
    NeedsSetcap,
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |v: &Self| (v.major, v.minor, v.dev.is_none(), v.dev, v.patch);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dev {
            Some(dev) => write!(f, "{}.{}-dev{dev}", self.major, self.minor),
            None => write!(f, "{}.{}.{}", self.major, self.minor, self.patch),
        }
    }
}

/// The number at the beginning and what follows it.
fn number(text: &str) -> Option<(u16, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests;
