use super::choice::{is_beaten, is_free, mark, nonce};
use super::*;
use crate::nft::Listed;
use crate::routing::Rule;
use netlink_packet_route::rule::RuleAction;

fn table(name: &str, handle: u64) -> Listed {
    Listed { name: name.parse().unwrap(), owner: true, handle: Some(handle) }
}

fn rule(preference: u32, fwmark: Option<(u32, u32)>, protocol: u8) -> Rule {
    Rule {
        family: Family::V4,
        preference,
        action: RuleAction::ToTable,
        table: 7,
        target: None,
        fwmark,
        input: None,
        protocol,
        inverted: false,
    }
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
    assert!(matches!(mark(Some(bit(3)), Some(bit(30)), &foreign), Err(Error::MarkDiffers { .. })));
    let whole = [rule(100, Some((1, 0x7fff_ffff)), 3), rule(101, Some((1 << 31, u32::MAX)), 3)];
    assert!(matches!(mark(None, None, &whole), Err(Error::NoFreeMark)));
}

#[test]
fn nonces_differ() {
    assert_ne!((nonce(), nonce()), (nonce(), nonce()));
}

#[test]
fn a_removal_tells_all_errors() {
    let mut errors = RemoveErrors::default();
    errors.note::<(), _>(Err(Error::NoFreeMark));
    errors.note::<(), _>(Err(Error::NoPeace { attempts: 1 }));
    assert_eq!(errors.errors.len(), 2);
    let text = errors.into_result().unwrap_err().to_string();
    assert!(text.contains("every bit") && text.contains("1 times"), "{text}");
}
