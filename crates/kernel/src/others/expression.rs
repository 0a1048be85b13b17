//! The expressions of a rule of another program, as far as they are understood; the rest is [`Expression::Other`].
//!
//! Pure. The numbers are those of `linux/netfilter/nf_tables.h` and, for the matches and targets of iptables, of
//! `linux/netfilter/xt_*.h`. Nothing that the kernel answers makes this panic: what is too short is not understood.

use crate::netlink::attributes::{attribute, nested, text};

/// `NFTA_LIST_ELEM`, then `NFTA_EXPR_NAME` and `_DATA`.
const ELEMENT: u16 = 1;
const EXPRESSION: [u16; 2] = [1, 2];
/// `NFTA_META_KEY`, `_SREG`; `NFTA_CT_KEY`, `_SREG`.
const META: [u16; 2] = [2, 3];
const CT: [u16; 2] = [2, 4];
/// `NFTA_PAYLOAD_BASE`, `_OFFSET`, and `NFT_PAYLOAD_NETWORK_HEADER`.
const PAYLOAD: [u16; 2] = [2, 3];
const NETWORK: u32 = 1;
/// `NFTA_FIB_FLAGS`.
const FIB_FLAGS: u16 = 3;
/// `NFTA_BITWISE_MASK`, `_XOR`; `NFTA_CMP_OP`, `_DATA`; `NFTA_IMMEDIATE_DATA`.
const BITWISE: [u16; 2] = [4, 5];
const COMPARE: [u16; 2] = [2, 3];
const IMMEDIATE: u16 = 2;
/// `NFTA_DATA_VALUE`, `_VERDICT`; `NFTA_VERDICT_CODE`, `_CHAIN`.
const DATA: [u16; 2] = [1, 2];
const VERDICT: [u16; 2] = [1, 2];
/// `NFTA_MATCH_NAME`, `_INFO`; the same of a target.
const XT: [u16; 2] = [1, 3];

/// Which address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressEnd {
    /// The one that it comes from.
    Source,
    /// The one that it goes to.
    Destination,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    Different,
    /// `<` and the like.
    Order,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Dropped, or refused with an answer.
    Dropped,
    /// `jump` and `goto`.
    To(String),
    /// Anything else.
    Other,
}

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// `counter`, `log`, a comment: it changes nothing.
    Nothing,
    /// A key of `meta` into a register (`NFT_META_*`).
    LoadMeta(u32),
    /// A register into a key of `meta`.
    StoreMeta(u32),
    /// A key of `ct` into a register (`NFT_CT_*`).
    LoadCt(u32),
    /// An IPv4 address, or its beginning, into a register.
    LoadAddress(AddressEnd),
    /// The same of IPv6, if the packet is one.
    LoadAddress6(AddressEnd),
    /// A question to the routing table (`NFTA_FIB_F_*`).
    Fib(u32),
    /// The register, masked, then exclusive or.
    Bitwise {
        /// Which bits stay.
        mask: u32,
        /// Which are turned then.
        xor: u32,
    },
    /// Goes on only if the register compares so.
    Compare(Comparison, Vec<u8>),
    /// A constant into a register.
    Constant(Vec<u8>),
    /// The end of the rule.
    Verdict(Verdict),
    /// A match of iptables, with its own data.
    Match(String, Vec<u8>),
    /// A target of iptables, likewise.
    Target(String, Vec<u8>),
    /// `masquerade`
    Masquerade,
    /// Not understood, by its name.
    Other(String),
}

impl Expression {
    /// Whether it can be a reason for which a packet is not concerned.
    pub(super) fn is_condition(&self) -> bool {
        match self {
            Self::Compare(..) | Self::Other(_) => true,
            Self::Match(name, _) => name != "comment",
            _ => false,
        }
    }
}

