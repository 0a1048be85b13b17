use netlink_packet_core::Emitable;
use proptest::prelude::*;

use super::rules::{Guard, SocketKey, socket, steps};
use super::*;
use crate::netlink::Reply;
use crate::routing::Block;

fn emitted(emitable: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; emitable.buffer_len()];
    emitable.emit(&mut bytes);
    bytes
}

fn emitted_rule(what: &str) -> Vec<u8> {
    let steps = steps("t", Mark::DEFAULT, Guard::Wildcard);
    let step = steps.iter().find(|step| step.what == what).unwrap();
    emitted(&step.message)
}

/// What `strace nft` 1.0.6 shows for `socket wildcard 1`, without `NFTA_SOCKET_LEVEL` 0, which only
/// `cgroupv2` uses (Linux 5.13) and which older kernels do not know.
#[test]
fn the_socket_expression_has_the_bytes_of_nft() {
    let golden = b"\x24\x00\x01\x80\x0b\x00\x01\x00socket\x00\x00\
        \x14\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x02\x08\x00\x02\x00\x00\x00\x00\x01";
    assert_eq!(emitted(&socket(SocketKey::Wildcard)), golden);
    let transparent = emitted(&socket(SocketKey::Transparent));
    assert_eq!(transparent[..27], golden[..27]);
    assert_eq!(transparent[27], 0);
}

/// `strace nft` for `add rule inet t prerouting iif lo return`, from `NFTA_RULE_TABLE` on.
#[test]
fn a_rule_has_the_bytes_of_nft() {
    let golden = b"\x06\x00\x01\x00t\x00\x00\x00\x0f\x00\x02\x00prerouting\x00\x00\x84\x00\x04\x80\
        \x24\x00\x01\x80\x09\x00\x01\x00meta\x00\x00\x00\x00\
        \x14\x00\x02\x80\x08\x00\x02\x00\x00\x00\x00\x04\x08\x00\x01\x00\x00\x00\x00\x01\
        \x2c\x00\x01\x80\x08\x00\x01\x00cmp\x00\x20\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01\
        \x08\x00\x02\x00\x00\x00\x00\x00\x0c\x00\x03\x80\x08\x00\x01\x00\x01\x00\x00\x00\
        \x30\x00\x01\x80\x0e\x00\x01\x00immediate\x00\x00\x00\x1c\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x00\
        \x10\x00\x02\x80\x0c\x00\x02\x80\x08\x00\x01\x00\xff\xff\xff\xfb";
    assert_eq!(emitted_rule("rule for `lo`"), golden);
}

/// `strace nft` for `meta mark set meta mark | 0x20000000 accept`, without `NFTA_BITWISE_OP` 0 (the default;
/// Linux 5.6).
#[test]
fn marking_has_the_bytes_of_nft() {
    let golden = b"\x44\x00\x01\x80\x0c\x00\x01\x00bitwise\x00\x34\x00\x02\x80\
        \x08\x00\x01\x00\x00\x00\x00\x01\x08\x00\x02\x00\x00\x00\x00\x01\x08\x00\x03\x00\x00\x00\x00\x04\
        \x0c\x00\x04\x80\x08\x00\x01\x00\xff\xff\xff\xdf\x0c\x00\x05\x80\x08\x00\x01\x00\x00\x00\x00\x20\
        \x24\x00\x01\x80\x09\x00\x01\x00meta\x00\x00\x00\x00\
        \x14\x00\x02\x80\x08\x00\x02\x00\x00\x00\x00\x03\x08\x00\x03\x00\x00\x00\x00\x01\
        \x30\x00\x01\x80\x0e\x00\x01\x00immediate\x00\x00\x00\x1c\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x00\
        \x10\x00\x02\x80\x0c\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01";
    assert!(emitted_rule("rule that marks").ends_with(golden));
}

#[test]
fn names_survive_a_round_trip_and_others_are_not_ours() {
    for text in ["clearway_edge-1_63_0badcafe", "clearway__0_00000000", "clearway_private_7_ffffffff"] {
        assert_eq!(text.parse::<TableName>().unwrap().to_string(), text);
    }
    let private: TableName = "clearway_private_7_ffffffff".parse().unwrap();
    let unnamed: TableName = "clearway__7_fffffffe".parse().unwrap();
    assert!(private.instance.is_some() && unnamed.instance.is_none());
    assert!(!unnamed.is_sibling_of(&"clearway__7_00000001".parse().unwrap()));
    for text in [
        "clearway",
        "clearway_",
        "clearway_a_64_0badcafe",
        "clearway_a_07_0badcafe",
        "clearway_a_+7_0badcafe",
        "clearway_a_7_badcafe",
        "clearway_a_7_0BADCAFE",
        "clearway_a_b_7_0badcafe",
        "clearway_A_7_0badcafe",
        "docker-bridges",
    ] {
        assert_eq!(text.parse::<TableName>(), Err(super::name::NotOurs), "{text}");
    }
}

#[test]
fn what_is_refused_is_explained() {
    let refused = |step, errno| {
        let error = netlink::Error::Refused { what: "filling".to_owned(), errno, words: None };
        explain(BatchError { step, error })
    };
    assert!(matches!(refused(None, Errno::PERM), Error::Denied(_)));
    assert!(matches!(refused(None, Errno::OPNOTSUPP), Error::NoNfTables(_)));
    assert!(matches!(refused(Some(0), Errno::NOENT), Error::NoInetChains(_)));
    assert!(matches!(refused(Some(5), Errno::NOENT), Error::NoSocketExpression(_)));
    let text = refused(Some(5), Errno::NOENT).to_string();
    assert!(text.contains("modprobe nft_socket"), "{text}");
    assert!(matches!(refused(Some(5), Errno::NOMEM), Error::Netlink(_)));
}

#[test]
fn every_rule_is_where_the_explanation_looks_for_it() {
    for guard in [Guard::Wildcard, Guard::None] {
        for (place, step) in steps("t", Mark::DEFAULT, guard).iter().enumerate() {
            let chain = matches!(step.message, NfTablesMessage::NewChain(_));
            let rule = matches!(step.message, NfTablesMessage::NewRule(_));
            assert_eq!((rules::is_chain(place), rules::is_rule(place)), (chain, rule), "{}", step.what);
        }
    }
}

#[test]
fn a_listed_table_is_read() {
    let name = TableName { instance: None, block: Block::new(3).unwrap(), nonce: 7 };
    let attributes = vec![
        TableAttribute::Name(name.to_string()),
        TableAttribute::Flags(TableFlags::Owner),
        TableAttribute::Handle(42),
    ];
    let mut payload = vec![1, 0, 0, 0];
    payload.extend(emitted(&NfTablesMessage::NewTable(TableMessage { attributes })));
    let listed = list::decode(&Reply { kind: 0xa00, payload }).unwrap();
    assert_eq!(listed, Listed { name, owner: true, handle: Some(42) });
}

proptest! {
    #[test]
    fn random_bytes_are_no_table_and_no_panic(payload in proptest::collection::vec(any::<u8>(), 0..120)) {
        prop_assert_eq!(list::decode(&Reply { kind: 0xa00, payload }), None);
    }

    #[test]
    fn random_names_never_panic(text in "(clearway_)?[a-z0-9_+-]{0,40}") {
        let _ = text.parse::<TableName>();
    }
}
