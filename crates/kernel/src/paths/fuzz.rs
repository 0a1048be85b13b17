//! Any message as the path of a Unix socket.

use super::decode;
use crate::netlink::Reply;

pub(crate) fn path(reply: &Reply) {
    assert!(decode(reply).is_none() || reply.payload.len() >= 16 + 4 + 8);
}
