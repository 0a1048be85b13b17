//! Chains and rules of a flip as netlink messages: what the module's first lines show, nothing else.
//!
//! Pure.

use netlink_packet_netfilter::nftables::{
    Expressions, InetHookNumber, Lookup, MetaKey, Payload, Register, Verdict,
};

use super::content::{self, Kind, Side};
use crate::netlink::Step;
use crate::nft::expressions::{
    CtKey, Expression, ct, differs, equals, load_meta, masked, other, reset, verdict,
};
use crate::nft::rules::{TCP, base, flush, plain, rule};

/// What steps are about, for the explanation of a refusal.
pub(super) const NAT: &str = "chain that redirects";
pub(super) const LOCAL: &str = "rule for local addresses";
pub(super) const REDIRECT: &str = "rule that redirects";
pub(super) const CONNTRACK: &str = "rule for the redirected";
pub(super) const REJECT: &str = "rule against strangers";

const WAYS: &str = "ways";
const CLOSED: &str = "closed";
const INPUT: &str = "input";
/// `filter`, as `nft` calls it.
const FILTER: i32 = 0;
/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// `enum nft_payload_bases`.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// `IPS_DST_NAT`.
const REDIRECTED: u32 = 1 << 5;
/// Of TCP: FIN, SYN, RST, ACK; and SYN alone.
const FLAGS: u8 = 0x17;
const OPENS: u8 = 0x02;

/// All maps, sets and chains, with the rules that never change.
pub(super) fn all(table: &str, priority: i32) -> Vec<Step> {
    let mut steps = content::all(table);
    steps.extend([
        plain(table, WAYS),
        plain(table, CLOSED),
        base(table, "prerouting", NAT, "nat", InetHookNumber::PreRouting, priority),
        base(table, "output", NAT, "nat", InetHookNumber::LocalOut, priority),
        base(table, INPUT, "chain `input`", "filter", InetHookNumber::LocalIn, FILTER),
    ]);
    for chain in ["prerouting", "output"] {
        let mut local = opens();
        local.extend([destination_type(), equals(&LOCAL_ADDRESS.to_ne_bytes())]);
        local.push(verdict(Verdict::Goto, Some(WAYS)));
        steps.push(rule(LOCAL, table, chain, local));
    }
    let mut new = opens();
    new.push(verdict(Verdict::Goto, Some(CLOSED)));
    steps.push(rule("rule for new connections", table, INPUT, new));
    let redirected = vec![
        ct(CtKey::Status),
        masked(&REDIRECTED.to_ne_bytes(), &[0; 4]),
        differs(&[0; 4]),
        verdict(Verdict::Return, None),
    ];
    steps.push(rule(CONNTRACK, table, CLOSED, redirected));
    for kind in Kind::ALL {
        let mut expressions = key(kind);
        expressions.extend([look_up(kind.set(), None), reset()]);
        steps.push(rule(REJECT, table, CLOSED, expressions));
    }
    steps
}

/// The rules that use the maps of one side, instead of those that there are.
pub(super) fn ways(table: &str, side: Side) -> Vec<Step> {
    let mut steps = vec![flush(table, WAYS)];
    for kind in Kind::ALL {
        let mut expressions = key(kind);
        expressions.extend([look_up(kind.map(side), Some(Register::Reg1)), redirect(family(kind))]);
        steps.push(rule(REDIRECT, table, WAYS, expressions));
    }
    steps
}

fn family(kind: Kind) -> u8 {
    match kind {
        Kind::Addresses4 | Kind::Ports4 => IPV4,
        Kind::Addresses6 | Kind::Ports6 => IPV6,
    }
}

/// The key of a map or set in register 1, for packets of its family.
fn key(kind: Kind) -> Vec<Expression> {
    let mut expressions = vec![load_meta(MetaKey::Nfproto), equals(&[family(kind)])];
    expressions.extend(is_tcp());
    let port = |register| load(TRANSPORT, 2, 2, register);
    match kind {
        Kind::Ports4 | Kind::Ports6 => expressions.push(port(Register::Reg1)),
        Kind::Addresses4 => {
            expressions.extend([load(NETWORK, 16, 4, Register::Reg1), port(Register::Reg32_01)]);
        }
        Kind::Addresses6 => {
            expressions.extend([load(NETWORK, 24, 16, Register::Reg1), port(Register::Reg2)]);
        }
    }
    expressions
}

fn is_tcp() -> [Expression; 2] {
    [load_meta(MetaKey::L4Proto), equals(&[TCP])]
}

/// A connection begins. Conntrack calls also those new that were there before it was switched on: they stay where they are.
fn opens() -> Vec<Expression> {
    let mut expressions = is_tcp().to_vec();
    expressions.extend([load(TRANSPORT, 13, 1, Register::Reg1), masked(&[FLAGS], &[0]), equals(&[OPENS])]);
    expressions
}

fn load(base: u32, offset: u32, length: u32, register: Register) -> Expression {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
    .into()
}

fn look_up(set: String, value: Option<Register>) -> Expression {
    let mut attributes = vec![Lookup::Set(set), Lookup::SourceRegister(Register::Reg1)];
    attributes.extend(value.map(Lookup::DestinationRegister));
    Expressions::Lookup(attributes).into()
}

/// `RTN_LOCAL`.
const LOCAL_ADDRESS: u32 = 2;

/// `fib daddr type` into register 1: `NFTA_FIB_DREG`, `_RESULT` (`NFT_FIB_RESULT_ADDRTYPE`), `_FLAGS` (`NFTA_FIB_F_DADDR`).
fn destination_type() -> Expression {
    other("fib", &[(1, Register::Reg1.into()), (2, 3), (3, 2)])
}

/// `dnat to :<register 1>`: `NFTA_NAT_TYPE` (`NFT_NAT_DNAT`), `_FAMILY`, `_REG_PROTO_MIN`.
fn redirect(family: u8) -> Expression {
    other("nat", &[(1, 1), (2, family.into()), (5, Register::Reg1.into())])
}
