//! A single host beside another one, on a cable of its own.
//!
//! ```text
//!   here                         beside
//!   eth<n>  10.<n>.0.1  ----  10.<n>.0.2  lan
//!           fd<n>::1          fd<n>::2
//! ```

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use super::net::{Family, Net};
use super::{cable, default_route, wait_for_answer};
use crate::namespace::Namespace;

/// Where a host sends what it knows no way for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// To the host that it is beside.
    Here,
    /// Nowhere.
    None,
}

/// Raises a host beside `here`; the number, 1 to 9, tells those beside the same one apart.
pub fn beside(here: &Namespace, number: u8, gateway: Gateway) -> Result<Namespace> {
    ensure!((1..=9).contains(&number), "a host beside another one has a number from 1 to 9");
    let net = Net::new([10, number, 0], [0xfd00 + u16::from(number), 0, 0, 0]);
    let host = Namespace::create("beside")?;
    cable(here, &host, &format!("eth{number}"), net, 1)?;
    if gateway == Gateway::Here {
        default_route(&host, net)?;
    }
    for (family, balancer) in Family::BOTH.into_iter().zip(net.balancer()) {
        host.enter(|| wait_for_answer(SocketAddr::new(balancer, 9)))??;
        here.enter(|| wait_for_answer(SocketAddr::new(net.host(family, 0), 9)))??;
    }
    Ok(host)
}
