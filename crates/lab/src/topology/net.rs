//! Nets and the addresses in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) const fn prefix_length(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }

    pub(super) const fn flag(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }
}

/// A net of both families: a /24 and a /64. Number 1 is the balancer, the hosts follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Net {
    v4: [u8; 3],
    v6: [u16; 4],
}

impl Net {
    pub(super) const fn new(v4: [u8; 3], v6: [u16; 4]) -> Self {
        Self { v4, v6 }
    }

    /// The balancer's addresses, IPv4 and IPv6.
    pub(super) const fn balancer(self) -> [IpAddr; 2] {
        [self.address(Family::V4, 1), self.address(Family::V6, 1)]
    }

    /// The address of a host; they count from 0.
    pub(super) const fn host(self, family: Family, index: u8) -> IpAddr {
        self.address(family, index + 2)
    }

    const fn address(self, family: Family, number: u8) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(self.v4[0], self.v4[1], self.v4[2], number)),
            Family::V6 => {
                let [a, b, c, d] = self.v6;
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, number as u16))
            }
        }
    }
}
