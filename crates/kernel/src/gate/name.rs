//! The names of gates' tables: `clearway_<instance>_gate_<nonce>`.
//!
//! Where a table of the plumbing has the number of its block ([`crate::nft::TableName`]), a gate has the word `gate`: so
//! neither is ever taken for the other, whatever the instance is called.

use std::fmt;
use std::str::FromStr;

use clearway_core::names::InstanceName;

use crate::nft::NotOurs;

const PREFIX: &str = "clearway_";
const WORD: &str = "gate";

/// The name of a gate's table, at most 55 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GateName {
    /// To which instance it belongs; `None` for a Clearway by itself.
    pub instance: Option<InstanceName>,
    /// What tells two gates of one instance apart.
    pub nonce: u32,
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instance = self.instance.as_ref().map_or("", InstanceName::as_str);
        write!(f, "{PREFIX}{instance}_{WORD}_{:08x}", self.nonce)
    }
}

impl FromStr for GateName {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(NotOurs)?.split('_');
        let (Some(instance), Some(WORD), Some(nonce), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotOurs);
        };
        let instance = match instance {
            "" => None,
            name => Some(name.parse().map_err(|_| NotOurs)?),
        };
        let nonce = u32::from_str_radix(nonce, 16).map_err(|_| NotOurs)?;
        let name = Self { instance, nonce };
        if name.to_string() == text { Ok(name) } else { Err(NotOurs) }
    }
}
