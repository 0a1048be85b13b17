//! Any message as a line of the kernel's table of TCP sockets.

use super::table::{HIDDEN, decode};
use crate::netlink::Reply;

pub(crate) fn socket(reply: &Reply) {
    if let Some(socket) = decode(reply) {
        assert!(reply.payload.len() >= 72 && socket.device != HIDDEN);
        assert_eq!(socket.local.is_ipv4(), socket.remote.is_ipv4());
    }
}
