//! A network of either family: `10.2.0.0/16`, `2001:db8:2::/48`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// The first address: what follows the prefix is zero.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits of it count.
    pub fn length(self) -> u8 {
        self.length
    }

    /// The bits that count, as an address of the same family.
    pub fn mask(self) -> IpAddr {
        let without = |bits: u8| u32::from(bits.saturating_sub(self.length));
        match self.address {
            IpAddr::V4(_) => Ipv4Addr::from_bits(u32::MAX.checked_shl(without(32)).unwrap_or(0)).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(u128::MAX.checked_shl(without(128)).unwrap_or(0)).into(),
        }
    }

    /// The network in which this address is.
    pub(super) fn around(address: IpAddr, length: u8) -> Self {
        let first: IpAddr = match (address, Self { address, length }.mask()) {
            (IpAddr::V4(address), IpAddr::V4(mask)) => (address & mask).into(),
            (IpAddr::V6(address), IpAddr::V6(mask)) => (address & mask).into(),
            _ => address,
        };
        Self { address: first, length }
    }

    fn bits(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }
}

/// A single address has no length.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.length == Self::bits(self.address) { Ok(()) } else { write!(f, "/{}", self.length) }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "`{text}` is {why}: expected `any`, an address or a network such as `10.2.0.0/16` or `2001:db8:2::/48`"
            )
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong("no destination"))?;
        let bits = Self::bits(address);
        let length = match length {
            None => bits,
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text
                .parse()
                .ok()
                .filter(|length| *length <= bits)
                .ok_or_else(|| wrong("too long a prefix"))?,
            Some(_) => return Err(wrong("no destination")),
        };
        let network = Self::around(address, length);
        if network.address != address {
            return Err(wrong(&format!(
                "no network, because not all bits behind its prefix are zero (`{network}` is)"
            )));
        }
        if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
            return Err(wrong("an IPv4 address in disguise"));
        }
        if address.is_loopback() || address.is_multicast() {
            return Err(wrong("where no client's connection goes through a gateway"));
        }
        Ok(network)
    }
}
