//! Any messages as the chains and rules of other programs.

use clearway_core::names::Mark;

use super::{ForeignRuleset, chain, rule};
use crate::netlink::Reply;

/// Each message is taken for both.
pub(crate) fn ruleset(replies: &[Reply]) {
    let chains = replies.iter().filter_map(chain).collect();
    let rules = replies.iter().filter_map(rule).collect();
    let all = ForeignRuleset { chains, rules };
    all.masquerades().iter().for_each(|one| drop(one.to_string()));
    for bit in 0..32 {
        if let Some(mark) = Mark::bit(bit) {
            assert!(all.mark_uses(mark).len() <= all.rules.len());
        }
    }
    let _ = (all.localnet_blocks().len(), all.reverse_path_filters().len(), all.firewalld());
}
