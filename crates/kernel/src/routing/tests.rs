use std::collections::BTreeSet;
use std::net::SocketAddr;

use clearway_core::intercept::Interception;
use clearway_core::names::Mark;
use netlink_packet_core::Emitable;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use proptest::prelude::*;

use super::terms::address_family;
use super::*;
use crate::netlink::Reply;

fn wanted(family: Family) -> Vec<PolicyRule> {
    let servers = ["127.0.0.1:81", "[::1]:82"].map(|server| server.parse().unwrap()).into();
    let wanted = Wanted {
        block: Block(0),
        mark: Mark::DEFAULT,
        replies: Mark::bit(30),
        loopback: &servers,
        interception: &Interception::default(),
    };
    PolicyRule::wanted(&wanted, family)
}

fn foreign(fwmark: Option<(u32, u32)>) -> PolicyRule {
    let mut rule = wanted(Family::V4)[2].clone();
    rule.protocol = 3;
    rule.preference = 100;
    rule.table = 100;
    rule.fwmark = fwmark;
    rule
}

#[test]
fn blocks_have_their_own_preferences_and_tables() {
    assert_eq!(Block(0).preferences(), [900, 901, 902, 903, 904]);
    assert_eq!(Block(63).preferences(), [1215, 1216, 1217, 1218, 1219]);
    assert_eq!(Block::new(64), None);
    assert_eq!(Block::all().count(), 64);
    for block in Block::all() {
        assert_eq!(Block::of_table(block.table().0), Some(block));
        for preference in block.preferences() {
            assert_eq!(Block::of_preference(preference), Some(block));
        }
    }
    for preference in [0, 899, 1220, u32::MAX] {
        assert_eq!(Block::of_preference(preference), None, "{preference}");
    }
    assert_eq!(Block::of_table(254), None);
    assert_eq!(Block::of_table(Block(63).table().0 + 1), None);
}

/// One for each server on a loopback address, and each is looked for among all.
#[test]
fn the_rules_of_many_servers_are_found_among_each_other() {
    let server = |number: u32| SocketAddr::new(std::net::Ipv4Addr::from(0x7f00_0000 + number).into(), 80);
    let servers: BTreeSet<SocketAddr> = (1..=100_000).map(server).collect();
    let wanted = Wanted {
        block: Block(0),
        mark: Mark::DEFAULT,
        replies: None,
        loopback: &servers,
        interception: &Interception::default(),
    };
    let mut rules = PolicyRule::wanted(&wanted, Family::V4);
    let mut among: Among = rules.iter().cloned().collect();
    assert!(rules.iter().all(|rule| among.has(rule)));
    assert!(!among.insert(rules[0].clone()), "it is there");
    let mut other = rules.pop().unwrap();
    other.input = None;
    assert!(!among.has(&other));
    assert!(among.insert(other.clone()) && among.has(&other));
}

#[test]
fn the_words_are_those_of_ip() {
    let words = |family| wanted(family).iter().map(PolicyRule::to_string).collect::<Vec<_>>();
    let four = [
        "903: from all nop proto 179",
        "901: from all fwmark 0x20000000/0x20000000 iif lo goto 903 proto 179",
        "902: from all fwmark 0x20000000/0x20000000 lookup 3253338112 proto 179",
        "900: from all fwmark 0x40000000/0x40000000 iif lo lookup 3253338112 proto 179",
    ];
    let v4 = words(Family::V4);
    assert_eq!(v4[..4], four);
    assert_eq!(v4[4..], ["904: from 127.0.0.1 iif lo ipproto tcp sport 81 lookup 3253338112 proto 179"]);
    let v6 = words(Family::V6);
    assert_eq!(v6[..4], four);
    assert_eq!(v6[4..], ["904: from ::1 iif lo ipproto tcp sport 82 lookup 3253338112 proto 179"]);
    let route = Route::wanted(Block(1), Family::V6);
    assert_eq!(route.to_string(), "local default dev lo table 3253338113 proto 179");
}

#[test]
fn a_rule_uses_a_bit_that_it_matches_or_that_is_in_its_field() {
    let mark = Mark::DEFAULT;
    assert!(!foreign(None).uses(mark));
    assert!(foreign(Some((0x2000_0000, u32::MAX))).uses(mark));
    assert!(foreign(Some((0x2000_0000, 0x2000_0000))).uses(mark));
    assert!(foreign(Some((0, 0x2000_0000))).uses(mark));
    assert!(foreign(Some((0x1_0000, 0xffff_0000))).uses(mark), "calico's field");
    assert!(!foreign(Some((0xca6c, u32::MAX))).uses(mark), "wg-quick");
    assert!(!foreign(Some((0x8_0000, 0xff_0000))).uses(mark), "tailscale");
}

#[test]
fn foreign_rules_occupy_blocks_by_preference_and_by_table() {
    let mut rule = foreign(None);
    assert!(!rule.occupies(Block(0)));
    rule.preference = 902;
    assert!(rule.occupies(Block(0)) && !rule.occupies(Block(1)));
    rule.table = Block(1).table().0;
    assert!(rule.occupies(Block(1)));
    assert_eq!(rule.block(), None, "not our tag");
}

#[test]
fn a_rule_is_read_as_the_kernel_tells_it() {
    let mut message = RuleMessage::default();
    message.header.family = address_family(Family::V6);
    message.header.table = 252;
    message.header.action = RuleAction::ToTable;
    message.attributes.extend([
        RuleAttribute::Table(0xC1EA_0000),
        RuleAttribute::SuppressPrefixLen(u32::MAX),
        RuleAttribute::Priority(902),
        RuleAttribute::FwMark(0x2000_0000),
        RuleAttribute::FwMask(0x2000_0000),
        RuleAttribute::Protocol(TAG.into()),
    ]);
    let mut payload = vec![0; message.buffer_len()];
    message.emit(&mut payload);
    let reply = Reply { kind: 32, payload };
    assert_eq!(rule::decode(&reply, Family::V6).as_ref(), wanted(Family::V6).get(2));
    assert_eq!(rule::decode(&reply, Family::V4), None);
}

#[test]
fn rules_of_ours_survive_a_round_trip() {
    for rule in Family::ALL.into_iter().flat_map(wanted) {
        let message = rule.message();
        let mut payload = vec![0; message.buffer_len()];
        message.emit(&mut payload);
        assert_eq!(rule::decode(&Reply { kind: 32, payload }, rule.family), Some(rule));
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(mut payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(family) = payload.first_mut() {
            *family = if *family % 2 == 0 { 2 } else { 10 };
        }
        let reply = Reply { kind: 24, payload };
        for family in Family::ALL {
            let _ = rule::decode(&reply, family);
            let _ = route::decode(&reply, family);
        }
    }
}
