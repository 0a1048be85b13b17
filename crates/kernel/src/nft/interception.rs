//! The chain that hands connections to addresses of others to a listener of this host (`tproxy`).
//!
//! ```text
//!   chain prerouting { ...
//!     iif "lo" return
//!     meta l4proto tcp tcp flags & (fin | syn | rst | ack) == syn jump intercept      # before the rules for sockets
//!     ...
//!     meta l4proto tcp jump intercept                                                 # last, and only if closed
//!   }
//!   chain intercept {
//!     fib daddr type local return
//!     iifname "lan0" ip daddr 10.2.0.0/16 tcp dport 80 tproxy ip to :8080 meta mark set meta mark | 0x20000000 accept
//!     ...
//!   }
//! ```
//!
//! What `tproxy` does for a packet: a connection that exists gets it; of one in `TIME_WAIT` a new SYN is given to the
//! listener, which nobody else does for a listener with another port, so that a client who uses a port again need not
//! wait for a second. That is why new connections come here before the rules for sockets ask. Where nobody listens the
//! rule counts as not there (`NFT_BREAK`), and the packet goes on as if nothing were intercepted.
//!
//! **What is under way stays untouched** unless closed: only the first packet of a connection comes here, the others find
//! their socket by the rules for sockets, or none, and are forwarded. So whoever was connected past us when we began is
//! not cut off. The price: the answer to a SYN cookie has no socket either, so a client that gets one, in a flood of
//! SYNs, is lost. Closed, everything that no socket claims comes here, and what nobody knows is reset.
//!
//! Packets to an address of this host are nobody else's. The mark is that of diverted packets, so the way is the same.

use std::net::IpAddr;

use clearway_core::intercept::{Interception, Network, Ports, Target};
use clearway_core::names::Mark;
use netlink_packet_netfilter::nftables::{MetaKey, Verdict};

use super::expressions::{
    Expression, Part as Field, at_least, at_most, equals, field, is_local, load_meta, masked, or, port,
    store_mark, tproxy, verdict,
};
use super::rules::{ACCEPT, PREROUTING, TCP, rule};
use crate::netlink::Step;

pub(super) const INTERCEPT: &str = "intercept";
/// What the steps that need `tproxy` or `fib` are called.
pub(super) const STEPS: [&str; 2] = ["rule that intercepts", "rule for own addresses"];
/// Bytes of an interface's name (`IFNAMSIZ`).
const NAME: usize = 16;
/// FIN, SYN, RST, ACK in byte 13 of a TCP header, and SYN alone.
const FLAGS: u8 = 0x17;
const SYN: u8 = 0x02;
/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const V4: u8 = 2;
const V6: u8 = 10;
/// `NFPROTO_UNSPEC`.
const ANY: u8 = 0;

/// New connections come here before anybody asks for a socket.
pub(super) fn first(table: &str) -> Step {
    let expressions = vec![
        load_meta(MetaKey::L4Proto),
        equals(&[TCP]),
        field(Field::TcpFlags),
        masked(&[FLAGS], &[0]),
        equals(&[SYN]),
        verdict(Verdict::Jump, Some(INTERCEPT)),
    ];
    rule("rule for new connections", table, PREROUTING, expressions)
}

/// And so does what has no socket.
pub(super) fn last(table: &str) -> Step {
    let expressions =
        vec![load_meta(MetaKey::L4Proto), equals(&[TCP]), verdict(Verdict::Jump, Some(INTERCEPT))];
    rule("rule for what has no socket", table, PREROUTING, expressions)
}

/// The rules of the chain.
pub(super) fn rules(table: &str, mark: Mark, interception: &Interception) -> Vec<Step> {
    let [intercepts, own] = STEPS;
    let mut steps = Vec::new();
    if interception.is_empty() {
        return steps;
    }
    let mut local = is_local().to_vec();
    local.push(verdict(Verdict::Return, None));
    steps.push(rule(own, table, INTERCEPT, local));
    steps.extend(
        interception.targets().map(|target| rule(intercepts, table, INTERCEPT, expressions(&target, mark))),
    );
    steps
}

fn expressions(target: &Target<'_>, mark: Mark) -> Vec<Expression> {
    let mut all = Vec::new();
    if let Some(name) = target.interface {
        let mut padded = name.as_bytes().to_vec();
        padded.resize(NAME, 0);
        all.extend([load_meta(MetaKey::Iifname), equals(&padded)]);
    }
    all.extend(target.destination.into_iter().flat_map(is_in));
    // Each by itself, although only TCP comes here: so `nft` shows it in a form that it takes.
    all.extend([load_meta(MetaKey::L4Proto), equals(&[TCP])]);
    all.extend(target.ports.into_iter().flat_map(is_among));
    all.extend([port(target.to), tproxy(target.destination.map_or(ANY, family))]);
    all.extend([load_meta(MetaKey::Mark), or(mark), store_mark(), verdict(Verdict::Other(ACCEPT), None)]);
    all
}

fn family(network: Network) -> u8 {
    if network.address().is_ipv4() { V4 } else { V6 }
}

/// `ip daddr NETWORK`, with the family in front, as a table of family `inet` needs it.
fn is_in(network: Network) -> Vec<Expression> {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let destination = if network.address().is_ipv4() { Field::DestinationV4 } else { Field::DestinationV6 };
    let mut all = vec![load_meta(MetaKey::Nfproto), equals(&[family(network)])];
    let (address, mask) = (octets(network.address()), octets(network.mask()));
    if network.length() > 0 {
        all.push(field(destination));
        if mask.iter().any(|byte| *byte != u8::MAX) {
            all.push(masked(&mask, &vec![0; mask.len()]));
        }
        all.push(equals(&address));
    }
    all
}

/// `tcp dport PORTS`.
fn is_among(ports: Ports) -> Vec<Expression> {
    let (first, last) = (ports.first.to_be_bytes(), ports.last.to_be_bytes());
    let mut all = vec![field(Field::DestinationPort)];
    if first == last {
        all.push(equals(&first));
    } else {
        all.extend([at_least(&first), at_most(&last)]);
    }
    all
}
