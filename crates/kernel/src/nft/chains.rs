//! The chains of the table, empty.
//!
//! Pure.

use netlink_packet_netfilter::nftables::InetHookNumber;

use super::transaction::{ChainType, Transaction};

pub(super) const PREROUTING: &str = "prerouting";
pub(super) const DIVERT: &str = "divert";
pub(super) const OUTPUT: &str = "output";
pub(super) const FORWARD: &str = "forward";
pub(super) const POSTROUTING: &str = "postrouting";
/// `mangle`, as `nft` calls it: after conntrack, before NAT and routing.
const PRIORITY: i32 = -150;
/// `raw`: before all others.
const FIRST: i32 = -300;

/// A chain of servers on this host. Where it is `stale` it is made, so that it can be emptied and deleted also if
/// another program has removed it.
pub(super) fn for_own(all: &mut Transaction, chain: &str, needed: bool, stale: bool) {
    if needed || stale {
        empty(all, chain);
    }
    if stale && !needed {
        all.delete_chain(chain);
    }
}

/// A chain with nothing in it.
pub(super) fn empty(all: &mut Transaction, chain: &str) {
    match chain {
        PREROUTING => all.hooked(chain, ChainType::Filter, InetHookNumber::PreRouting, PRIORITY),
        OUTPUT => all.hooked(chain, ChainType::Route, InetHookNumber::LocalOut, PRIORITY),
        FORWARD => all.hooked(chain, ChainType::Filter, InetHookNumber::Forward, FIRST),
        POSTROUTING => all.hooked(chain, ChainType::Filter, InetHookNumber::PostRouting, FIRST),
        _ => all.chain(chain),
    }
    all.flush(chain);
}