/// The expressions of a rule.
pub(super) fn list(bytes: &[u8]) -> Vec<Expression> {
    let elements = nested(bytes).filter(|(kind, _)| *kind == ELEMENT);
    elements.map(|(_, element)| one(element).unwrap_or_else(|| Expression::Other(String::new()))).collect()
}

fn one(element: &[u8]) -> Option<Expression> {
    let [name, data] = EXPRESSION.map(|wanted| attribute(element, wanted));
    let name = text(name?)?;
    // Some have no data.
    let data = data.unwrap_or_default();
    let numbers = |wanted: [u16; 2]| wanted.map(|wanted| number(attribute(data, wanted)?));
    Some(match name.as_str() {
        "counter" | "log" => Expression::Nothing,
        "masq" => Expression::Masquerade,
        "reject" => Expression::Verdict(Verdict::Dropped),
        "meta" => match numbers(META) {
            [key, None] => Expression::LoadMeta(key?),
            [key, Some(_)] => Expression::StoreMeta(key?),
        },
        "ct" => match numbers(CT) {
            [key, None] => Expression::LoadCt(key?),
            // The mark of the connection is not the mark of the packet.
            [_, Some(_)] => Expression::Nothing,
        },
        "payload" => match numbers(PAYLOAD) {
            [Some(NETWORK), Some(12)] => Expression::LoadAddress(AddressEnd::Source),
            [Some(NETWORK), Some(16)] => Expression::LoadAddress(AddressEnd::Destination),
            [Some(NETWORK), Some(8)] => Expression::LoadAddress6(AddressEnd::Source),
            [Some(NETWORK), Some(24)] => Expression::LoadAddress6(AddressEnd::Destination),
            _ => Expression::Other(name),
        },
        "fib" => Expression::Fib(number(attribute(data, FIB_FLAGS)?)?),
        "bitwise" => {
            let [mask, xor] = BITWISE.map(|wanted| word(attribute(attribute(data, wanted)?, DATA[0])?));
            Expression::Bitwise { mask: mask?, xor: xor? }
        }
        "cmp" => {
            let [how, value] = COMPARE.map(|wanted| attribute(data, wanted));
            let how = match number(how?)? {
                0 => Comparison::Equal,
                1 => Comparison::Different,
                _ => Comparison::Order,
            };
            Expression::Compare(how, attribute(value?, DATA[0])?.to_vec())
        }
        "immediate" => {
            let [value, verdict] = DATA.map(|wanted| attribute(attribute(data, IMMEDIATE)?, wanted));
            match (value, verdict) {
                (Some(value), _) => Expression::Constant(value.to_vec()),
                (None, verdict) => Expression::Verdict(of_verdict(verdict?)?),
            }
        }
        "match" | "target" => {
            let [xt, info] = XT.map(|wanted| attribute(data, wanted));
            let (xt, info) = (text(xt?)?, info.unwrap_or_default().to_vec());
            match (name.as_str(), xt.as_str()) {
                ("target", "DROP" | "REJECT") => Expression::Verdict(Verdict::Dropped),
                ("target", "MASQUERADE") => Expression::Masquerade,
                ("target", _) => Expression::Target(xt, info),
                _ => Expression::Match(xt, info),
            }
        }
        _ => Expression::Other(name),
    })
}

fn of_verdict(bytes: &[u8]) -> Option<Verdict> {
    let [code, chain] = VERDICT.map(|wanted| attribute(bytes, wanted));
    Some(match (number(code?)?, chain) {
        (0, _) => Verdict::Dropped,
        (_, Some(chain)) => Verdict::To(text(chain)?),
        _ => Verdict::Other,
    })
}

/// A number as nftables sends it.
fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// The first four bytes as the host reads them, as marks are; shorter values are filled with zeros.
pub(super) fn word(bytes: &[u8]) -> Option<u32> {
    let mut whole = [0; 4];
    let length = bytes.len().min(4);
    whole.get_mut(..length)?.copy_from_slice(bytes.get(..length)?);
    Some(u32::from_ne_bytes(whole))
}
