use proptest::prelude::*;

use super::*;

fn one(text: &str) -> InterceptRule {
    let mut all = rules(text).unwrap();
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

#[test]
fn a_rule_is_read_and_shown_as_it_is_typed() {
    for text in [
        "10.2.0.0/16,2001:db8:2::/48 port 80,8000-8099 from lan0 to 8080",
        "any port 25 to 2525",
        "192.0.2.1 port any to 65535",
        "2001:db8::1,0.0.0.0/0 port 1-65534 to 1",
    ] {
        assert_eq!(one(text).to_string(), text);
    }
    assert_eq!(one(" any   to 80 from x port\t443 ").to_string(), "any port 443 from x to 80");
    assert_eq!(one("10.0.0.1/32 port 80-80 to 80").to_string(), "10.0.0.1 port 80 to 80");
    let two = rules("any port 1 to 2; ;10.0.0.0/8 port 3 to 4;").unwrap();
    assert_eq!(two.iter().map(|rule| rule.to).collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn what_is_wrong_is_named_with_its_rule_and_what_was_expected() {
    for (text, rule, word, expected) in [
        ("10.2.0.0/16 port 80 to", 1, "behind `to`", "such as"),
        ("any port 25 to 2525; 10.2.0.0/33 port 80 to 8080", 2, "`10.2.0.0/33`", "too long"),
        ("10.2.0.1/16 port 80 to 8080", 1, "`10.2.0.1/16`", "`10.2.0.0/16` is"),
        ("example.org port 80 to 8080", 1, "`example.org`", "an address or a network"),
        ("10.2.0.0/+8 port 80 to 8080", 1, "`10.2.0.0/+8`", "no destination"),
        ("127.0.0.0/8 port 80 to 8080", 1, "`127.0.0.0/8`", "gateway"),
        ("ff02::1 port 80 to 8080", 1, "`ff02::1`", "gateway"),
        ("::ffff:10.0.0.1 port 80 to 8080", 1, "`::ffff:10.0.0.1`", "disguise"),
        ("10.2.0.0/16 to 8080", 1, "`port` is missing", "`port any`"),
        ("10.2.0.0/16 port 80", 1, "`to`", "missing"),
        ("any port 80x to 8080", 1, "`80x`", "8000-8099"),
        ("any port +80 to 8080", 1, "`+80`", "from 1 to 65534"),
        ("any port 0 to 8080", 1, "`0`", "from 1 to 65534"),
        ("any port 65535 to 8080", 1, "`65535`", "from 1 to 65534"),
        ("any port 90-80 to 8080", 1, "`90-80`", "ends before"),
        ("any port 80 to 0", 1, "`0`", "from 1 to 65535"),
        ("any port 80 to 8080-8090", 1, "`8080-8090`", "from 1 to 65535"),
        ("any port 80 via lan0 to 8080", 1, "`via`", "`from`"),
        ("any port 80 port 81 to 8080", 1, "`port` stands there twice", "such as"),
        ("any port 80 from lo to 8080", 1, "`lo`", "never intercepted"),
        ("any port 80 from a-name-that-is-too-long to 8080", 1, "`a-name-that-is-too-long`", "15"),
    ] {
        let error = rules(text).unwrap_err();
        assert!(error.starts_with(&format!("rule {rule} (")), "{text}: {error}");
        assert!(error.contains(word) && error.contains(expected), "{text}: {error}");
    }
    assert!(rules(" ; ").unwrap_err().contains("such as"));
    let many: Vec<String> = (1..=257).map(|port: u16| port.to_string()).collect();
    assert!(rules(&format!("any port {} to 1", many.join(","))).unwrap_err().contains("257"));
}

#[test]
fn each_destination_with_each_port_is_a_target() {
    let rules = rules("10.0.0.0/8,fd00::/8 port 80,443 from x to 1; any port any to 2").unwrap();
    let interception = Interception { rules, fail: Fail::Open };
    let targets: Vec<_> = interception.targets().collect();
    assert_eq!(targets.len(), 5);
    assert_eq!(targets[1].ports, Some(PortRange { first: 443, last: 443 }));
    assert_eq!(targets[2].destination.map(|network| network.to_string()), Some("fd00::/8".to_owned()));
    assert_eq!(targets[4], InterceptTarget { destination: None, ports: None, interface: None, to: 2 });
}

#[test]
fn only_what_is_intercepted_can_be_closed() {
    let closed = Interception { rules: Vec::new(), fail: Fail::Closed };
    assert!(closed.is_empty() && !closed.is_closed());
    assert!(Interception { rules: rules("any port 1 to 1").unwrap(), ..closed }.is_closed());
    assert!("ajar".parse::<Fail>().unwrap_err().contains("`closed`"));
}

#[test]
fn masks_have_the_bits_of_their_prefix() {
    let mask = |text: &str| text.parse::<IpNetwork>().unwrap().mask().to_string();
    assert_eq!(mask("10.2.0.0/15"), "255.254.0.0");
    assert_eq!(mask("0.0.0.0/0"), "0.0.0.0");
    assert_eq!(mask("10.2.0.1"), "255.255.255.255");
    assert_eq!(mask("fd00::/9"), "ff80::");
    assert_eq!(mask("::/0"), "::");
}

proptest! {
    #[test]
    fn random_text_never_panics(text in "[a-z0-9.:/,; -]{0,60}") {
        let _ = rules(&text);
    }

    #[test]
    fn what_is_shown_is_read_the_same(a in any::<u32>(), length in 0_u8..=32, first in 1_u16..65535, to in 1_u16..) {
        let address = std::net::Ipv4Addr::from_bits(a & 0x7fff_ffff | 0x4000_0000);
        let network = ipnet::Ipv4Net::new(address, length).unwrap().trunc();
        if let Ok(rule) = words::rule(&format!("{network} port {first}-65534 to {to}")) {
            prop_assert_eq!(words::rule(&rule.to_string()).unwrap(), rule);
        }
    }
}
