//! nft expressions as netlink attributes: those of netlink-packet-netfilter, and `socket`, `ct`, `reject`, `tproxy`,
//! `fib`, `queue` and `target`, which it does not know (0.4.0).
//!
//! Pure. Everything goes through register 1, except the later parts of a key for [`look_up`].

use clearway_core::names::Mark;
use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Lookup, Meta,
    MetaKey, Operator, Payload, Register, Verdict, VerdictAttribute,
};

pub(crate) type Expression = ListAttribute<ExpressionAttribute>;

/// Keys of the `socket` expression (`enum nft_socket_keys`).
#[derive(Clone, Copy, Debug)]
pub(crate) enum SocketKey {
    Transparent = 0,
    Wildcard = 2,
}

/// Keys of the `ct` expression (`enum nft_ct_keys`).
#[derive(Clone, Copy, Debug)]
pub(crate) enum CtKey {
    Direction = 1,
    Status = 2,
    Mark = 3,
}

pub(crate) fn load_meta(key: MetaKey) -> Expression {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]).into()
}

pub(crate) fn store_mark() -> Expression {
    Expressions::Meta(vec![Meta::Key(MetaKey::Mark), Meta::SourceRegister(Register::Reg1)]).into()
}

/// `socket <key>` into register 1: `NFTA_SOCKET_KEY`, `NFTA_SOCKET_DREG`.
pub(crate) fn socket(key: SocketKey) -> Expression {
    other("socket", &[(1, key as u32), (2, Register::Reg1.into())])
}

/// `ct <key>` into register 1: `NFTA_CT_DREG`, `NFTA_CT_KEY`.
pub(crate) fn ct(key: CtKey) -> Expression {
    other("ct", &[(2, key as u32), (1, Register::Reg1.into())])
}

/// `ct mark set` from register 1: `NFTA_CT_KEY`, `NFTA_CT_SREG`.
pub(crate) fn store_ct_mark() -> Expression {
    other("ct", &[(2, CtKey::Mark as u32), (4, Register::Reg1.into())])
}

/// `reject with tcp reset`: `NFTA_REJECT_TYPE`. The reset comes from the client's address, although that is not
/// this host's: the kernel's own resets cannot.
pub(crate) fn reset() -> Expression {
    /// `NFT_REJECT_TCP_RST`.
    const TCP_RESET: u32 = 1;
    other("reject", &[(1, TCP_RESET)])
}

/// `tproxy to :PORT`, the port from register 1: `NFTA_TPROXY_FAMILY`, `NFTA_TPROXY_REG_PORT`. Without an address the
/// listener is looked for at the interface's own. `family`: the one that the rule is about, or 0 (`NFPROTO_UNSPEC`).
pub(crate) fn tproxy(family: u8) -> Expression {
    other("tproxy", &[(1, family.into()), (3, Register::Reg1.into())])
}

/// A port in register 1, as packets have it.
pub(crate) fn port(number: u16) -> Expression {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Reg1),
        Immediate::Data(DataAttribute::Value(number.to_be_bytes().to_vec())),
    ])
    .into()
}

/// `fib daddr type local`: `NFTA_FIB_FLAGS`, `NFTA_FIB_RESULT`, `NFTA_FIB_DREG`.
pub(crate) fn is_local() -> [Expression; 2] {
    /// `NFTA_FIB_F_DADDR`.
    const DESTINATION: u32 = 1 << 1;
    /// `NFT_FIB_RESULT_ADDRTYPE`.
    const TYPE: u32 = 3;
    /// `RTN_LOCAL`.
    const LOCAL: u32 = 2;
    [other("fib", &[(3, DESTINATION), (2, TYPE), (1, Register::Reg1.into())]), equals(&LOCAL.to_ne_bytes())]
}

/// A field of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    DestinationV4,
    DestinationV6,
    DestinationPort,
    TcpFlags,
}

/// The field in register 1.
pub(crate) fn field(part: Part) -> Expression {
    let (base, offset, length) = match part {
        Part::DestinationV4 => (Header::Network, 16, 4),
        Part::DestinationV6 => (Header::Network, 24, 16),
        Part::DestinationPort => (Header::Transport, 2, 2),
        Part::TcpFlags => (Header::Transport, 13, 1),
    };
    load_payload(base, offset, length, Register::Reg1)
}

