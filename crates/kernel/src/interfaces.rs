//! What the network namespace of this process looks like, as far as it tells whether replies can come back, and
//! whether an interface is still the one that a socket was bound to.
//!
//! Read from `/proc/net` and `/proc/sys/net`, which show the reader's own namespace, and from sockets, which know
//! theirs. It decides nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::net::netdevice::name_to_index;
use socket2::SockRef;

/// A setting that only the first network namespace of a machine has: its backlog is not per namespace
/// (`net_core_table` in `net/core/sysctl_net_core.c`).
const ONLY_ON_THE_HOST: &str = "/proc/sys/net/core/netdev_max_backlog";

/// The loopback interface has this index in every network namespace (`LOOPBACK_IFINDEX`).
pub(crate) const LOOPBACK: u32 = 1;

/// Whether this is the network namespace that the machine began with: on a host, or with host networking.
/// Where `/proc/sys` cannot be seen it is taken for one.
pub fn is_the_hosts() -> bool {
    Path::new(ONLY_ON_THE_HOST).exists() || !Path::new("/proc/sys/net/core").exists()
}

/// The interfaces beside `lo` that have an IPv6 address or an IPv4 route.
pub fn in_use() -> BTreeSet<String> {
    let read = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
    named(&read("/proc/net/route"), &read("/proc/net/if_inet6"))
}

/// What some kernels make in every network namespace as soon as a module is loaded
/// (`net.core.fb_tunnels_only_for_init_net`): no packet comes over it.
const IN_EVERY_NAMESPACE: [&str; 10] =
    ["lo", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"];

/// Whether there is an interface beside `lo`, in use or not; nothing where `/proc` does not tell.
pub fn are_beside_lo() -> Option<bool> {
    std::fs::read_to_string("/proc/net/dev").ok().map(|table| has_beside_lo(&table))
}

/// Two lines of headings, then `  eth0: 1234 ...`.
fn has_beside_lo(table: &str) -> bool {
    let names = table.lines().skip(2).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    names.into_iter().any(|name| !IN_EVERY_NAMESPACE.contains(&name))
}

/// The interface by which the routing tables lead to an address: the main one of IPv4, all of IPv6. Policy rules are
/// not considered.
pub fn towards(address: IpAddr) -> Option<String> {
    let read = |name: &str| std::fs::read_to_string(name).ok();
    match address {
        IpAddr::V4(address) => lead_to(&read("/proc/net/route")?, address),
        IpAddr::V6(address) => lead_to_v6(&read("/proc/net/ipv6_route")?, address),
    }
}

/// Whether an interface has an IPv6 link-local address; nothing where IPv6 is not there.
pub fn has_link_local(name: &str) -> Option<bool> {
    Some(is_linked(&std::fs::read_to_string("/proc/net/if_inet6").ok()?, name))
}

/// The scope of an address is its fourth word: 20 is the link.
fn is_linked(addresses: &str, name: &str) -> bool {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    addresses.lines().map(words).any(|words| {
        words.get(3).is_some_and(|scope| scope == "20") && words.get(5).is_some_and(|of| of == name)
    })
}

/// The longest prefix counts, then the smallest metric. Routes that refuse (`RTF_REJECT`) lead nowhere; that of `lo`
/// behind all others is one.
fn lead_to_v6(routes: &str, address: Ipv6Addr) -> Option<String> {
    const REJECT: u32 = 0x0200;
    let route = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok();
        let destination = u128::from_str_radix(words.first()?, 16).ok()?;
        let length = number(1).filter(|length| *length <= 128)?;
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        let leads = u128::from(address) & mask == destination & mask && number(8)? & REJECT == 0;
        leads.then_some((length, u32::MAX - number(5)?, (*words.get(9)?).to_owned()))
    };
    routes.lines().filter_map(route).max().map(|(_, _, interface)| interface)
}

