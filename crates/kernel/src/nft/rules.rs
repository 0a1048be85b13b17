//! Chains and rules as netlink messages: what the module's first lines show, nothing else.
//!
//! Pure. The bytes are those that `nft` 1.0.6 sends for the same text (see the tests), except that the
//! `socket` expression is written here, as netlink-packet-netfilter does not know it.

use clearway_core::names::Mark;
use netlink_packet_core::{DefaultNla, NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{
    Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions, Hook,
    Immediate, InetHookNumber, ListAttribute, Meta, MetaKey, NfTablesMessage, Operator, Register,
    RuleAttribute, RuleMessage, Verdict, VerdictAttribute,
};

use crate::netlink::{BatchError, Step};

type Expression = ListAttribute<ExpressionAttribute>;

const PREROUTING: &str = "prerouting";
const DIVERT: &str = "divert";
/// `mangle`, as `nft` calls it: after conntrack, before NAT and routing.
const PRIORITY: i32 = -150;
/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;
/// The loopback interface has index 1 in every network namespace (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;
/// In this order: nearly every packet that matters is TCP.
const PROTOCOLS: [(&str, u8); 3] = [("rule for TCP", 6), ("rule for ICMP", 1), ("rule for ICMPv6", 58)];
const GUARD: &str = "guard against wildcard listeners";
/// Two chains, two flushes; what follows are rules.
const CHAINS: usize = 2;
const FIRST_RULE: usize = 4;

/// Keys of the `socket` expression (`enum nft_socket_keys`).
#[derive(Clone, Copy, Debug)]
pub(super) enum SocketKey {
    Transparent = 0,
    Wildcard = 2,
}

/// Whether to keep transparent wildcard listeners from hijacking what is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    Wildcard,
    None,
}

/// The whole content of a table. Chains that exist are emptied first.
pub(super) fn steps(table: &str, mark: Mark, guard: Guard) -> Vec<Step> {
    let mut steps = vec![chain(table, PREROUTING, true), chain(table, DIVERT, false)];
    steps.extend([PREROUTING, DIVERT].map(|chain| flush(table, chain)));
    let loopback =
        vec![load_meta(MetaKey::Iif), equals(&LOOPBACK.to_ne_bytes()), verdict(Verdict::Return, None)];
    steps.push(rule("rule for `lo`", table, PREROUTING, loopback));
    for (what, protocol) in PROTOCOLS {
        let expressions = vec![
            load_meta(MetaKey::L4Proto),
            equals(&[protocol]),
            socket(SocketKey::Transparent),
            equals(&[1]),
            verdict(Verdict::Goto, Some(DIVERT)),
        ];
        steps.push(rule(what, table, PREROUTING, expressions));
    }
    if guard == Guard::Wildcard {
        let expressions = vec![socket(SocketKey::Wildcard), equals(&[1]), verdict(Verdict::Return, None)];
        steps.push(rule(GUARD, table, DIVERT, expressions));
    }
    let marking =
        vec![load_meta(MetaKey::Mark), or(mark), store_mark(), verdict(Verdict::Other(ACCEPT), None)];
    steps.push(rule("rule that marks", table, DIVERT, marking));
    steps
}

/// Takes everything out of the table again.
pub(super) fn removal(table: &str) -> Vec<Step> {
    let delete = |name: &str| {
        let attributes = vec![ChainAttribute::Table(table.to_owned()), ChainAttribute::Name(name.to_owned())];
        Step { what: "chain", message: NfTablesMessage::DeleteChain(ChainMessage { attributes }), flags: 0 }
    };
    vec![flush(table, PREROUTING), flush(table, DIVERT), delete(PREROUTING), delete(DIVERT)]
}

/// Whether the step of that place, in [`steps`], makes a chain.
pub(super) fn is_chain(step: usize) -> bool {
    step < CHAINS
}

/// Whether the step of that place, in [`steps`], makes a rule.
pub(super) fn is_rule(step: usize) -> bool {
    step >= FIRST_RULE
}

/// Whether it is the guard that the kernel does not know.
pub(super) fn is_guard(steps: &[Step], refused: &BatchError) -> bool {
    refused.step.and_then(|step| steps.get(step)).is_some_and(|step| step.what == GUARD)
}

fn chain(table: &str, name: &str, hooked: bool) -> Step {
    let mut attributes = vec![ChainAttribute::Table(table.to_owned()), ChainAttribute::Name(name.to_owned())];
    if hooked {
        attributes.extend([
            ChainAttribute::Type("filter".to_owned()),
            ChainAttribute::Policy(ACCEPT),
            ChainAttribute::Hook(vec![
                Hook::Number(InetHookNumber::PreRouting.into()),
                Hook::Priority(PRIORITY.cast_unsigned()),
            ]),
        ]);
    }
    let message = NfTablesMessage::NewChain(ChainMessage { attributes });
    Step { what: if hooked { "chain `prerouting`" } else { "chain `divert`" }, message, flags: NLM_F_CREATE }
}

/// `NFT_MSG_DELRULE` with a chain and no handle: all rules of the chain.
fn flush(table: &str, chain: &str) -> Step {
    let attributes = vec![RuleAttribute::Table(table.to_owned()), RuleAttribute::Chain(chain.to_owned())];
    Step { what: "old rules", message: NfTablesMessage::DeleteRule(RuleMessage { attributes }), flags: 0 }
}

fn rule(what: &'static str, table: &str, chain: &str, expressions: Vec<Expression>) -> Step {
    let attributes = vec![
        RuleAttribute::Table(table.to_owned()),
        RuleAttribute::Chain(chain.to_owned()),
        RuleAttribute::Expressions(expressions),
    ];
    let message = NfTablesMessage::NewRule(RuleMessage { attributes });
    Step { what, message, flags: NLM_F_CREATE | NLM_F_APPEND }
}

fn load_meta(key: MetaKey) -> Expression {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]).into()
}

fn store_mark() -> Expression {
    Expressions::Meta(vec![Meta::Key(MetaKey::Mark), Meta::SourceRegister(Register::Reg1)]).into()
}

/// `socket <key>` into register 1: `NFTA_SOCKET_KEY`, `NFTA_SOCKET_DREG`, both big-endian.
pub(super) fn socket(key: SocketKey) -> Expression {
    const KEY: u16 = 1;
    const DESTINATION: u16 = 2;
    let attributes = vec![
        DefaultNla::new(KEY, (key as u32).to_be_bytes().to_vec()),
        DefaultNla::new(DESTINATION, u32::from(Register::Reg1).to_be_bytes().to_vec()),
    ];
    Expressions::Other { expression_type: "socket".to_owned(), attributes }.into()
}

fn equals(value: &[u8]) -> Expression {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(Operator::Equal),
        Cmp::Data(DataAttribute::Value(value.to_vec())),
    ])
    .into()
}

/// Sets the bit in register 1 and leaves the other 31: `(register & !bit) ^ bit`, host byte order.
fn or(mark: Mark) -> Expression {
    const FOUR_BYTES: u32 = 4;
    let bit = mark.value();
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(FOUR_BYTES),
        Bitwise::Mask(DataAttribute::Value((!bit).to_ne_bytes().to_vec())),
        Bitwise::Xor(DataAttribute::Value(bit.to_ne_bytes().to_vec())),
    ])
    .into()
}

fn verdict(verdict: Verdict, chain: Option<&str>) -> Expression {
    let mut attributes = vec![VerdictAttribute::Code(verdict)];
    attributes.extend(chain.map(|chain| VerdictAttribute::Chain(chain.to_owned())));
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(attributes)),
    ])
    .into()
}
