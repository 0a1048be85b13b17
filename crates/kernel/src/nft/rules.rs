//! Chains and rules as netlink messages: what the module's first lines show, nothing else.
//!
//! Pure. The bytes are those that `nft` 1.0.6 sends for the same text (see the tests); the expressions that
//! netlink-packet-netfilter does not know are in [`super::expressions`].

use clearway_core::intercept::Interception;
use clearway_core::names::Mark;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, InetHookNumber, MetaKey, NfTablesMessage, RuleAttribute, RuleMessage,
    Verdict,
};

use super::expressions::{
    CtKey, Expression, SocketKey, and, ct, equals, load_meta, or, reset, socket, store_ct_mark, store_mark,
    verdict,
};
use super::interception::{self, INTERCEPT};
use super::strays;
use crate::interfaces::LOOPBACK;
use crate::netlink::{BatchError, Step};

pub(super) const PREROUTING: &str = "prerouting";
const DIVERT: &str = "divert";
const OUTPUT: &str = "output";
pub(super) const FORWARD: &str = "forward";
pub(super) const POSTROUTING: &str = "postrouting";
/// `mangle`, as `nft` calls it: after conntrack, before NAT and routing.
const PRIORITY: i32 = -150;
/// `raw`: before everybody else.
const FIRST: i32 = -300;
/// `NF_ACCEPT`.
pub(crate) const ACCEPT: u32 = 1;
/// `NF_DROP`.
pub(crate) const DROP: u32 = 0;
/// In this order: nearly every packet that matters is TCP.
const PROTOCOLS: [(&str, u8); 3] = [("rule for TCP", 6), ("rule for ICMP", 1), ("rule for ICMPv6", 58)];
pub(crate) const TCP: u8 = 6;
const GUARD: &str = "guard against wildcard listeners";
const RESET: &str = "rule that resets";
const CONNTRACK: [&str; 2] = ["rule that marks connections", "rule that marks replies"];
const OUTPUT_CHAIN: &str = "chain `output`";
/// `enum ip_conntrack_dir`: the way of a connection's first packet, and back.
const ORIGINAL: u8 = 0;
const REPLY: u8 = 1;

/// What to put into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// The bit of diverted packets, and of the connection mark.
    pub mark: Mark,
    /// Whether to keep transparent wildcard listeners from hijacking what is forwarded.
    pub guard: bool,
    /// The part that needs conntrack.
    pub own: Option<Own>,
}

/// For servers on this host's own addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// The bit of their replies.
    pub mark: Mark,
    /// Whether to answer a SYN-ACK with a reset if nobody waits for it any more.
    pub reset: bool,
}

/// The whole content of a table. Chains that exist are emptied first; `stale`: there may be an `output` chain
/// that is needed no longer. `interception`: what the chain for it holds, if there is one.
pub(super) fn steps(
    table: &str,
    content: &Content,
    interception: Option<&Interception>,
    stale: bool,
) -> Vec<Step> {
    let Content { mark, guard, own } = *content;
    let mut steps = vec![hooked(table, PREROUTING), plain(table, DIVERT)];
    steps.extend(interception.map(|_| plain(table, INTERCEPT)));
    steps.extend([PREROUTING, DIVERT].map(|chain| flush(table, chain)));
    steps.extend(interception.map(|_| flush(table, INTERCEPT)));
    let interception = interception.filter(|some| !some.is_empty());
    let closed = interception.is_some_and(Interception::is_closed);
    if own.is_some() || stale {
        // Made, so that a chain that is not there, because somebody removed it, can be emptied and deleted.
        steps.extend([hooked(table, OUTPUT), flush(table, OUTPUT)]);
    }
    if own.is_none() && stale {
        steps.push(delete(table, OUTPUT));
    }
    let loopback =
        vec![load_meta(MetaKey::Iif), equals(&LOOPBACK.to_ne_bytes()), verdict(Verdict::Return, None)];
    steps.push(rule("rule for `lo`", table, PREROUTING, loopback));
    steps.extend(interception.map(|_| interception::first(table)));
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
    if own.is_some_and(|own| own.reset) {
        let mut expressions = vec![load_meta(MetaKey::L4Proto), equals(&[TCP])];
        expressions.extend(is_reply(mark));
        expressions.push(reset());
        steps.push(rule(RESET, table, PREROUTING, expressions));
    }
    steps.extend(closed.then(|| interception::last(table)));
    if guard {
        // It came by `goto`: a plain return is the end, and what has no socket must not be lost to a listener's.
        let on =
            if closed { verdict(Verdict::Goto, Some(INTERCEPT)) } else { verdict(Verdict::Return, None) };
        let expressions = vec![socket(SocketKey::Wildcard), equals(&[1]), on];
        steps.push(rule(GUARD, table, DIVERT, expressions));
    }
    let marking =
        vec![load_meta(MetaKey::Mark), or(mark), store_mark(), verdict(Verdict::Other(ACCEPT), None)];
    steps.push(rule("rule that marks", table, DIVERT, marking));
    if let Some(own) = own {
        steps.extend(output(table, mark, own.mark));
    }
    steps.extend(interception.into_iter().flat_map(|some| interception::rules(table, mark, some)));
    steps.extend(strays::steps(table, mark, own.map(|own| own.mark), stale));
    steps
}

