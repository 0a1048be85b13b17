//! The names of our tables: `clearway_<instance>_<block>_<nonce>`.
//!
//! Everything that others need to know of an instance is in its table's name, so that a cold start can
//! tell who is alive. An instance's name has no underscore; the part is empty for a Clearway that runs
//! without one (`clearway__3_0badcafe`), which shares its block with nobody.

use std::fmt;
use std::str::FromStr;

use clearway_core::names::InstanceName;

use crate::routing::Block;

const PREFIX: &str = "clearway_";

/// The name of a table of ours, at most 53 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    /// To which instance it belongs; `None` for a Clearway by itself.
    pub instance: Option<InstanceName>,
    /// Which preferences and which routing table go with it.
    pub block: Block,
    /// What tells two tables of one instance apart.
    pub nonce: u32,
}

impl TableName {
    /// Whether the two belong to one named instance and so share a block.
    pub fn is_sibling_of(&self, other: &Self) -> bool {
        self.instance.is_some() && self.instance == other.instance && self.nonce != other.nonce
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instance = self.instance.as_ref().map_or("", InstanceName::as_str);
        write!(f, "{PREFIX}{instance}_{}_{:08x}", self.block, self.nonce)
    }
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
        let block = block.parse().ok().and_then(Block::new).ok_or(NotOurs)?;
        let nonce = u32::from_str_radix(nonce, 16).map_err(|_| NotOurs)?;
        let name = Self { instance, block, nonce };
        // `+7`, capital letters, leading zeros: whoever made that, it was not us.
        if name.to_string() == text { Ok(name) } else { Err(NotOurs) }
    }
}
