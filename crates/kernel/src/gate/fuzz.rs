//! Any datagram as what a netfilter queue says.

use super::queue;

pub(crate) fn packets(datagram: &[u8]) {
    assert!(queue::packets(datagram).len() <= datagram.len() / 16);
}
