//! A way to a server that takes smaller packets than both of its ends send.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, anyhow};
use clearway_lab::load::{Ask, ask_once};
use clearway_lab::namespace::Namespace;
use clearway_lab::server::{Mode, Server};
use clearway_lab::wait::eventually_because;

use crate::stage::{PORT, SOON, Stage};

/// A router in front of a server, with 1300 bytes in both directions, while each host by itself sends 1500. It
/// tells the *client's* address that a packet was too large, and HAProxy's socket has to hear it.
///
/// ```text
///   balancer 10.3.0.1 ---- 10.3.0.2 router 10.4.0.2 ---- 10.4.0.1 server
/// ```
pub struct Tunnel {
    _server_process: Server,
    router: Namespace,
    _server: Namespace,
}

/// What is too large for the way, in bytes.
const MTU: &str = "1300";
/// The server behind the router.
pub const FAR: [&str; 2] = ["10.4.0.1", "fd04::1"];

/// A cable from a host (number 1) to the router (number 2).
fn cable(host: (&Namespace, &str), router: (&Namespace, &str), net: u8) -> Result<()> {
    let (far, name) = router;
    host.0.ip(&["link", "add", host.1, "type", "veth", "peer", "name", name, "netns", far.name()])?;
    // Without a link-local address of its own; a router needs one to look for neighbours that it forwards to.
    host.0.ip(&["link", "set", host.1, "addrgenmode", "none"])?;
    for ((end, name), number) in [(host, 1), (router, 2)] {
        end.ip(&["address", "add", &format!("10.{net}.0.{number}/24"), "dev", name])?;
        end.ip(&["address", "add", &format!("fd0{net}::{number}/64"), "dev", name, "nodad"])?;
        end.ip(&["link", "set", name, "up"])?;
    }
    Ok(())
}

impl Tunnel {
    /// Lays it between the balancer and a server of its own, at [`FAR`].
    pub fn lay(stage: &Stage) -> Result<Self> {
        let balancer = &stage.hosts.balancer;
        let (router, server) = (Namespace::create("mtu-router")?, Namespace::create("mtu-far")?);
        cable((balancer, "tunnel"), (&router, "near"), 3)?;
        cable((&server, "lan"), (&router, "far"), 4)?;
        router.sysctl("net/ipv4/ip_forward", "1")?;
        router.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        for (flag, [clients, far, beyond], [near, here, gateway]) in [
            ("-4", ["10.1.0.0/24", "10.4.0.0/24", FAR[0]], ["10.3.0.1", "10.3.0.2", "10.4.0.2"]),
            ("-6", ["fd01::/64", "fd04::/64", FAR[1]], ["fd03::1", "fd03::2", "fd04::2"]),
        ] {
            balancer.ip(&[flag, "route", "add", far, "via", here])?;
            server.ip(&[flag, "route", "add", "default", "via", gateway])?;
            // `lock`: older kernels look at the MTU of a route only then, when they forward.
            let small = |net, more: &[&str]| {
                router.ip(&[&[flag, "route", "replace", net], more, &["mtu", "lock", MTU]].concat())
            };
            small(clients, &["via", near])?;
            small(beyond, &["dev", "far"])?;
        }
        router.nft(
            "table inet watch {
               counter told4 { }
               counter told6 { }
               chain out {
                 type filter hook output priority 0
                 ip daddr 10.1.0.0/24 icmp type destination-unreachable icmp code frag-needed counter name told4
                 ip6 daddr fd01::/64 icmpv6 type packet-too-big counter name told6
               }
             }",
        )?;
        // The guess that TCP can make instead (RFC 4821): off, as by default.
        balancer.sysctl("net/ipv4/tcp_mtu_probing", "0")?;
        let listen = FAR.map(|far| far.parse().map(|far: IpAddr| SocketAddr::new(far, PORT)));
        let listen = listen.into_iter().collect::<Result<Vec<_>, _>>()?;
        let server_process = Server::start(&server, "far", &listen, Mode::Line)?;
        for far in listen {
            let what = format!("{far} behind the router to answer");
            eventually_because(SOON, &what, || {
                let asked = balancer.enter(|| ask_once(far, Ask::Line, Duration::from_secs(1)))?;
                asked.map_err(|class| anyhow!("{class:?}"))
            })?;
        }
        Ok(Self { _server_process: server_process, router, _server: server })
    }

    /// Whether the router has told clients that packets were too large: IPv4, IPv6.
    pub fn told(&self, index: usize) -> Result<bool> {
        let name = ["told4", "told6"][index];
        let counter = self.router.output("nft", &["list", "counter", "inet", "watch", name])?;
        Ok(!counter.contains("packets 0 "))
    }
}
