use netlink_packet_core::Emitable;
use netlink_packet_netfilter::nftables::{ChainAttribute, ChainMessage, Hook, NfTablesMessage};
use proptest::prelude::*;
use rustix::io::Errno;

use super::*;
use crate::netlink::{self, BatchError, Reply};

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
    let said: Vec<&str> = content::close("t", &before, &after).iter().map(|step| step.what).collect();
    assert_eq!(said, ["ports closed before", "closed ports"]);
    assert!(content::close("t", &after, &after).is_empty());
}

#[test]
fn many_ways_are_several_messages() {
    let ways = (1..=1001).map(|port| way(&format!("127.0.0.1:{port}"), port)).collect();
    assert_eq!(content::fill("t", Side::A, &ways).len(), 3);
}

#[test]
fn what_is_refused_is_explained() {
    let steps = chains::all("t", priority::USUAL);
    let refused = |step, errno| {
        let error = netlink::Error::Refused { what: "filling".to_owned(), errno, words: None };
        error::explain(&steps, BatchError { step, error })
    };
    for (step, module) in [(chains::NAT, "nft_chain_nat"), (chains::LOCAL, "nft_fib_inet")] {
        let place = steps.iter().position(|known| known.what == step);
        let text = refused(place, Errno::NOENT).to_string();
        assert!(text.contains(module), "{text}");
        assert!(matches!(refused(place, Errno::NOMEM), Error::Table(_)));
    }
    assert!(matches!(refused(None, Errno::PERM), Error::Table(nft::Error::Denied(_))));
}

proptest! {
    #[test]
    fn random_bytes_are_no_chain_and_no_panic(payload in proptest::collection::vec(any::<u8>(), 0..120)) {
        prop_assert_eq!(priority::of_flip(&Reply { kind: 0xa03, payload }), None);
    }
}
