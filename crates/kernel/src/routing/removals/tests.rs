use netlink_packet_core::Emitable;
use std::collections::BTreeSet;

use clearway_core::intercept::Interception;
use clearway_core::names::Mark;
use proptest::prelude::*;

use super::*;
use crate::routing::{PolicyRule, Route, Wanted};

fn block(number: u8) -> Block {
    Block::new(number).unwrap()
}

fn message(kind: u16, payload: &impl Emitable) -> Vec<u8> {
    let length = 16 + payload.buffer_len();
    let mut bytes = vec![0; length];
    bytes[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    payload.emit(&mut bytes[16..]);
    bytes
}

fn removals_of(number: u8) -> Vec<Vec<u8>> {
    let loopback = BTreeSet::from(["127.0.0.1:81".parse().unwrap(), "[::1]:81".parse().unwrap()]);
    let interception = Interception::default();
    let (mark, replies) = (Mark::DEFAULT, Mark::bit(30));
    let wanted =
        Wanted { block: block(number), mark, replies, loopback: &loopback, interception: &interception };
    let mut messages = Vec::new();
    for family in Family::ALL {
        let rules = PolicyRule::wanted(&wanted, family);
        assert_eq!(rules.len(), 5);
        messages.extend(rules.iter().map(|rule| message(DELETE_RULE, &rule.message())));
        messages.push(message(DELETE_ROUTE, &Route::wanted(block(number), family).message()));
    }
    messages
}

#[test]
fn removals_in_the_own_block_count_and_those_of_other_clearways_do_not() {
    for bytes in removals_of(3) {
        assert!(concerns(block(3), &bytes), "{bytes:?}");
        assert!(!concerns(block(2), &bytes), "{bytes:?}");
    }
    // The kernel may put several into one datagram.
    let padded = removals_of(3).concat();
    assert!(concerns(block(3), &padded) && !concerns(block(2), &padded));
}

#[test]
fn what_cannot_be_read_counts() {
    assert!(concerns(block(0), &[1, 2, 3]));
    assert!(!concerns(block(0), &[]));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(
        kind in prop_oneof![Just(DELETE_RULE), Just(DELETE_ROUTE), any::<u16>()],
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = u32::try_from(16 + payload.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        let _ = concerns(block(0), &bytes);
    }
}
