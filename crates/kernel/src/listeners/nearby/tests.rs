use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::super::covers;
use super::*;

#[test]
fn of_thousands_at_one_port_those_that_matter_are_compared() {
    let thousands =
        (1..=10_000).map(|last: u32| SocketAddr::new(Ipv4Addr::from(0x0a00_0000 + last).into(), 80));
    let wildcards = ["0.0.0.0:80", "[::]:80"].map(|text| text.parse().unwrap());
    let all: Vec<SocketAddr> = thousands.chain(wildcards).collect();
    let nearby = Nearby::of(all.iter().map(|address| (*address, *address)));
    for address in &all[..10_000] {
        assert_eq!(nearby.to(*address).count(), 3, "{address}: itself, and two wildcards");
    }
    assert_eq!(nearby.to("192.0.2.1:80".parse().unwrap()).count(), 2);
    assert_eq!(nearby.to("192.0.2.1:81".parse().unwrap()).count(), 0);
    assert_eq!(nearby.to("[::]:80".parse().unwrap()).count(), all.len());
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let texts = ["0.0.0.0", "10.0.0.1", "10.0.0.2", "::", "::1", "::ffff:10.0.0.1", "::ffff:0.0.0.0"];
    (prop::sample::select(texts.to_vec()), 80..82_u16)
        .prop_map(|(text, port)| SocketAddr::new(text.parse().unwrap(), port))
}

proptest! {
    #[test]
    fn nothing_that_overlaps_is_left_out(all in prop::collection::vec(address(), 0..20), asked in address(), v6only: bool) {
        let overlaps = |one: &SocketAddr| {
            let either = covers(one.ip(), v6only, asked.ip()) || covers(asked.ip(), v6only, one.ip());
            one.port() == asked.port() && either
        };
        let nearby = Nearby::of(all.iter().map(|one| (*one, *one)));
        let mut found: Vec<SocketAddr> = nearby.to(asked).copied().filter(overlaps).collect();
        let mut wanted: Vec<SocketAddr> = all.iter().copied().filter(overlaps).collect();
        found.sort();
        wanted.sort();
        prop_assert_eq!(found, wanted);
    }
}
