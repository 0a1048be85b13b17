//! Sets, chains and rules of a gate as netlink messages: what [`super`]'s first lines show, nothing else.
//!
//! Pure. Two chains, so that the packets of everybody else cost one rule.

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_netfilter::nftables::{
    InetHookNumber, MetaKey, NfTablesMessage, Register, SetAttribute, SetFlags, SetMessage, TableFlags,
    Verdict,
};

use super::keys::{Keys, Set};
use crate::netlink::{BatchError, Step};
use crate::nft::expressions::{
    Expression, Header, and_byte, equals, load_meta, load_payload, look_up, queue, verdict, xt_queue,
};
use crate::nft::new_table;
use crate::nft::rules::{DROP, TCP, base, flush, plain, rule};

const INPUT: &str = "input";
const CLOSED: &str = "closed";
/// After the filters of others (0), `security` (50) and NAT (100), before conntrack's helpers (300) and the end, where
/// conntrack takes note of a new connection.
const PRIORITY: i32 = 299;
/// Flags of TCP, in the fourteenth byte of its header: FIN, SYN, RST and ACK, of which a first SYN has one.
const FLAGS: u32 = 13;
const FIN_SYN_RST_ACK: u8 = 0b1_0111;
const SYN: u8 = 0b10;
/// `NFPROTO_IPV4` and `_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// nft's own numbers of types, for who lists the set; parts of a key are six bits apart.
const SERVICE: u32 = 13;
const ADDRESS4: u32 = (7 << 6) | SERVICE;
const ADDRESS6: u32 = (8 << 6) | SERVICE;
/// What a step is about, for the error message, and for [`about`].
const QUEUE_RULE: &str = "rule that holds";

/// The same of a set whose elements go by themselves.
const TIMED_SET: &str = "set with timeouts";

/// What becomes of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Drop,
    Queue { number: u16, by: QueueBy },
}

/// What brings a packet into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueBy {
    /// nft's expression `queue` (`nft_queue`).
    Expression,
    /// iptables' target (`nft_compat`, `xt_NFQUEUE`).
    Target,
}

/// Closes: everything in the table, in one transaction.
pub(super) fn steps(table: &str, keys: &Keys, how: How) -> Vec<Step> {
    let mut steps: Vec<Step> = (1..).zip(keys.sets()).map(|(id, set)| new_set(table, set, id)).collect();
    steps.extend(keys.steps(table));
    steps.push(plain(table, CLOSED));
    steps.extend(keys.sets().map(|set| stop(table, set, how)));
    steps.push(base(table, INPUT, "chain `input`", "filter", InetHookNumber::LocalIn, PRIORITY));
    let first = [
        load_meta(MetaKey::L4Proto),
        equals(&[TCP]),
        load_payload(Header::Transport, FLAGS, 1, Register::Reg1),
        and_byte(FIN_SYN_RST_ACK),
        equals(&[SYN]),
        verdict(Verdict::Goto, Some(CLOSED)),
    ];
    steps.push(rule("rule for SYNs", table, INPUT, first.into()));
    steps
}

/// Opens: no packet comes to the rules any more. The chains stay (see [`super`]).
pub(super) fn opening(table: &str) -> [Step; 1] {
    [flush(table, INPUT)]
}

/// Everything that needs something of the kernel, in a table of its own, but no hook: with that undone the kernel would
/// drop what waits in the queues of others.
pub(super) fn trial(table: &str, how: How) -> Vec<Step> {
    let mut steps = vec![new_table(&table, TableFlags::empty()), plain(table, CLOSED)];
    for (id, set) in (1..).zip(Set::ALL) {
        steps.extend([new_set(table, set, id), stop(table, set, how)]);
    }
    steps
}

/// A rule with iptables' target for family `ip`, to have its module loaded: for `inet` the kernel finds a target that is
/// there, and does not know what the module of one that is not is called (`xt_prefix`).
pub(super) fn target_of_ipv4(table: &str, number: u16) -> [Step; 3] {
    let expressions = vec![xt_queue(number)];
    let held = rule(QUEUE_RULE, table, CLOSED, expressions);
    [new_table(&table, TableFlags::empty()), plain(table, CLOSED), held]
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A rule that leads into a queue.
    QueueRule,
    /// A set with timeouts.
    Set,
    /// Anything else.
    Other,
}

/// What the refused step is about.
pub(super) fn about(steps: &[Step], refused: &BatchError) -> About {
    match refused.step.and_then(|step| steps.get(step)).map(|step| step.what) {
        Some(QUEUE_RULE) => About::QueueRule,
        Some(TIMED_SET) => About::Set,
        _ => About::Other,
    }
}

fn new_set(table: &str, set: Set, id: u32) -> Step {
    let (kind, length) = match set {
        Set::Ports | Set::Ports4 | Set::Ports6 => (SERVICE, 2),
        Set::Addresses4 => (ADDRESS4, 4 + 4),
        Set::Addresses6 => (ADDRESS6, 16 + 4),
    };
    let attributes = vec![
        SetAttribute::Table(table.to_owned()),
        SetAttribute::Name(set.name().to_owned()),
        SetAttribute::Flags(SetFlags::Timeout),
        SetAttribute::KeyType(kind),
        SetAttribute::KeyLen(length),
        SetAttribute::Id(id),
    ];
    let message = NfTablesMessage::NewSet(SetMessage { attributes });
    Step { what: TIMED_SET, message, flags: NLM_F_CREATE }
}

/// `meta nfproto ... <key> @<set> drop`, or into the queue.
fn stop(table: &str, set: Set, how: How) -> Step {
    let family = |family| [load_meta(MetaKey::Nfproto), equals(&[family])];
    let tcp = [load_meta(MetaKey::L4Proto), equals(&[TCP])];
    let port = |register| load_payload(Header::Transport, 2, 2, register);
    let mut expressions: Vec<Expression> = match set {
        Set::Ports => tcp.into_iter().chain([port(Register::Reg1)]).collect(),
        Set::Ports4 => family(IPV4).into_iter().chain(tcp).chain([port(Register::Reg1)]).collect(),
        Set::Ports6 => family(IPV6).into_iter().chain(tcp).chain([port(Register::Reg1)]).collect(),
        Set::Addresses4 => {
            let address = load_payload(Header::Network, 16, 4, Register::Reg1);
            family(IPV4).into_iter().chain(tcp).chain([address, port(Register::Reg32_01)]).collect()
        }
        Set::Addresses6 => {
            let address = load_payload(Header::Network, 24, 16, Register::Reg1);
            family(IPV6).into_iter().chain(tcp).chain([address, port(Register::Reg2)]).collect()
        }
    };
    expressions.push(look_up(set.name()));
    let (what, last) = match how {
        How::Drop => ("rule that drops", verdict(Verdict::Other(DROP), None)),
        How::Queue { number, by: QueueBy::Expression } => (QUEUE_RULE, queue(number)),
        How::Queue { number, by: QueueBy::Target } => (QUEUE_RULE, xt_queue(number)),
    };
    expressions.push(last);
    rule(what, table, CLOSED, expressions)
}
