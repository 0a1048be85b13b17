//! Any datagram as what a netfilter queue says, and as a rule that a gate has had.

use super::{queue, tally};
use crate::netlink::Reply;

pub(crate) fn packets(datagram: &[u8]) {
    assert!(queue::packets(datagram).len() <= datagram.len() / 16);
    let _ = tally::counted(&Reply { kind: 0, payload: datagram.to_vec() }, &"t");
}
