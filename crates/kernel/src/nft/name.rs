//! The names of our tables: `clearway_<instance>_<block>_<nonce>`, and `clearway_<instance>_flip_<nonce>`.
//!
//! Everything that others need to know of an instance is in its table's name, so that a cold start can
//! tell who is alive. An instance's name has no underscore; the part is empty for a Clearway that runs
//! without one (`clearway__3_0badcafe`), which shares its block with nobody.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use clearway_core::names::InstanceName;

use crate::routing::Block;

const PREFIX: &str = "clearway_";
/// In the place of a block; a Clearway that knows of no flips takes it for nobody's table.
const FLIP: &str = "flip";

/// The name of a table of ours, at most 53 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    /// To which instance it belongs; `None` for a Clearway by itself.
    pub instance: Option<InstanceName>,
    /// Which preferences and which routing table go with it; `None` for a table of [`crate::flip`], which is no
    /// sign of life of any block.
    pub block: Option<Block>,
    /// What tells two tables of one instance apart.
    pub nonce: u32,
}

impl TableName {
    /// Whether the two belong to one named instance and are for the same: those of plumbing share a block.
    pub fn is_sibling_of(&self, other: &Self) -> bool {
        let same_kind = self.block.is_some() == other.block.is_some();
        same_kind && self.instance.is_some() && self.instance == other.instance && self.nonce != other.nonce
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instance = self.instance.as_ref().map_or("", InstanceName::as_str);
        match self.block {
            Some(block) => write!(f, "{PREFIX}{instance}_{block}_{:08x}", self.nonce),
            None => write!(f, "{PREFIX}{instance}_{FLIP}_{:08x}", self.nonce),
        }
    }
}

/// A number nobody else has, most likely: the standard library seeds its hashers from the kernel.
pub(crate) fn nonce() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().hash_one(std::process::id()).to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

/// Not the name of a table of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name of the form `clearway_<instance>_<block>_<nonce>`")]
pub struct NotOurs;

impl FromStr for TableName {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(NotOurs)?.split('_');
        let (Some(instance), Some(block), Some(nonce), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotOurs);
        };
        let instance = match instance {
            "" => None,
            name => Some(name.parse().map_err(|_| NotOurs)?),
        };
        let block = match block {
            FLIP => None,
            number => Some(number.parse().ok().and_then(Block::new).ok_or(NotOurs)?),
        };
        let nonce = u32::from_str_radix(nonce, 16).map_err(|_| NotOurs)?;
        let name = Self { instance, block, nonce };
        // `+7`, capital letters, leading zeros: whoever made that, it was not us.
        if name.to_string() == text { Ok(name) } else { Err(NotOurs) }
    }
}
