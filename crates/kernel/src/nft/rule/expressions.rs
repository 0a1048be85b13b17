//! Single expressions of a rule, as netlink attributes.
//!
//! Pure.

use clearway_core::names::Mark;
use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Lookup, Meta,
    MetaKey, Operator, Payload, Register, Verdict, VerdictAttribute,
};

use crate::netlink::Feature;
use crate::transparency::Family;

pub(super) type ExpressionNla = ListAttribute<ExpressionAttribute>;

/// Conditions and what becomes of a packet that fulfils them all.
#[derive(Clone, Debug)]
#[must_use]
pub(crate) struct NftRule {
    pub(crate) expressions: Vec<ExpressionNla>,
    /// The last of what it uses that not every kernel has.
    pub(in crate::nft) needs: Feature,
}

/// Where a packet is read from (`enum nft_payload_bases`).
#[derive(Clone, Copy, Debug)]
pub(super) enum Header {
    /// IPv4 or IPv6.
    Network = 1,
    /// TCP.
    Transport = 2,
}

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
pub(super) const fn number(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

impl NftRule {
    /// For every packet.
    pub(crate) fn new() -> Self {
        Self { expressions: Vec::new(), needs: Feature::Basics }
    }

    fn push(mut self, expression: Expressions) -> Self {
        self.expressions.push(expression.into());
        self
    }

    /// One that the crate does not know.
    pub(super) fn foreign(mut self, needs: Feature, name: &str, attributes: Vec<DefaultNla>) -> Self {
        self.needs = needs;
        self.push(Expressions::Other { expression_type: name.to_owned(), attributes })
    }

    /// The same with numbers, big-endian, as its attributes.
    pub(super) fn other(self, needs: Feature, name: &str, attributes: &[(u16, u32)]) -> Self {
        let attribute = |(kind, value): &(u16, u32)| DefaultNla::new(*kind, value.to_be_bytes().to_vec());
        self.foreign(needs, name, attributes.iter().map(attribute).collect())
    }

    pub(super) fn meta(self, key: MetaKey) -> Self {
        self.push(Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]))
    }

    pub(super) fn store_meta(self, key: MetaKey) -> Self {
        self.push(Expressions::Meta(vec![Meta::Key(key), Meta::SourceRegister(Register::Reg1)]))
    }

    /// Into register 1.
    pub(super) fn constant(self, value: &[u8]) -> Self {
        self.push(Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Reg1),
            Immediate::Data(DataAttribute::Value(value.to_vec())),
        ]))
    }

    pub(super) fn family(self, family: Family) -> Self {
        self.meta(MetaKey::Nfproto).equals(&[number(family)])
    }

    /// `ct <key>`: `NFTA_CT_DREG`, `NFTA_CT_KEY`.
    pub(super) fn ct(self, key: u32) -> Self {
        self.other(Feature::Conntrack, "ct", &[(2, key), (1, Register::Reg1.into())])
    }

    pub(super) fn port(self, register: Register) -> Self {
        self.payload(Header::Transport, 2, 2, register)
    }

    pub(super) fn address(self, family: Family) -> Self {
        let (offset, length) = match family {
            Family::V4 => (16, 4),
            Family::V6 => (24, 16),
        };
        self.payload(Header::Network, offset, length, Register::Reg1)
    }

    pub(super) fn payload(self, header: Header, offset: u32, length: u32, register: Register) -> Self {
        self.push(Expressions::Payload(vec![
            Payload::DestinationRegister(register),
            Payload::Base(header as u32),
            Payload::Offset(offset),
            Payload::Len(length),
        ]))
    }

    /// Whether the set has what begins in register 1, how long that is the set knows; of a map, what that leads to.
    pub(super) fn look_up(self, set: &str, value: Option<Register>) -> Self {
        let mut attributes = vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(Register::Reg1)];
        attributes.extend(value.map(Lookup::DestinationRegister));
        self.push(Expressions::Lookup(attributes))
    }

    pub(super) fn equals(self, value: &[u8]) -> Self {
        self.compare(Operator::Equal, value)
    }

    pub(super) fn differs(self, value: &[u8]) -> Self {
        self.compare(Operator::NotEqual, value)
    }

    pub(super) fn compare(self, operator: Operator, value: &[u8]) -> Self {
        self.push(Expressions::Cmp(vec![
            Cmp::SourceRegister(Register::Reg1),
            Cmp::Op(operator),
            Cmp::Data(DataAttribute::Value(value.to_vec())),
        ]))
    }

    /// Whether the bit is set in register 1.
    pub(super) fn has(self, bit: Mark) -> Self {
        let bit = bit.value().to_ne_bytes();
        self.masked(&bit, &[0; 4]).equals(&bit)
    }

    /// Sets the bit in register 1 and leaves the other 31: `(register & !bit) ^ bit`, host byte order.
    pub(super) fn with(self, bit: Mark) -> Self {
        self.masked(&(!bit.value()).to_ne_bytes(), &bit.value().to_ne_bytes())
    }

    /// Leaves the bits of the mask in register 1, and turns those of `xor` over. Both have the length of what is there.
    pub(super) fn masked(self, mask: &[u8], xor: &[u8]) -> Self {
        self.push(Expressions::Bitwise(vec![
            Bitwise::SourceRegister(Register::Reg1),
            Bitwise::DestinationRegister(Register::Reg1),
            Bitwise::Length(u32::try_from(mask.len()).unwrap_or_default()),
            Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
            Bitwise::Xor(DataAttribute::Value(xor.to_vec())),
        ]))
    }

    pub(super) fn verdict(self, verdict: Verdict, chain: Option<&str>) -> Self {
        let mut attributes = vec![VerdictAttribute::Code(verdict)];
        attributes.extend(chain.map(|chain| VerdictAttribute::Chain(chain.to_owned())));
        self.push(Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Verdict),
            Immediate::Data(DataAttribute::Verdict(attributes)),
        ]))
    }
}
