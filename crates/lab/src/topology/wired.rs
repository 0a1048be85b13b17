//! Clients and servers on cables that end in the machine's own network namespace.
//!
//! ```text
//!   client                     the machine                         server
//!   198.18.4.2, .3, ...  --- 198.18.4.1 | 198.18.5.1 ---  198.18.5.2, .3, ...
//!   fd63:6c65:6172:4::2        fd63:6c65:6172:4::1 | fd63:6c65:6172:5::1     ...
//! ```
//!
//! What is added to the machine: two interfaces with their addresses and routes, taken away when the value is
//! dropped. No setting of it is changed: proxied packets are its own, so that it need not forward. 198.18.0.0/15
//! is the range of RFC 2544 for benchmarks; the two nets in it depend on our pid, and are none that is in use.
//!
//! The interfaces are called `cw<pid>-<n>-<c or s>`, at most 15 characters, for [`crate::namespace::sweep`].

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use super::net::Net;
use super::{Shape, Topology};
use crate::namespace::{self, Namespace};

/// /24 nets in 198.18.0.0/15, and as many /64 nets in a prefix of our own: "clear" in ASCII, but for the first.
const NETS: u16 = 512;
/// Clearway's canary comes from 198.18.179.1: the net of that number would have it as its balancer.
const CANARY: u16 = 179;
const PREFIX: [u16; 3] = [0xfd63, 0x6c65, 0x6172];

/// The end of a cable in a namespace that is not ours, which outlives a topology unless it is taken out.
#[derive(Debug)]
pub(super) struct Cable(String);

impl Cable {
    /// A name for the end towards the clients (`c`) or the servers (`s`).
    fn named(side: char) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(format!("cw{}-{count}-{side}", std::process::id()))
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        if !Path::new("/sys/class/net").join(&self.0).exists() {
            return;
        }
        // Deleted here and not with the namespace of the other end, which the kernel does some time later.
        if let Err(error) = namespace::ip(&["link", "del", &self.0]) {
            eprintln!("clearway-lab: leaving {} behind: {error:#}", self.0);
        }
    }
}

impl Topology {
    /// Wires clients and servers to the machine itself, for a balancer in its own network namespace.
    pub fn wired_to_host(prefix: &str) -> Result<Self> {
        let balancer = Namespace::host()?;
        let host = |role| Namespace::create(&format!("{prefix}-{role}"));
        let (client, server) = (host("client")?, host("server")?);
        let cables = [Cable::named('c'), Cable::named('s')];
        let names = [cables[0].0.clone(), cables[1].0.clone()];
        let nets = free_nets(&balancer)?;
        let topology =
            Self { balancer, _cables: cables.into(), client, server, nets, shape: Shape::default() };
        topology.connect(&names)?;
        topology.wait_for_neighbours()?;
        Ok(topology)
    }
}

/// Two nets that no route of the machine leads to.
fn free_nets(host: &Namespace) -> Result<[Net; 2]> {
    let routes = host.ip(&["-4", "route", "show", "table", "all"])?
        + &host.ip(&["-6", "route", "show", "table", "all"])?;
    let first = u16::try_from(std::process::id() % u32::from(NETS)).context("a number below 512")?;
    let numbers = (0..NETS).map(|step| (first + step) % NETS).filter(|number| *number != CANARY);
    let mut free = numbers.filter(|number| !is_used(&routes, *number));
    let (Some(clients), Some(servers)) = (free.next(), free.next()) else {
        bail!("every net in 198.18.0.0/15 is in use on this machine")
    };
    Ok([net(clients), net(servers)])
}

fn is_used(routes: &str, number: u16) -> bool {
    let [v4, v6] = net(number).balancer().map(|address| address.to_string());
    let prefixes = [v4.strip_suffix('1'), v6.strip_suffix(":1")];
    prefixes.into_iter().flatten().any(|prefix| routes.contains(prefix))
}

/// The nets with this number, below [`NETS`].
fn net(number: u16) -> Net {
    let [high, low] = number.to_be_bytes();
    Net::new([198, 18 + high, low], [PREFIX[0], PREFIX[1], PREFIX[2], number])
}

#[cfg(test)]
mod tests {
    use super::{is_used, net};

    #[test]
    fn nets_are_numbered_through_the_range() {
        let balancer = |number| net(number).balancer().map(|address| address.to_string());
        assert_eq!(balancer(1), ["198.18.1.1", "fd63:6c65:6172:1::1"]);
        assert_eq!(balancer(511), ["198.19.255.1", "fd63:6c65:6172:1ff::1"]);
    }

    #[test]
    fn a_net_with_a_route_is_used() {
        let routes = "198.18.1.0/24 dev imgc proto kernel\nfd63:6c65:6172:2::/64 dev x proto kernel\n";
        assert!(is_used(routes, 1) && is_used(routes, 2));
        assert!(!is_used(routes, 3) && !is_used(routes, 0x20) && !is_used(routes, 11));
    }
}
