//! Any message as the queue of a Unix socket.

use super::decode;
use crate::netlink::Reply;

pub(crate) fn limit(reply: &Reply) {
    assert!(decode(reply).is_none() || reply.payload.len() >= 16 + 4 + 8);
}
