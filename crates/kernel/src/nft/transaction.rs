//! A transaction on one table, as it is written: the table, its chains, rules, sets, and their elements.
//!
//! Pure. [`super::Claim::commit`] sends it.

use std::fmt::Display;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, InetHookNumber, NfTablesMessage, RuleAttribute, RuleMessage,
    SetAttribute, SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableFlags,
    TableMessage,
};

use super::rule::{ACCEPT, NftRule};
use super::set::{Element, SERVICE, SetType, Values};
use crate::netlink::{Feature, Step};

/// Elements per message: an attribute has room for 64 KiB, an element takes some 50 bytes.
const ELEMENTS: usize = 500;

/// The type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum ChainType {
    Filter,
    /// After a change of the mark the kernel routes the packet again.
    Route,
    /// Only the first packet of a connection comes to it.
    Nat,
}

impl ChainType {
    fn needs(self) -> Feature {
        match self {
            Self::Filter => Feature::Chain,
            Self::Route => Feature::RouteChain,
            Self::Nat => Feature::NatChain,
        }
    }
}

/// What is done with a table, in this order.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    table: String,
    steps: Vec<Step>,
    /// What tells the sets of one transaction apart.
    sets: u32,
}

impl Transaction {
    /// Nothing yet.
    pub(crate) fn on(table: &impl Display) -> Self {
        Self { table: table.to_string(), steps: Vec::new(), sets: 0 }
    }

    /// As messages.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn push(&mut self, what: impl Into<String>, needs: Feature, message: NfTablesMessage, flags: u16) {
        self.steps.push(Step { what: what.into(), needs, message, flags });
    }

    /// Makes the table, and fails if it is there.
    pub(crate) fn make(&mut self, flags: TableFlags) {
        let attributes = vec![TableAttribute::Name(self.table.clone()), TableAttribute::Flags(flags)];
        let message = NfTablesMessage::NewTable(TableMessage { attributes });
        self.push("table", Feature::Basics, message, NLM_F_CREATE | NLM_F_EXCL);
    }

    /// Removes the table with all that is in it.
    pub(super) fn delete(&mut self) {
        let attributes = vec![TableAttribute::Name(self.table.clone())];
        let message = NfTablesMessage::DeleteTable(TableMessage { attributes });
        self.push("table", Feature::Basics, message, 0);
    }

    /// A chain that only other chains lead to, unless it is there.
    pub(crate) fn chain(&mut self, name: &str) {
        let attributes =
            vec![ChainAttribute::Table(self.table.clone()), ChainAttribute::Name(name.to_owned())];
        let message = NfTablesMessage::NewChain(ChainMessage { attributes });
        self.push("chain without a hook", Feature::Chain, message, NLM_F_CREATE);
    }

    /// A chain at a hook, which accepts what its rules say nothing about, unless it is there.
    pub(crate) fn hooked(&mut self, name: &str, kind: ChainType, hook: InetHookNumber, priority: i32) {
        let attributes = vec![
            ChainAttribute::Table(self.table.clone()),
            ChainAttribute::Name(name.to_owned()),
            ChainAttribute::Type(kind.to_string()),
            ChainAttribute::Policy(ACCEPT),
            ChainAttribute::Hook(vec![Hook::Number(hook.into()), Hook::Priority(priority.cast_unsigned())]),
        ];
        let message = NfTablesMessage::NewChain(ChainMessage { attributes });
        self.push(format!("chain `{name}`"), kind.needs(), message, NLM_F_CREATE);
    }

    /// Removes a chain, which must be empty.
    pub(super) fn delete_chain(&mut self, name: &str) {
        let attributes =
            vec![ChainAttribute::Table(self.table.clone()), ChainAttribute::Name(name.to_owned())];
        let message = NfTablesMessage::DeleteChain(ChainMessage { attributes });
        self.push("chain", Feature::Basics, message, 0);
    }

    /// Removes all rules of a chain: `NFT_MSG_DELRULE` with no handle.
    pub(crate) fn flush(&mut self, chain: &str) {
        let attributes =
            vec![RuleAttribute::Table(self.table.clone()), RuleAttribute::Chain(chain.to_owned())];
        let message = NfTablesMessage::DeleteRule(RuleMessage { attributes });
        self.push("old rules", Feature::Basics, message, 0);
    }

    /// Adds a rule at the end of a chain.
    pub(crate) fn rule(&mut self, what: &str, chain: &str, NftRule { expressions, needs }: NftRule) {
        let attributes = vec![
            RuleAttribute::Table(self.table.clone()),
            RuleAttribute::Chain(chain.to_owned()),
            RuleAttribute::Expressions(expressions),
        ];
        let message = NfTablesMessage::NewRule(RuleMessage { attributes });
        self.push(what, needs, message, NLM_F_CREATE | NLM_F_APPEND);
    }

    /// An empty set or map.
    pub(crate) fn set(&mut self, name: &str, kind: SetType, values: Values) {
        let (what, needs, flags) = match values {
            Values::None => ("set", Feature::Basics, SetFlags::empty()),
            Values::Timeouts => ("set with timeouts", Feature::Timeouts, SetFlags::Timeout),
            Values::Ports => ("map", Feature::Basics, SetFlags::Map),
        };
        let (type_of_key, length) = kind.layout();
        let mut attributes = vec![
            SetAttribute::Table(self.table.clone()),
            SetAttribute::Name(name.to_owned()),
            SetAttribute::Flags(flags),
            SetAttribute::KeyType(type_of_key),
            SetAttribute::KeyLen(length),
        ];
        if values == Values::Ports {
            attributes.extend([SetAttribute::DataType(SERVICE), SetAttribute::DataLen(2)]);
        }
        self.sets += 1;
        attributes.push(SetAttribute::Id(self.sets));
        self.push(what, needs, NfTablesMessage::NewSet(SetMessage { attributes }), NLM_F_CREATE);
    }

    /// Puts elements into a set or map.
    pub(crate) fn put(&mut self, what: &str, set: &str, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS) {
            let message = NfTablesMessage::NewSetElement(self.elements(set, Some(chunk)));
            self.push(what, Feature::Basics, message, NLM_F_CREATE);
        }
    }

    /// Takes elements out, which must be in.
    pub(crate) fn take(&mut self, what: &str, set: &str, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS) {
            let message = NfTablesMessage::DeleteSetElement(self.elements(set, Some(chunk)));
            self.push(what, Feature::Basics, message, 0);
        }
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self, what: &str, set: &str) {
        let message = NfTablesMessage::DeleteSetElement(self.elements(set, None));
        self.push(what, Feature::Basics, message, 0);
    }

    fn elements(&self, set: &str, elements: Option<&[Element]>) -> SetElementMessage {
        let mut attributes =
            vec![SetElementList::Table(self.table.clone()), SetElementList::Set(set.to_owned())];
        attributes.extend(elements.map(|some| SetElementList::Elements(some.to_vec())));
        SetElementMessage { attributes }
    }
}
