//! Any text as the tables of interfaces, addresses and routes in `/proc/net`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{has_beside_lo, is_linked, lead_to, lead_to_v6, named};

pub(crate) fn tables(text: &str) {
    let names = named(text, text);
    assert!(names.iter().all(|name| name != "lo" && text.contains(name)));
    let _ = (has_beside_lo(text), is_linked(text, "eth0"));
    let leads = [
        lead_to(text, Ipv4Addr::new(10, 0, 0, 1)),
        lead_to_v6(text, Ipv6Addr::LOCALHOST),
        lead_to_v6(text, Ipv6Addr::new(0xfd02, 0, 0, 0, 0, 0, 0, 2)),
    ];
    assert!(leads.into_iter().flatten().all(|name| text.contains(&name)));
}
