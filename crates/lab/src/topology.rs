//! The network that every test stands on: three hosts in a row.
//!
//! ```text
//!   client                     balancer                        server
//!   10.1.0.2, .3, ...  ----  10.1.0.1 | 10.2.0.1  ----  10.2.0.2, .3, ...
//!   fd01::2, ::3, ...          fd01::1 | fd02::1          fd02::2, ::3, ...
//! ```
//!
//! Both ends have their default route through the balancer. A host with several addresses stands for several
//! clients or servers: what counts for a transparent proxy is the address.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::namespace::Namespace;
use crate::server::{Mode, Server};
use crate::wait::eventually_because;

/// The balancer as clients see it.
pub const FRONT: [IpAddr; 2] = [v4(1, 1), v6(1, 1)];
/// The balancer as servers see it.
pub const BACK: [IpAddr; 2] = [v4(2, 1), v6(2, 1)];

/// How many there are of what.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Addresses of the client host: one per server-visible client.
    pub clients: u8,
    /// Addresses of the server host.
    pub servers: u8,
    /// Whether the balancer also forwards what is not proxied, as a gateway does.
    pub forwarding: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { clients: 4, servers: 2, forwarding: true }
    }
}

/// Three hosts. Fields are dropped in order: the balancer first, so that it never meets a missing network.
#[derive(Debug)]
pub struct Topology {
    /// Where HAProxy runs.
    pub balancer: Namespace,
    /// Where connections come from.
    pub client: Namespace,
    /// Where they end.
    pub server: Namespace,
    shape: Shape,
}

impl Topology {
    /// Raises the usual network; `prefix` (a short word) becomes part of the names.
    pub fn three_hosts(prefix: &str) -> Result<Self> {
        Self::shaped(prefix, Shape::default())
    }

    /// Raises a network of another shape.
    pub fn shaped(prefix: &str, shape: Shape) -> Result<Self> {
        ensure!((1..=200).contains(&shape.clients), "a lab has 1 to 200 clients");
        ensure!((1..=200).contains(&shape.servers), "a lab has 1 to 200 servers");
        let host = |role| Namespace::create(&format!("{prefix}-{role}"));
        let topology =
            Self { client: host("client")?, balancer: host("lb")?, server: host("server")?, shape };
        topology.link(&topology.client, "clients", 1, shape.clients)?;
        topology.link(&topology.server, "servers", 2, shape.servers)?;
        for namespace in [&topology.client, &topology.balancer, &topology.server] {
            // Many short connections from few addresses: use every port, and those in TIME_WAIT again.
            namespace.sysctl("net/ipv4/tcp_tw_reuse", "1")?;
            namespace.sysctl("net/ipv4/ip_local_port_range", "1024 65000")?;
        }
        let forwarding = if shape.forwarding { "1" } else { "0" };
        topology.balancer.sysctl("net/ipv4/ip_forward", forwarding)?;
        topology.balancer.sysctl("net/ipv6/conf/all/forwarding", forwarding)?;
        topology.wait_for_neighbours()?;
        Ok(topology)
    }

    /// The client addresses, IPv4 first, then IPv6.
    pub fn client_addresses(&self) -> Vec<IpAddr> {
        Family::BOTH.into_iter().flat_map(|family| self.clients(family)).collect()
    }

    /// The client addresses of one family.
    pub fn clients(&self, family: Family) -> Vec<IpAddr> {
        (0..self.shape.clients).map(|index| family.address(1, index + 2)).collect()
    }

    /// The server addresses of one family.
    pub fn servers(&self, family: Family) -> Vec<IpAddr> {
        (0..self.shape.servers).map(|index| family.address(2, index + 2)).collect()
    }

    /// Starts one server per server address pair (`s1`, `s2`, ...), on both families.
    pub fn start_servers(&self, port: u16, mode: Mode) -> Result<Vec<Server>> {
        let pairs = self.servers(Family::V4).into_iter().zip(self.servers(Family::V6));
        pairs
            .enumerate()
            .map(|(index, (v4, v6))| {
                let listen = [SocketAddr::new(v4, port), SocketAddr::new(v6, port)];
                Server::start(&self.server, &format!("s{}", index + 1), &listen, mode)
            })
            .collect()
    }

    /// A cable between the balancer and a host, with the addresses of both ends.
    fn link(&self, host: &Namespace, balancer_side: &str, net: u8, hosts: u8) -> Result<()> {
        let balancer = &self.balancer;
        balancer.ip(&[
            "link",
            "add",
            balancer_side,
            "type",
            "veth",
            "peer",
            "name",
            "lan",
            "netns",
            host.name(),
        ])?;
        for family in Family::BOTH {
            let length = family.prefix_length();
            add_address(balancer, balancer_side, family.address(net, 1), length)?;
            for index in 0..hosts {
                add_address(host, "lan", family.address(net, index + 2), length)?;
            }
        }
        balancer.ip(&["link", "set", balancer_side, "up"])?;
        host.ip(&["link", "set", "lan", "up"])?;
        for family in Family::BOTH {
            host.ip(&[family.flag(), "route", "add", "default", "via", &family.address(net, 1).to_string()])?;
        }
        Ok(())
    }

    /// Right after an interface comes up, IPv6 neighbour discovery delays the first connections by a second or
    /// two. Nobody may measure before every pair has answered once, be it with a refusal.
    fn wait_for_neighbours(&self) -> Result<()> {
        for (host, net) in [(&self.client, 1), (&self.server, 2)] {
            for family in Family::BOTH {
                let balancer = SocketAddr::new(family.address(net, 1), 9);
                host.enter(|| wait_for_answer(balancer))??;
            }
        }
        for family in Family::BOTH {
            let far = self.servers(family).into_iter().chain(self.clients(family));
            for address in far.collect::<Vec<_>>() {
                self.balancer.enter(|| wait_for_answer(SocketAddr::new(address, 9)))??;
            }
        }
        Ok(())
    }
}

fn add_address(host: &Namespace, interface: &str, address: IpAddr, length: u8) -> Result<()> {
    let address_and_length = format!("{address}/{length}");
    let mut words = vec!["address", "add", address_and_length.as_str(), "dev", interface];
    if address.is_ipv6() {
        words.push("nodad");
    }
    host.ip(&words).map(|_| ())
}

fn wait_for_answer(to: SocketAddr) -> Result<()> {
    let what = format!("{to} to answer at all");
    eventually_because(Duration::from_secs(10), &what, || {
        match TcpStream::connect_timeout(&to, Duration::from_millis(500)) {
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => Err(error).context("connecting"),
            Ok(_) => bail!("somebody listens there already"),
            Err(_) => Ok(()),
        }
    })
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4: 10.0.0.0/8.
    V4,
    /// IPv6: `fd00::/8`.
    V6,
}

impl Family {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Host number `host` of net 1 (clients) or 2 (servers).
    const fn address(self, net: u8, host: u8) -> IpAddr {
        match self {
            Self::V4 => v4(net, host),
            Self::V6 => v6(net, host),
        }
    }

    const fn prefix_length(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }

    const fn flag(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }
}

const fn v4(net: u8, host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, net, 0, host))
}

const fn v6(net: u8, host: u8) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00 + net as u16, 0, 0, 0, 0, 0, 0, host as u16))
}