/// Where a packet is read from, as [`load_payload`] counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Header {
    /// IPv4 or IPv6.
    Network = 1,
    /// TCP.
    Transport = 2,
}

/// Some bytes of the packet into a register.
pub(crate) fn load_payload(header: Header, offset: u32, length: u32, register: Register) -> Expression {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register),
        Payload::Base(header as u32),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
    .into()
}

/// Whether the set has what begins in register 1; how long that is, the set knows.
pub(crate) fn look_up(set: &str) -> Expression {
    Expressions::Lookup(vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(Register::Reg1)]).into()
}

/// `queue flags bypass to <number>`: `NFTA_QUEUE_NUM`, `_TOTAL`, `_FLAGS` (`NFT_QUEUE_FLAG_BYPASS`).
pub(crate) fn queue(number: u16) -> Expression {
    let short = |kind, value: u16| DefaultNla::new(kind, value.to_be_bytes().to_vec());
    let attributes = vec![short(1, number), short(2, 1), short(3, 1)];
    Expressions::Other { expression_type: "queue".to_owned(), attributes }.into()
}

/// `-j NFQUEUE --queue-bypass --queue-num <number>` of iptables: `NFTA_TARGET_NAME`, `_REV`, `_INFO`.
pub(crate) fn xt_queue(number: u16) -> Expression {
    /// `struct xt_NFQ_info_v3`: number, how many, `NFQ_FLAG_BYPASS`, each of two bytes, padded to eight.
    const REVISION: u32 = 3;
    let info = [number, 1, 1, 0].into_iter().flat_map(u16::to_ne_bytes).collect();
    let attributes = vec![
        DefaultNla::new(1, b"NFQUEUE\0".to_vec()),
        DefaultNla::new(2, REVISION.to_be_bytes().to_vec()),
        DefaultNla::new(3, info),
    ];
    Expressions::Other { expression_type: "target".to_owned(), attributes }.into()
}

/// An expression with numbers, big-endian, as its attributes.
pub(crate) fn other(name: &str, attributes: &[(u16, u32)]) -> Expression {
    let attribute = |(kind, value): &(u16, u32)| DefaultNla::new(*kind, value.to_be_bytes().to_vec());
    let attributes = attributes.iter().map(attribute).collect();
    Expressions::Other { expression_type: name.to_owned(), attributes }.into()
}

pub(crate) fn equals(value: &[u8]) -> Expression {
    compare(Operator::Equal, value)
}

pub(crate) fn differs(value: &[u8]) -> Expression {
    compare(Operator::NotEqual, value)
}

pub(super) fn at_least(value: &[u8]) -> Expression {
    compare(Operator::GreatherThanEqual, value)
}

pub(super) fn at_most(value: &[u8]) -> Expression {
    compare(Operator::LessThanEqual, value)
}

fn compare(operator: Operator, value: &[u8]) -> Expression {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value.to_vec())),
    ])
    .into()
}

/// Sets the bit in register 1 and leaves the other 31: `(register & !bit) ^ bit`, host byte order.
pub(crate) fn or(mark: Mark) -> Expression {
    bitwise(!mark.value(), mark.value())
}

/// Leaves only the bit in register 1.
pub(crate) fn and(mark: Mark) -> Expression {
    bitwise(mark.value(), 0)
}

/// Leaves only these bits of the one byte in register 1.
pub(crate) fn and_byte(mask: u8) -> Expression {
    masked(&[mask], &[0])
}

fn bitwise(mask: u32, xor: u32) -> Expression {
    masked(&mask.to_ne_bytes(), &xor.to_ne_bytes())
}

/// Leaves the bits of the mask in register 1, and turns those of `xor` over. Both have the length of what is there.
pub(crate) fn masked(mask: &[u8], xor: &[u8]) -> Expression {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(u32::try_from(mask.len()).unwrap_or_default()),
        Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
        Bitwise::Xor(DataAttribute::Value(xor.to_vec())),
    ])
    .into()
}

pub(crate) fn verdict(verdict: Verdict, chain: Option<&str>) -> Expression {
    let mut attributes = vec![VerdictAttribute::Code(verdict)];
    attributes.extend(chain.map(|chain| VerdictAttribute::Chain(chain.to_owned())));
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(attributes)),
    ])
    .into()
}
