//! The settings of the canary: whether, from where.
//!
//! **The default addresses** lie in the blocks for benchmarks, 198.18.0.0/15 (RFC 2544) and `2001:2::/48`
//! (RFC 5180, erratum 1752). No host on the Internet has them; and unlike those for documentation
//! (192.0.2.0/24, `2001:db8::/32`) they are, by IANA's special-purpose registries (RFC 6890), valid as source
//! and as destination, and may be forwarded. docs/decisions/0013-canary.md weighs the others. 179 is the
//! number that Clearway's rules and routes carry.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use strum::EnumString;

/// `CLEARWAY_CANARY`: whether the way of the clients is proved, and what depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = off_on_or_ready)]
pub enum CanaryMode {
    /// No connection of ours goes to any server.
    Off,
    /// The result is in the log and in the status.
    #[default]
    On,
    /// And decides whether Clearway is ready.
    Ready,
}

fn off_on_or_ready(_: &str) -> String {
    "expected `off`, `on` or `ready`".to_owned()
}

/// `CLEARWAY_CANARY_ADDRESS`: the source addresses of the canary, one of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeAddresses {
    /// To IPv4 servers.
    pub v4: Ipv4Addr,
    /// To IPv6 servers.
    pub v6: Ipv6Addr,
}

impl ProbeAddresses {
    /// The one of the server's family.
    pub fn towards(&self, server: IpAddr) -> IpAddr {
        match server.to_canonical() {
            IpAddr::V4(_) => self.v4.into(),
            IpAddr::V6(_) => self.v6.into(),
        }
    }
}

impl Default for ProbeAddresses {
    fn default() -> Self {
        Self { v4: Ipv4Addr::new(198, 18, 179, 1), v6: Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0x179) }
    }
}

/// As it is typed.
impl fmt::Display for ProbeAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.v4, self.v6)
    }
}

/// A family that is not named keeps its default.
impl FromStr for ProbeAddresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected one address, or one of each family with a comma between, such as \
                                `198.18.179.1,2001:2::179`";
        let (mut v4, mut v6) = (None, None);
        for word in text.split(',').map(str::trim) {
            let address: IpAddr =
                word.parse().map_err(|_| format!("`{word}` is not an address: {EXPECTED}"))?;
            if let Some(why) = unusable(address) {
                return Err(format!("`{word}` is {why}: no client's packets come from there"));
            }
            let twice = match address {
                IpAddr::V4(address) => v4.replace(address).is_some(),
                IpAddr::V6(address) => v6.replace(address).is_some(),
            };
            if twice {
                return Err(EXPECTED.to_owned());
            }
        }
        let default = Self::default();
        Ok(Self { v4: v4.unwrap_or(default.v4), v6: v6.unwrap_or(default.v6) })
    }
}

/// Why no other host can have this address.
fn unusable(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    match address {
        IpAddr::V4(address) if address.octets()[0] == 0 => Some("in 0.0.0.0/8"),
        IpAddr::V4(address) if address.is_broadcast() => Some("the broadcast address"),
        IpAddr::V6(address) if address.is_unspecified() => Some("no address"),
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => Some("an IPv4 address in disguise"),
        _ if address.is_loopback() => Some("a loopback address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if link_local => Some("a link-local address"),
        _ => None,
    }
}

/// `off`, or a duration of at least a second.
pub(super) fn every(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let every = super::value::duration(text).ok().filter(|every| *every >= Duration::from_secs(1));
    every.map(Some).ok_or_else(|| {
        "expected `off` or a duration from a second to a year such as `30s`, `5m` or `1h`".to_owned()
    })
}
