//! Any datagram as what the kernel tells of rules and routes that are gone.

use super::concerns;
use crate::routing::Block;

pub(crate) fn deletion(datagram: &[u8]) {
    if let Some(block) = Block::new(0) {
        let _ = concerns(block, datagram);
    }
}
