//! Any message as a table, any text as its name.

use super::list::decode;
use super::{Listed, TableName};
use crate::netlink::Reply;

pub(crate) fn table(reply: &Reply) {
    if let Some(Listed { name, .. }) = decode(reply) {
        assert_eq!(name.to_string().parse().as_ref(), Ok(&name));
    }
}

/// A name of ours is written as it is read.
pub(crate) fn name(text: &str) {
    if let Ok(name) = text.parse::<TableName>() {
        assert_eq!(name.to_string(), text);
        assert!(text.len() <= 55 && !name.is_sibling_of(&name));
    }
}
