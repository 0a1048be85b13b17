use super::choice::{MarkPurpose, free, is_beaten, is_free, mark, mark_of_sibling, replies_of_block, rivals};
use super::*;
use crate::nft::{Listed, nonce};
use crate::routing::PolicyRule;
use netlink_packet_route::rule::RuleAction;

fn table(name: &str, handle: u64) -> Listed {
    Listed { name: name.parse().unwrap(), owner: true, handle: Some(handle) }
}

fn rule(preference: u32, fwmark: Option<(u32, u32)>, protocol: u8) -> PolicyRule {
    let without = PolicyRule::without_conditions(Family::V4, preference);
    PolicyRule { action: RuleAction::ToTable, table: 7, fwmark, protocol, ..without }
}

#[test]
fn of_two_in_one_block_the_first_stays_and_the_second_yields() {
    let tables = [table("clearway__0_ffffffff", 4), table("clearway__0_00000001", 5)];
    assert!(!is_beaten(&tables[0].name, &tables));
    assert!(is_beaten(&tables[1].name, &tables));
}

#[test]
fn siblings_share_a_block_and_yield_only_in_different_ones() {
    let together = [table("clearway_a_0_00000002", 4), table("clearway_a_0_00000001", 5)];
    assert!(together.iter().all(|table| !is_beaten(&table.name, &together)));
    let apart = [table("clearway_a_0_00000002", 4), table("clearway_a_1_00000001", 5)];
    assert!(!is_beaten(&apart[0].name, &apart));
    assert!(is_beaten(&apart[1].name, &apart));
    let strangers = [table("clearway_a_0_00000002", 4), table("clearway_b_1_00000001", 5)];
    assert!(strangers.iter().all(|table| !is_beaten(&table.name, &strangers)));
}

#[test]
fn a_table_that_vanished_is_beaten() {
    assert!(is_beaten(&"clearway__0_00000001".parse().unwrap(), &[]));
}

#[test]
fn a_block_is_free_without_living_tables_and_foreign_rules() {
    let block = Block::new(0).unwrap();
    assert!(is_free(block, &[], &[rule(32766, None, 2)]));
    assert!(!is_free(block, &[table("clearway_a_0_00000002", 4)], &[]));
    assert!(!is_free(block, &[], &[rule(902, None, 0)]));
    assert!(is_free(block, &[], &[rule(902, None, routing::TAG)]), "residue is no obstacle");
}

#[test]
fn the_mark_gives_way_to_foreign_rules_unless_it_was_asked_for() {
    let bit = |number| Mark::bit(number).unwrap();
    let foreign = [rule(100, Some((0x2000_0000, 0x2000_0000)), 3), rule(101, Some((0, 0x5000_0000)), 0)];
    let (taken, notice) = mark(None, None, &foreign).unwrap();
    assert_eq!(taken, bit(27));
    assert!(notice.unwrap().to_string().contains("100: from all fwmark 0x20000000/0x20000000 lookup 7"));
    let error = mark(Some(Mark::DEFAULT), None, &foreign).unwrap_err().to_string();
    assert!(error.contains("0x20000000") && error.contains("100: from all"), "{error}");
    assert_eq!(mark(Some(bit(3)), None, &foreign).unwrap().0, bit(3));
    assert_eq!(mark(None, Some(bit(30)), &foreign).unwrap().0, bit(30), "a sibling's mark comes first");
    assert!(matches!(mark(Some(bit(3)), Some(bit(30)), &foreign), Err(PlumbingError::MarkDiffers { .. })));
    let whole = [rule(100, Some((1, 0x7fff_ffff)), 3), rule(101, Some((1 << 31, u32::MAX)), 3)];
    assert!(matches!(mark(None, None, &whole), Err(PlumbingError::NoFreeMark)));
}

#[test]
fn the_bit_of_replies_is_never_that_of_what_a_living_one_diverts() {
    let bit = |number| Mark::bit(number).unwrap();
    let ours = |preference, bit: Mark| rule(preference, Some((bit.value(), bit.value())), routing::TAG);
    // Block 0 diverts with 30; block 1 diverts with 29 and sends replies with 28; block 2 is dead.
    let rules = [ours(902, bit(30)), ours(905, bit(28)), ours(907, bit(29)), ours(910, bit(27))];
    let living = [table("clearway_a_0_00000002", 4), table("clearway_b_1_00000001", 5)];
    let of_replies = rivals(MarkPurpose::Replies, &living, &rules);
    assert_eq!(free(&of_replies, None), Some(bit(28)), "shared with the replies of block 1");
    assert_eq!(free(&of_replies, Some(bit(28))), Some(bit(27)), "not our own");
    let diverted = rivals(MarkPurpose::Diverted, &living, &rules);
    assert_eq!(mark(None, None, &diverted).unwrap().0, bit(29), "shared with what block 1 diverts");
    assert!(matches!(mark(Some(bit(28)), None, &diverted), Err(PlumbingError::MarkTaken { .. })));
    assert_eq!(mark(Some(bit(27)), None, &diverted).unwrap().0, bit(27), "the dead have no say");
}

#[test]
fn both_bits_of_a_block_are_found_in_its_rules() {
    let ours = |preference, value| rule(preference, Some((value, value)), routing::TAG);
    let rules = [ours(900, 0x4000_0000), ours(901, 0x1000_0000), ours(902, 0x1000_0000)];
    let living = [table("clearway_a_0_00000002", 4)];
    assert_eq!(mark_of_sibling("a".parse().ok().as_ref(), &living, &rules), Mark::bit(28));
    assert_eq!(replies_of_block(Block::new(0).unwrap(), &rules), Mark::bit(30));
    assert_eq!(replies_of_block(Block::new(1).unwrap(), &rules), None);
}

#[test]
fn needs_are_brought_into_the_form_of_rules() {
    let needs = |server: &str| PlumbingNeeds {
        loopback: [server.parse().unwrap()].into(),
        ..PlumbingNeeds::default()
    };
    assert_eq!(needs("[::ffff:127.0.0.2]:80").checked().unwrap(), needs("127.0.0.2:80"));
    assert_eq!(needs("[::1%3]:80").checked().unwrap(), needs("[::1]:80"));
    for server in ["10.0.0.1:80", "[fd01::1]:80", "127.0.0.1:0", "[::1]:65535", "0.0.0.0:80"] {
        let error = needs(server).checked().unwrap_err().to_string();
        assert!(error.contains(server), "{error}");
    }
}

#[test]
fn nonces_differ() {
    assert_ne!((nonce(), nonce()), (nonce(), nonce()));
}

#[test]
fn a_removal_tells_all_errors() {
    let mut errors = RemoveErrors::default();
    errors.note::<(), _>(Err(PlumbingError::NoFreeMark));
    errors.note::<(), _>(Err(PlumbingError::NoPeace { attempts: 1 }));
    assert_eq!(errors.errors.len(), 2);
    let text = errors.into_result().unwrap_err().to_string();
    assert!(text.contains("every bit") && text.contains("1 times"), "{text}");
}