/// The longest prefix counts. Numbers are hexadecimal, addresses in the byte order of this machine.
fn lead_to(routes: &str, address: Ipv4Addr) -> Option<String> {
    let address = u32::from_ne_bytes(address.octets());
    let route = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok();
        let (destination, mask) = (number(1)?, number(7)?);
        (address & mask == destination).then_some((mask.count_ones(), (*words.first()?).to_owned()))
    };
    routes.lines().skip(1).filter_map(route).max().map(|(_, interface)| interface)
}

/// Whether a socket is bound to an interface that is no longer the one of this name: it was deleted, and another one
/// was made. Such a socket receives nothing and never will, because it is bound to an index (`SO_BINDTOIFINDEX`, Linux
/// 5.0) that the new one does not have.
///
/// False where there is no interface of that name: no socket could be bound to it. The socket is asked, so that its own
/// network namespace counts.
pub fn was_made_anew(socket: BorrowedFd<'_>, name: &str) -> bool {
    // In spite of its name it is not about IPv4.
    let bound = SockRef::from(&socket).device_index_v4().ok().flatten();
    let now = name_to_index(socket, name).ok();
    bound.zip(now).is_some_and(|(bound, now)| bound.get() != now)
}

fn named(ipv4: &str, ipv6: &str) -> BTreeSet<String> {
    let routed = ipv4.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let addressed = ipv6.lines().filter_map(|line| line.split_whitespace().nth(5));
    routed.chain(addressed).filter(|name| *name != "lo").map(str::to_owned).collect()
}

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_leads() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth0\t00000000\t0101000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            br0\t000211AC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nbroken\n";
        if cfg!(target_endian = "little") {
            assert_eq!(lead_to(routes, Ipv4Addr::new(172, 17, 2, 3)).as_deref(), Some("br0"));
            assert_eq!(lead_to(routes, Ipv4Addr::new(172, 17, 3, 3)).as_deref(), Some("eth0"));
        }
        assert_eq!(lead_to("", Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn the_longest_prefix_leads_in_ipv6_too() {
        let zero = "0".repeat(32);
        let net = format!("fd02{}", "0".repeat(28));
        let routes = format!(
            "{net} 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001  servers\n\
             {zero} 00 {zero} 00 {net} 00000400 00000001 00000000 00000003     eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\nbroken\n"
        );
        assert_eq!(lead_to_v6(&routes, "fd02::2".parse().unwrap()).as_deref(), Some("servers"));
        assert_eq!(lead_to_v6(&routes, "fd03::2".parse().unwrap()).as_deref(), Some("eth0"));
        assert_eq!(lead_to_v6("", Ipv6Addr::LOCALHOST), None);
    }

    #[test]
    fn a_link_local_address_is_known_by_its_scope() {
        let addresses = "fd00 02 40 00 80     eth0\nfe80 03 40 20 80 eth1\nbroken\n";
        assert!(is_linked(addresses, "eth1") && !is_linked(addresses, "eth0"));
    }

    #[test]
    fn what_every_namespace_has_is_no_network() {
        let table = |names: &[&str]| {
            let lines: Vec<_> = names.iter().map(|name| format!("{name:>6}:    1  2")).collect();
            format!("Inter-|   Receive\n face |bytes\n{}", lines.join("\n"))
        };
        assert!(!has_beside_lo(&table(&["lo", "sit0", "tunl0"])) && !has_beside_lo(""));
        assert!(has_beside_lo(&table(&["lo", "eth0"])) && has_beside_lo(&table(&["eth0.12"])));
        assert!(are_beside_lo().is_some());
    }

    #[test]
    fn each_interface_counts_once_and_lo_never() {
        let routes = "Iface\tDestination\tGateway\neth0\t00000000\t0100\neth0\t0011\t0000\n";
        let addresses = "fd00 02 40 20 80     eth0\n01 01 80 10 80       lo\nfe80 03 40 20 80 eth1\nbroken\n";
        assert_eq!(named(routes, addresses), BTreeSet::from(["eth0".to_owned(), "eth1".to_owned()]));
        assert!(named("", "").is_empty());
    }
}
