//! The names of our tables: `clearway_<instance>_<role>_<nonce>`, where the role of plumbing is the number of its
//! block.
//!
//! Everything that other Clearways need to know of an instance is in its table's name, so that a cold start can tell
//! which instances are alive. An instance's name has no underscore; the part is empty for a Clearway that runs without
//! one (`clearway__3_0badcafe`), which shares its block with no other.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::mem::discriminant;
use std::str::FromStr;

use clearway_core::names::InstanceName;

use crate::routing::Block;

const PREFIX: &str = "clearway_";
// An older Clearway, which does not know these, ignores such a table.
const FLIP: &str = "flip";
const GATE: &str = "gate";

/// What a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableRole {
    /// [`crate::plumbing`], with the preferences and the routing table of this block: a sign of life of it.
    Plumbing(Block),
    /// [`crate::flip`].
    Flip,
    /// [`crate::gate`].
    Gate,
}

impl fmt::Display for TableRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plumbing(block) => block.fmt(f),
            Self::Flip => f.write_str(FLIP),
            Self::Gate => f.write_str(GATE),
        }
    }
}

/// The name of a table of a Clearway, at most 55 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    /// To which instance it belongs; `None` for a Clearway by itself.
    pub instance: Option<InstanceName>,
    /// What it is for.
    pub role: TableRole,
    /// What tells two tables of one instance apart.
    pub nonce: u32,
}

impl TableName {
    /// A name that is most likely unique.
    pub fn new(instance: Option<&InstanceName>, role: TableRole) -> Self {
        Self { instance: instance.cloned(), role, nonce: nonce() }
    }

    /// The block of plumbing.
    pub fn block(&self) -> Option<Block> {
        match self.role {
            TableRole::Plumbing(block) => Some(block),
            TableRole::Flip | TableRole::Gate => None,
        }
    }

    /// Whether the two belong to one named instance and are for the same: those of plumbing share a block.
    pub fn is_sibling_of(&self, other: &Self) -> bool {
        discriminant(&self.role) == discriminant(&other.role)
            && self.instance.is_some()
            && self.instance == other.instance
            && self.nonce != other.nonce
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instance = self.instance.as_ref().map_or("", InstanceName::as_str);
        write!(f, "{PREFIX}{instance}_{}_{:08x}", self.role, self.nonce)
    }
}

/// A number that is most likely unique: the standard library seeds its hashers from the kernel.
pub(crate) fn nonce() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().hash_one(std::process::id()).to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

/// Not the name of a table of a Clearway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name of the form `clearway_<instance>_<role>_<nonce>`")]
pub struct ForeignTableName;

impl FromStr for TableName {
    type Err = ForeignTableName;

    fn from_str(text: &str) -> Result<Self, ForeignTableName> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(ForeignTableName)?.split('_');
        let (Some(instance), Some(role), Some(nonce), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ForeignTableName);
        };
        let instance = match instance {
            "" => None,
            name => Some(name.parse().map_err(|_| ForeignTableName)?),
        };
        let role = match role {
            FLIP => TableRole::Flip,
            GATE => TableRole::Gate,
            number => TableRole::Plumbing(number.parse().ok().and_then(Block::new).ok_or(ForeignTableName)?),
        };
        let nonce = u32::from_str_radix(nonce, 16).map_err(|_| ForeignTableName)?;
        let name = Self { instance, role, nonce };
        // `+7`, capital letters, leading zeros: no Clearway writes that.
        if name.to_string() == text { Ok(name) } else { Err(ForeignTableName) }
    }
}
