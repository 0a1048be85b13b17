//! nft expressions as netlink attributes: those of netlink-packet-netfilter, and `socket`, `ct`, `reject`, `tproxy` and
//! `fib`, which it does not know (0.4.0).
//!
//! Pure. Everything goes through register 1.

use clearway_core::names::Mark;
use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Meta, MetaKey,
    Operator, Payload, Register, Verdict, VerdictAttribute,
};

pub(super) type Expression = ListAttribute<ExpressionAttribute>;

/// Keys of the `socket` expression (`enum nft_socket_keys`).
#[derive(Clone, Copy, Debug)]
pub(super) enum SocketKey {
    Transparent = 0,
    Wildcard = 2,
}

/// Keys of the `ct` expression (`enum nft_ct_keys`).
#[derive(Clone, Copy, Debug)]
pub(super) enum CtKey {
    Direction = 1,
    Mark = 3,
}

pub(super) fn load_meta(key: MetaKey) -> Expression {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]).into()
}

pub(super) fn store_mark() -> Expression {
    Expressions::Meta(vec![Meta::Key(MetaKey::Mark), Meta::SourceRegister(Register::Reg1)]).into()
}

/// `socket <key>` into register 1: `NFTA_SOCKET_KEY`, `NFTA_SOCKET_DREG`.
pub(super) fn socket(key: SocketKey) -> Expression {
    other("socket", &[(1, key as u32), (2, Register::Reg1.into())])
}

/// `ct <key>` into register 1: `NFTA_CT_DREG`, `NFTA_CT_KEY`.
pub(super) fn ct(key: CtKey) -> Expression {
    other("ct", &[(2, key as u32), (1, Register::Reg1.into())])
}

/// `ct mark set` from register 1: `NFTA_CT_KEY`, `NFTA_CT_SREG`.
pub(super) fn store_ct_mark() -> Expression {
    other("ct", &[(2, CtKey::Mark as u32), (4, Register::Reg1.into())])
}

/// `reject with tcp reset`: `NFTA_REJECT_TYPE`. The reset comes from the client's address, although that is not
/// this host's: the kernel's own resets cannot.
pub(super) fn reset() -> Expression {
    /// `NFT_REJECT_TCP_RST`.
    const TCP_RESET: u32 = 1;
    other("reject", &[(1, TCP_RESET)])
}

/// `tproxy to :PORT`, the port from register 1: `NFTA_TPROXY_FAMILY`, `NFTA_TPROXY_REG_PORT`. Without an address the
/// listener is looked for at the interface's own. `family`: the one that the rule is about, or 0 (`NFPROTO_UNSPEC`).
pub(super) fn tproxy(family: u8) -> Expression {
    other("tproxy", &[(1, family.into()), (3, Register::Reg1.into())])
}

/// A port in register 1, as packets have it.
pub(super) fn port(number: u16) -> Expression {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Reg1),
        Immediate::Data(DataAttribute::Value(number.to_be_bytes().to_vec())),
    ])
    .into()
}

/// `fib daddr type local`: `NFTA_FIB_FLAGS`, `NFTA_FIB_RESULT`, `NFTA_FIB_DREG`.
pub(super) fn is_local() -> [Expression; 2] {
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
pub(super) enum Part {
    DestinationV4,
    DestinationV6,
    DestinationPort,
    TcpFlags,
}

/// The field in register 1.
pub(super) fn field(part: Part) -> Expression {
    /// `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    let (base, offset, length) = match part {
        Part::DestinationV4 => (NETWORK, 16, 4),
        Part::DestinationV6 => (NETWORK, 24, 16),
        Part::DestinationPort => (TRANSPORT, 2, 2),
        Part::TcpFlags => (TRANSPORT, 13, 1),
    };
    Expressions::Payload(vec![
        Payload::DestinationRegister(Register::Reg1),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
    .into()
}

/// An expression with numbers, big-endian, as its attributes.
fn other(name: &str, attributes: &[(u16, u32)]) -> Expression {
    let attribute = |(kind, value): &(u16, u32)| DefaultNla::new(*kind, value.to_be_bytes().to_vec());
    let attributes = attributes.iter().map(attribute).collect();
    Expressions::Other { expression_type: name.to_owned(), attributes }.into()
}

pub(super) fn equals(value: &[u8]) -> Expression {
    compare(Operator::Equal, value)
}

pub(super) fn differs(value: &[u8]) -> Expression {
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
pub(super) fn or(mark: Mark) -> Expression {
    bitwise(!mark.value(), mark.value())
}

/// Leaves only the bit in register 1.
pub(super) fn and(mark: Mark) -> Expression {
    bitwise(mark.value(), 0)
}

fn bitwise(mask: u32, xor: u32) -> Expression {
    masked(&mask.to_ne_bytes(), &xor.to_ne_bytes())
}

/// Leaves the bits of the mask in register 1, and turns those of `xor` over. Both have the length of what is there.
pub(super) fn masked(mask: &[u8], xor: &[u8]) -> Expression {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(u32::try_from(mask.len()).unwrap_or_default()),
        Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
        Bitwise::Xor(DataAttribute::Value(xor.to_vec())),
    ])
    .into()
}

pub(super) fn verdict(verdict: Verdict, chain: Option<&str>) -> Expression {
    let mut attributes = vec![VerdictAttribute::Code(verdict)];
    attributes.extend(chain.map(|chain| VerdictAttribute::Chain(chain.to_owned())));
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(attributes)),
    ])
    .into()
}
