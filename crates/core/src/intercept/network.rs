//! A network of either family: `10.2.0.0/16`, `2001:db8:2::/48`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpNetwork(IpNet);

impl IpNetwork {
    /// The first address: what follows the prefix is zero.
    pub fn address(self) -> IpAddr {
        self.0.addr()
    }

    /// How many bits of it count.
    pub fn length(self) -> u8 {
        self.0.prefix_len()
    }

    /// The bits that count, as an address of the same family.
    pub fn mask(self) -> IpAddr {
        self.0.netmask()
    }
}

/// A single address has no length.
impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

impl FromStr for IpNetwork {
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
        let network = match length {
            None => IpNet::from(address),
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text
                .parse()
                .ok()
                .and_then(|length| IpNet::new(address, length).ok())
                .ok_or_else(|| wrong("too long a prefix"))?,
            Some(_) => return Err(wrong("no destination")),
        };
        if network.network() != address {
            let meant = Self(network.trunc());
            return Err(wrong(&format!(
                "no network, because not all bits behind its prefix are zero (`{meant}` is)"
            )));
        }
        if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
            return Err(wrong("an IPv4 address in disguise"));
        }
        if address.is_loopback() || address.is_multicast() {
            return Err(wrong("where no client's connection goes through a gateway"));
        }
        Ok(Self(network))
    }
}
