//! nft expressions as netlink attributes: those of netlink-packet-netfilter, and `socket`, `ct` and `reject`,
//! which it does not know (0.4.0).
//!
//! Pure. Everything goes through register 1.

use clearway_core::names::Mark;
use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Meta, MetaKey,
    Operator, Register, Verdict, VerdictAttribute,
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

fn bitwise(mask: u32, xor: u32) -> Expression {
    masked(&mask.to_ne_bytes(), &xor.to_ne_bytes())
}

/// `(register & mask) ^ xor` of register 1, both of one length.
pub(crate) fn masked(mask: &[u8], xor: &[u8]) -> Expression {
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(u32::try_from(mask.len()).unwrap_or(0)),
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
