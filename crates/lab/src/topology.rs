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
//!
//! In a network that is [wired to the host](Topology::wired_to_host) the balancer is the machine itself, for
//! containers in the host's network, and the addresses are others.

mod beside;
mod net;
mod wired;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

pub use beside::{Gateway, beside};
pub use net::Family;
use net::Net;
use wired::Cable;

use crate::namespace::Namespace;
use crate::server::{Mode, Server};
use crate::wait::eventually_because;

/// The nets of the clients and of the servers, where all three hosts are our own.
const NETS: [Net; 2] = [Net::new([10, 1, 0], [0xfd01, 0, 0, 0]), Net::new([10, 2, 0], [0xfd02, 0, 0, 0])];

/// The balancer as clients see it, where all three hosts are our own.
pub const FRONT: [IpAddr; 2] = NETS[0].balancer();
/// The balancer as servers see it, likewise.
pub const BACK: [IpAddr; 2] = NETS[1].balancer();

/// The end of a cable in a client or server, and what the balancer calls the other ends of those.
const LAN: &str = "lan";
const BALANCER_SIDES: [&str; 2] = ["clients", "servers"];

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
    /// What has to be taken out of a balancer that is not ours.
    _cables: Vec<Cable>,
    /// Where connections come from.
    pub client: Namespace,
    /// Where they end.
    pub server: Namespace,
    nets: [Net; 2],
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
        let topology = Self {
            client: host("client")?,
            balancer: host("lb")?,
            server: host("server")?,
            _cables: Vec::new(),
            nets: NETS,
            shape,
        };
        topology.connect(&BALANCER_SIDES.map(str::to_owned))?;
        allow_many_connections(&topology.balancer)?;
        let forwarding = if shape.forwarding { "1" } else { "0" };
        topology.balancer.sysctl("net/ipv4/ip_forward", forwarding)?;
        topology.balancer.sysctl("net/ipv6/conf/all/forwarding", forwarding)?;
        topology.wait_for_neighbours()?;
        Ok(topology)
    }

    /// Lays the cables; these are the names of their ends at the balancer.
    fn connect(&self, balancer_sides: &[String; 2]) -> Result<()> {
        let hosts = [(&self.client, self.shape.clients), (&self.server, self.shape.servers)];
        for ((side, net), (host, count)) in balancer_sides.iter().zip(self.nets).zip(hosts) {
            cable(&self.balancer, host, side, net, count)?;
            default_route(host, net)?;
            allow_many_connections(host)?;
        }
        Ok(())
    }

    /// The balancer as clients see it, IPv4 and IPv6.
    pub fn front(&self) -> [IpAddr; 2] {
        self.nets[0].balancer()
    }

    /// The client addresses, IPv4 first, then IPv6.
    pub fn client_addresses(&self) -> Vec<IpAddr> {
        Family::BOTH.into_iter().flat_map(|family| self.clients(family)).collect()
    }

    /// The client addresses of one family.
    pub fn clients(&self, family: Family) -> Vec<IpAddr> {
        (0..self.shape.clients).map(|index| self.nets[0].host(family, index)).collect()
    }

    /// The server addresses of one family.
    pub fn servers(&self, family: Family) -> Vec<IpAddr> {
        (0..self.shape.servers).map(|index| self.nets[1].host(family, index)).collect()
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

    /// Right after an interface comes up, IPv6 neighbour discovery delays the first connections by a second or
    /// two. No measurement may begin before every pair has answered once, be it with a refusal.
    fn wait_for_neighbours(&self) -> Result<()> {
        for (host, net) in [(&self.client, self.nets[0]), (&self.server, self.nets[1])] {
            for balancer in net.balancer() {
                host.enter(|| wait_for_answer(SocketAddr::new(balancer, 9)))??;
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

/// A cable between a host that counts as the balancer of a net and one more host of it, with the addresses of both ends.
fn cable(balancer: &Namespace, host: &Namespace, side: &str, net: Net, hosts: u8) -> Result<()> {
    balancer.ip(&["link", "add", side, "type", "veth", "peer", "name", LAN, "netns", host.name()])?;
    for (family, gateway) in Family::BOTH.into_iter().zip(net.balancer()) {
        let length = family.prefix_length();
        add_address(balancer, side, gateway, length)?;
        for index in 0..hosts {
            add_address(host, LAN, net.host(family, index), length)?;
        }
    }
    // Without a link-local address of its own: its routes would come some time later.
    balancer.ip(&["link", "set", side, "addrgenmode", "none", "up"])?;
    host.ip(&["link", "set", LAN, "up"]).map(|_| ())
}

/// What a host knows no way for goes to the balancer.
fn default_route(host: &Namespace, net: Net) -> Result<()> {
    for (family, gateway) in Family::BOTH.into_iter().zip(net.balancer()) {
        host.ip(&[family.flag(), "route", "add", "default", "via", &gateway.to_string()])?;
    }
    Ok(())
}

/// Many short connections from few addresses: use every port, and those in `TIME_WAIT` again.
fn allow_many_connections(host: &Namespace) -> Result<()> {
    host.sysctl("net/ipv4/tcp_tw_reuse", "1")?;
    host.sysctl("net/ipv4/ip_local_port_range", "1024 65000")
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
            // Refused, or accepted by a server of the machine that we are wired to.
            Ok(_) | Err(_) => Ok(()),
        }
    })
}
