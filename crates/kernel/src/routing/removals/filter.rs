//! Which messages of rtnetlink come to the socket at all: classic BPF, seen from the netlink header on.
//!
//! Offsets and types are those of `linux/netlink.h`, `linux/rtnetlink.h` and `linux/fib_rules.h`. The kernel writes
//! numbers in its own byte order, and the loads of BPF take them for big-endian.

use socket2::SockFilter;

use crate::bpf::{self, IF_EQUAL, LOAD, LOAD_BYTE, RETURN};
use crate::interfaces::LOOPBACK;
use crate::routing::terms::TAG;

/// Message types of `linux/rtnetlink.h`.
pub(super) const NEW_LINK: u16 = 16;
pub(super) const DELETE_LINK: u16 = 17;
pub(super) const NEW_ADDRESS: u16 = 20;
pub(super) const DELETE_ADDRESS: u16 = 21;
pub(super) const DELETE_ROUTE: u16 = 25;
pub(super) const DELETE_RULE: u16 = 33;

/// `BPF_LD | BPF_H | BPF_ABS`: two bytes.
const LOAD_HALF: u16 = 0x28;
/// `BPF_LD | BPF_B | BPF_IND`: one byte, counted from X.
const LOAD_BYTE_FROM: u16 = 0x50;
/// `BPF_LD | BPF_IMM`.
const SET: u16 = 0x00;
/// `BPF_LDX | BPF_W | BPF_IMM`: the same for X.
const SET_X: u16 = 0x01;
/// `BPF_MISC | BPF_TAX`: from the accumulator to X.
const TO_X: u16 = 0x07;
/// `SKF_AD_OFF + SKF_AD_NLATTR` (Linux 2.6.26): where the attribute of type X is, from the accumulator on; or 0.
const FIND_ATTRIBUTE: u32 = bpf::known(12);

/// `nlmsghdr.nlmsg_type`.
const TYPE: u32 = 4;
/// `ifinfomsg.ifi_index` and `ifaddrmsg.ifa_index`, which are at the same place.
const INDEX: u32 = 16 + 4;
/// `rtmsg.rtm_protocol`.
const ROUTE_PROTOCOL: u32 = 16 + 5;
/// Where the attributes of a rule begin: behind `struct fib_rule_hdr`.
const RULE_ATTRIBUTES: u32 = 16 + 12;
/// `FRA_PROTOCOL`, of one byte behind four of the attribute's header.
const RULE_PROTOCOL: u32 = 21;
const ATTRIBUTE_HEADER: u32 = 4;

/// Lets removals of rules and routes pass that carry our tag, and everything about the interface and the addresses of
/// `lo`.
pub(super) fn program() -> Vec<SockFilter> {
    let step = |code, if_true, if_false, k| SockFilter::new(code, if_true, if_false, k);
    let is = |kind: u16| u32::from(kind.to_be());
    // The jumps count from the next step.
    vec![
        step(LOAD_HALF, 0, 0, TYPE),
        step(IF_EQUAL, 6, 0, is(DELETE_ROUTE)),
        step(IF_EQUAL, 7, 0, is(DELETE_RULE)),
        step(IF_EQUAL, 13, 0, is(NEW_LINK)),
        step(IF_EQUAL, 12, 0, is(DELETE_LINK)),
        step(IF_EQUAL, 11, 0, is(NEW_ADDRESS)),
        step(IF_EQUAL, 10, 0, is(DELETE_ADDRESS)),
        step(RETURN, 0, 0, 0),
        // 8: a route.
        step(LOAD_BYTE, 0, 0, ROUTE_PROTOCOL),
        step(IF_EQUAL, 10, 9, TAG.into()),
        // 10: a rule. One without a protocol passes.
        step(SET_X, 0, 0, RULE_PROTOCOL),
        step(SET, 0, 0, RULE_ATTRIBUTES),
        step(LOAD, 0, 0, FIND_ATTRIBUTE),
        step(IF_EQUAL, 6, 0, 0),
        step(TO_X, 0, 0, 0),
        step(LOAD_BYTE_FROM, 0, 0, ATTRIBUTE_HEADER),
        step(IF_EQUAL, 3, 2, TAG.into()),
        // 17: an interface, or an address.
        step(LOAD, 0, 0, INDEX),
        step(IF_EQUAL, 1, 0, LOOPBACK.to_be()),
        // 19: drop; 20: pass.
        step(RETURN, 0, 0, 0),
        step(RETURN, 0, 0, u32::MAX),
    ]
}
