//! Chains and rules of a flip: what the module's first lines show, nothing else.
//!
//! Pure.

use netlink_packet_netfilter::nftables::InetHookNumber;

use super::content::{self, KINDS, MapSide};
use crate::nft::{ChainType, NftRule, Transaction};

const WAYS: &str = "ways";
const CLOSED: &str = "closed";
const INPUT: &str = "input";
/// `filter`, as `nft` calls it.
const FILTER: i32 = 0;

/// All maps, sets and chains, with the rules that never change.
pub(super) fn all(all: &mut Transaction, priority: i32) {
    content::all(all);
    all.chain(WAYS);
    all.chain(CLOSED);
    let hooks = [("prerouting", InetHookNumber::PreRouting), ("output", InetHookNumber::LocalOut)];
    for (chain, hook) in hooks {
        all.hooked(chain, ChainType::Nat, hook, priority);
    }
    all.hooked(INPUT, ChainType::Filter, InetHookNumber::LocalIn, FILTER);
    // Conntrack calls connections new that were open before it was switched on: they stay where they are.
    for (chain, _) in hooks {
        all.rule("rule for local addresses", chain, NftRule::new().opens().daddr_local().goto(WAYS));
    }
    all.rule("rule for new connections", INPUT, NftRule::new().opens().goto(CLOSED));
    all.rule("rule for the redirected", CLOSED, NftRule::new().redirected().leave());
    for kind in KINDS {
        let direct = NftRule::new().within(kind, &content::closed_set(kind));
        all.rule("rule against direct connections", CLOSED, direct.reset());
    }
}

/// The rules that use the maps of one side, instead of those that there are.
pub(super) fn ways(all: &mut Transaction, side: MapSide) {
    all.flush(WAYS);
    for kind in KINDS {
        all.rule("rule that redirects", WAYS, NftRule::new().redirect(kind, &content::map(kind, side)));
    }
}
