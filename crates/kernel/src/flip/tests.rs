use netlink_packet_core::Emitable;
use netlink_packet_netfilter::nftables::{ChainAttribute, ChainMessage, Hook, NfTablesMessage};
use proptest::prelude::*;
use rustix::io::Errno;

use super::*;
use crate::netlink::{BatchError, Feature, NetlinkError, Reply};
use crate::nft::NftError;

fn way(public: &str, private: u16) -> Way {
    Way { public: public.parse().unwrap(), private }
}

#[test]
fn each_new_table_comes_before_those_there_are() {
    let below = |others: &[i32]| priority::below(priority::USUAL, others.iter().copied());
    assert_eq!(below(&[]), -110);
    assert_eq!(below(&[-110, -110, 0]), -111);
    assert_eq!(below(&[-112, -111]), -113);
    assert_eq!(below(&[0]), -110, "the chain `input`");
    assert_eq!((below(&[-198]), below(&[LOWEST]), below(&[i32::MIN])), (LOWEST, LOWEST, LOWEST));
}

#[test]
fn only_chains_of_flips_count() {
    let of = |table: &str| {
        let attributes = vec![
            ChainAttribute::Table(table.to_owned()),
            ChainAttribute::Hook(vec![Hook::Priority((-120_i32).cast_unsigned())]),
        ];
        let message = NfTablesMessage::NewChain(ChainMessage { attributes });
        let mut payload = vec![1, 0, 0, 0];
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        payload.extend(bytes);
        priority::of_flip(&Reply { kind: 0xa03, payload })
    };
    assert_eq!(of("clearway_edge_flip_00000001"), Some(-120));
    assert_eq!((of("clearway_edge_1_00000001"), of("nat")), (None, None));
}

#[test]
fn what_was_closed_before_and_is_not_any_more_is_opened() {
    let ways = |ways: &[Way]| content::closed(&ways.iter().copied().collect());
    let before = ways(&[way("0.0.0.0:80", 8000), way("127.0.0.1:80", 8000)]);
    let after = ways(&[way("127.0.0.1:80", 8000), way("[::]:80", 8000)]);
    let said = |before, after| -> Vec<String> {
        let mut changes = Transaction::on(&"t");
        content::close(&mut changes, before, after);
        changes.steps().iter().map(|step| step.what.clone()).collect()
    };
    assert_eq!(said(&before, &after), ["ports closed before", "closed ports"]);
    assert!(said(&after, &after).is_empty());
}

#[test]
fn many_ways_are_several_messages() {
    let ways = (1..=1001).map(|port| way(&format!("127.0.0.1:{port}"), port)).collect();
    let mut changes = Transaction::on(&"t");
    content::fill(&mut changes, MapSide::A, &ways);
    assert_eq!(changes.steps().len(), 3);
}

#[test]
fn what_is_refused_is_explained() {
    let mut all = Transaction::on(&"t");
    chains::all(&mut all, priority::USUAL);
    chains::ways(&mut all, MapSide::A);
    let refused = |needs, errno| {
        let error = NetlinkError::Refused { what: "filling".to_owned(), errno, words: None };
        error::explain(BatchError { needs, error })
    };
    for (what, module) in [
        ("chain `output`", "nft_chain_nat"),
        ("rule for local addresses", "nft_fib_inet"),
        ("rule that redirects", "nft_nat"),
        ("rule for the redirected", "nft_ct"),
        ("rule against direct connections", "nft_reject_inet"),
    ] {
        let needs = all.steps().iter().find(|step| step.what == what).map(|step| step.needs);
        let text = refused(needs, Errno::NOENT).to_string();
        assert!(text.contains(module), "{text}");
        assert!(matches!(refused(needs, Errno::NOMEM), FlipError::Table(_)));
    }
    assert!(matches!(refused(None, Errno::PERM), FlipError::Table(NftError::Denied(_))));
    assert!(matches!(
        refused(Some(Feature::Chain), Errno::NOENT),
        FlipError::Table(NftError::NoInetChains(_))
    ));
}

proptest! {
    #[test]
    fn random_bytes_are_no_chain_and_no_panic(payload in proptest::collection::vec(any::<u8>(), 0..120)) {
        prop_assert_eq!(priority::of_flip(&Reply { kind: 0xa03, payload }), None);
    }
}
