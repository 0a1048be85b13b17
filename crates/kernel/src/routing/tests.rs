use netlink_packet_core::Emitable;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use proptest::prelude::*;

use super::rule::address_family;
use super::*;
use crate::netlink::Reply;

fn foreign(fwmark: Option<(u32, u32)>) -> Rule {
    let [_, _, mut rule] = Rule::wanted(Block(0), Mark::DEFAULT, Family::V4);
    rule.protocol = 3;
    rule.preference = 100;
    rule.table = 100;
    rule.fwmark = fwmark;
    rule
}

#[test]
fn blocks_have_their_own_preferences_and_tables() {
    assert_eq!(Block(0).preferences(), [901, 902, 903]);
    assert_eq!(Block(63).preferences(), [1216, 1217, 1218]);
    assert_eq!(Block::new(64), None);
    assert_eq!(Block::all().count(), 64);
    for block in Block::all() {
        assert_eq!(Block::of_table(block.table().0), Some(block));
        for preference in block.preferences() {
            assert_eq!(Block::of_preference(preference), Some(block));
        }
    }
    for preference in [0, 899, 900, 904, 905, 1219, 1220, u32::MAX] {
        assert_eq!(Block::of_preference(preference), None, "{preference}");
    }
    assert_eq!(Block::of_table(254), None);
    assert_eq!(Block::of_table(Block(63).table().0 + 1), None);
}

#[test]
fn the_words_are_those_of_ip() {
    let [nop, goto, lookup] = Rule::wanted(Block(0), Mark::DEFAULT, Family::V4);
    assert_eq!(nop.to_string(), "903: from all nop proto 179");
    assert_eq!(goto.to_string(), "901: from all fwmark 0x20000000/0x20000000 iif lo goto 903 proto 179");
    assert_eq!(lookup.to_string(), "902: from all fwmark 0x20000000/0x20000000 lookup 3253338112 proto 179");
    let route = Route::wanted(Block(1), Family::V6);
    assert_eq!(route.to_string(), "local default dev lo table 3253338113 proto 179");
}

#[test]
fn a_bit_is_used_by_whom_asks_for_it_or_owns_a_field_around_it() {
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
    let [_, _, wanted] = Rule::wanted(Block(0), Mark::DEFAULT, Family::V6);
    assert_eq!(rule::decode(&reply, Family::V6), Some(wanted));
    assert_eq!(rule::decode(&reply, Family::V4), None);
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