/// Remembers the connections of transparent sockets, and marks what is sent back to them from this host.
fn output(table: &str, mark: Mark, of_replies: Mark) -> [Step; 2] {
    let remember = vec![
        load_meta(MetaKey::L4Proto),
        equals(&[TCP]),
        ct(CtKey::Direction),
        equals(&[ORIGINAL]),
        socket(SocketKey::Transparent),
        equals(&[1]),
        ct(CtKey::Mark),
        or(mark),
        store_ct_mark(),
    ];
    let mut reply = is_reply(mark);
    reply.extend([load_meta(MetaKey::Mark), or(of_replies), store_mark()]);
    [rule(CONNTRACK[0], table, OUTPUT, remember), rule(CONNTRACK[1], table, OUTPUT, reply)]
}

/// `ct direction reply ct mark & M == M`.
fn is_reply(mark: Mark) -> Vec<Expression> {
    vec![
        ct(CtKey::Direction),
        equals(&[REPLY]),
        ct(CtKey::Mark),
        and(mark),
        equals(&mark.value().to_ne_bytes()),
    ]
}

/// Takes everything out of the table again; `output`: also what is there for servers on this host, `intercept`: also
/// the chain that intercepts.
pub(super) fn removal(table: &str, output: bool, intercept: bool) -> Vec<Step> {
    let for_own: &[&str] = if output { &[OUTPUT, POSTROUTING] } else { &[] };
    let more = || for_own.iter().copied().chain(intercept.then_some(INTERCEPT));
    let chains = || [PREROUTING, DIVERT, FORWARD].into_iter().chain(more());
    let flushes = chains().map(|chain| flush(table, chain));
    flushes.chain(chains().map(|chain| delete(table, chain))).collect()
}

/// What a step is about, for the explanation of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A chain; the one of `output` is of type `route`.
    Chain { output: bool },
    /// A rule that needs `socket` and what is always there.
    Rule,
    /// [`Content::guard`].
    Guard,
    /// [`Own::reset`].
    Reset,
    /// A rule that needs conntrack.
    Conntrack,
    /// A rule that needs `tproxy` or `fib`.
    Interception,
    /// Anything else.
    Other,
}

/// What was refused; nothing if it was the batch as a whole.
pub(super) fn part(steps: &[Step], refused: &BatchError) -> Option<Part> {
    let step = steps.get(refused.step?)?;
    Some(match (&step.message, step.what) {
        (NfTablesMessage::NewChain(_), what) => Part::Chain { output: what == OUTPUT_CHAIN },
        (NfTablesMessage::NewRule(_), GUARD) => Part::Guard,
        (NfTablesMessage::NewRule(_), RESET) => Part::Reset,
        (NfTablesMessage::NewRule(_), what) if CONNTRACK.contains(&what) => Part::Conntrack,
        (NfTablesMessage::NewRule(_), what) if interception::STEPS.contains(&what) => Part::Interception,
        (NfTablesMessage::NewRule(_), _) => Part::Rule,
        _ => Part::Other,
    })
}

/// A chain that packets come to. `output` is of type `route`: after a change of the mark the kernel looks for the
/// way again.
pub(super) fn hooked(table: &str, name: &str) -> Step {
    let (what, kind, hook, priority) = match name {
        OUTPUT => (OUTPUT_CHAIN, "route", InetHookNumber::LocalOut, PRIORITY),
        FORWARD => ("chain `forward`", "filter", InetHookNumber::Forward, FIRST),
        POSTROUTING => ("chain `postrouting`", "filter", InetHookNumber::PostRouting, FIRST),
        _ => ("chain `prerouting`", "filter", InetHookNumber::PreRouting, PRIORITY),
    };
    base(table, name, what, kind, hook, priority)
}

/// A chain at a hook, which accepts what its rules say nothing about.
pub(crate) fn base(
    table: &str,
    name: &str,
    what: &'static str,
    kind: &str,
    hook: InetHookNumber,
    priority: i32,
) -> Step {
    let attributes = vec![
        ChainAttribute::Table(table.to_owned()),
        ChainAttribute::Name(name.to_owned()),
        ChainAttribute::Type(kind.to_owned()),
        ChainAttribute::Policy(ACCEPT),
        ChainAttribute::Hook(vec![Hook::Number(hook.into()), Hook::Priority(priority.cast_unsigned())]),
    ];
    let message = NfTablesMessage::NewChain(ChainMessage { attributes });
    Step { what, message, flags: NLM_F_CREATE }
}

/// A chain that only other chains lead to.
pub(crate) fn plain(table: &str, name: &str) -> Step {
    let attributes = vec![ChainAttribute::Table(table.to_owned()), ChainAttribute::Name(name.to_owned())];
    let message = NfTablesMessage::NewChain(ChainMessage { attributes });
    Step { what: "chain without a hook", message, flags: NLM_F_CREATE }
}

pub(super) fn delete(table: &str, name: &str) -> Step {
    let attributes = vec![ChainAttribute::Table(table.to_owned()), ChainAttribute::Name(name.to_owned())];
    Step { what: "chain", message: NfTablesMessage::DeleteChain(ChainMessage { attributes }), flags: 0 }
}

/// `NFT_MSG_DELRULE` with a chain and no handle: all rules of the chain.
pub(crate) fn flush(table: &str, chain: &str) -> Step {
    let attributes = vec![RuleAttribute::Table(table.to_owned()), RuleAttribute::Chain(chain.to_owned())];
    Step { what: "old rules", message: NfTablesMessage::DeleteRule(RuleMessage { attributes }), flags: 0 }
}

pub(crate) fn rule(what: &'static str, table: &str, chain: &str, expressions: Vec<Expression>) -> Step {
    let attributes = vec![
        RuleAttribute::Table(table.to_owned()),
        RuleAttribute::Chain(chain.to_owned()),
        RuleAttribute::Expressions(expressions),
    ];
    let message = NfTablesMessage::NewRule(RuleMessage { attributes });
    Step { what, message, flags: NLM_F_CREATE | NLM_F_APPEND }
}
