//! Which chain leads to which: read once, as there may be tens of thousands of chains and rules (kube-proxy).

use std::collections::{BTreeMap, BTreeSet};

use super::expression::{Expression, Verdict};
use super::{Chain, ChainName, ForeignRule, ForeignRuleset, Hook};

/// The ways of packets between chains.
#[derive(Debug, Default)]
pub(super) struct Ways<'a> {
    hooks: BTreeMap<&'a ChainName, Hook>,
    /// The chains that lead to a chain, by its family, its table and its name.
    from: BTreeMap<(u8, &'a str, &'a str), BTreeSet<&'a ChainName>>,
}

impl ForeignRuleset {
    pub(super) fn ways(&self) -> Ways<'_> {
        let mut ways = Ways::default();
        for Chain { place, hook, .. } in &self.chains {
            ways.hooks.extend(hook.map(|hook| (place, hook)));
        }
        for ForeignRule { place, does } in &self.rules {
            for one in does {
                if let Expression::Verdict(Verdict::To(to)) = one {
                    ways.from.entry((place.family, &place.table, to)).or_default().insert(place);
                }
            }
        }
        ways
    }
}

impl<'a> Ways<'a> {
    /// From which hooks packets come to a chain, by jumps from other chains too.
    pub(super) fn hooks(&self, place: &'a ChainName) -> BTreeSet<Hook> {
        let mut reached = BTreeSet::from([place]);
        let mut open = vec![place];
        while let Some(ChainName { family, table, chain }) = open.pop() {
            let from = self.from.get(&(*family, table, chain)).into_iter().flatten();
            open.extend(from.filter(|from| reached.insert(from)));
        }
        reached.into_iter().filter_map(|place| self.hooks.get(place).copied()).collect()
    }
}
