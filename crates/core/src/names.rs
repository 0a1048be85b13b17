//! Newtypes for what must not be mixed: instances, generations, marks, routing tables.

use std::fmt;
use std::str::FromStr;

/// The name under which Clearways belong together: `a-z`, `0-9`, `-`, one to 32 characters,
/// beginning with a letter or a digit.
///
/// It ends up in the name of an nftables table (at most 255 bytes), in the path of the admin socket
/// and in abstract socket names (at most 107 bytes), hence the narrow alphabet. The underscore is left
/// out because it separates the parts of a table's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceName(String);

/// Why a text is not an [`InstanceName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an instance name: use 1 to 32 of `a-z`, `0-9` and `-`, beginning with a letter or digit"
)]
pub struct InvalidInstanceName(String);

impl InstanceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceName {
    type Err = InvalidInstanceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=32).contains(&text.len());
        if fits && text.bytes().all(allowed) && !text.starts_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidInstanceName(text.to_owned()))
        }
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One HAProxy (master and worker) with the configuration it was started from, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct Generation(u32);

impl Generation {
    /// The first generation of a Clearway.
    pub const FIRST: Self = Self(1);

    /// The number itself.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The generation after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One bit of a packet's mark (`meta mark`, `fwmark`), always set with OR and matched with a mask:
/// the other 31 bits belong to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub struct Mark(u32);

impl From<Mark> for u32 {
    fn from(mark: Mark) -> Self {
        mark.0
    }
}

/// A number that is no single bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:#x} is not one bit of a mark")]
pub struct NotOneBit(u32);

impl TryFrom<u32> for Mark {
    type Error = NotOneBit;

    fn try_from(value: u32) -> Result<Self, NotOneBit> {
        if value.is_power_of_two() { Ok(Self(value)) } else { Err(NotOneBit(value)) }
    }
}

impl Mark {
    /// Bit 29: free of Kubernetes, Docker, Tailscale, AWS and Istio (docs/facts m1).
    pub const DEFAULT: Self = Self(0x2000_0000);

    /// The mark with exactly this bit, 0 to 31.
    pub const fn bit(number: u8) -> Option<Self> {
        if number < 32 { Some(Self(1 << number)) } else { None }
    }

    /// The mark as a number with one bit set; it is its own mask.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// The number of a routing table (`ip route show table N`), 32 bits since Linux 2.6.19.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u32);

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests;
