use clearway_core::hints::Hints;
use netlink_packet_core::Emitable;
use netlink_packet_netfilter::nftables::{NfTablesMessage, TableAttribute, TableFlags, TableMessage};
use proptest::prelude::*;

use clearway_core::intercept::{Fail, InterceptRule as Intercepts, PortRange};

use super::content::removal;
use super::*;
use crate::netlink::{BatchError, NetlinkError, Reply, Step};
use crate::routing::Block;

fn emitted(emitable: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; emitable.buffer_len()];
    emitable.emit(&mut bytes);
    bytes
}

const OF_REPLIES: Mark = Mark::bit(30).unwrap();
const WHOLE: Content =
    Content { mark: Mark::DEFAULT, guard: true, own: Some(Own { mark: OF_REPLIES, reset: true }) };
const REMOTE: Content = Content { own: None, ..WHOLE };

fn steps(content: &Content, interception: Option<&Interception>, stale: bool) -> Vec<Step> {
    content::fill(&"t", content, interception, stale).steps().to_vec()
}

fn emitted_step(what: &str) -> Vec<u8> {
    let steps = steps(&WHOLE, None, false);
    let step = steps.iter().find(|step| step.what == what).unwrap();
    emitted(&step.message)
}

/// One expression of a rule.
fn expression(rule: &NftRule, place: usize) -> Vec<u8> {
    emitted(&rule.expressions[place])
}

/// What `strace nft` 1.0.6 shows for `socket wildcard 1`, without `NFTA_SOCKET_LEVEL` 0, which only
/// `cgroupv2` uses (Linux 5.13) and which older kernels do not know.
#[test]
fn the_socket_expression_has_the_bytes_of_nft() {
    let golden = b"\x24\x00\x01\x80\x0b\x00\x01\x00socket\x00\x00\
        \x14\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x02\x08\x00\x02\x00\x00\x00\x00\x01";
    assert_eq!(expression(&NftRule::new().wildcard(), 0), golden);
    let transparent = expression(&NftRule::new().transparent(), 0);
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
    assert_eq!(emitted_step("rule for `lo`"), golden);
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
    assert!(emitted_step("rule that marks").ends_with(golden));
}

#[test]
fn names_survive_a_round_trip_and_others_are_not_ours() {
    for text in [
        "clearway_edge-1_63_0badcafe",
        "clearway__0_00000000",
        "clearway_private_7_ffffffff",
        "clearway_edge_flip_0badcafe",
        "clearway__flip_0badcafe",
        "clearway_gate_gate_ffffffff",
        "clearway_3_gate_00000001",
    ] {
        assert_eq!(text.parse::<TableName>().unwrap().to_string(), text);
    }
    let private: TableName = "clearway_private_7_ffffffff".parse().unwrap();
    let unnamed: TableName = "clearway__7_fffffffe".parse().unwrap();
    assert!(private.instance.is_some() && unnamed.instance.is_none());
    let flip: TableName = "clearway_private_flip_00000001".parse().unwrap();
    let gate: TableName = "clearway_private_gate_00000002".parse().unwrap();
    let all = [&private, &flip, &gate];
    assert!(all.iter().all(|one| !all.iter().any(|other| one.is_sibling_of(other))));
    assert_eq!(all.map(TableName::block), [Block::new(7), None, None]);
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
        "clearway_a_Flip_0badcafe",
        "clearway_gate",
        "clearway_a_gate_badcafe",
        "clearway_a_gate_+badcafe",
        "clearway_a_gate_0badcafe_",
        "edge_gate_0badcafe",
        "docker-bridges",
    ] {
        assert_eq!(text.parse::<TableName>(), Err(super::name::ForeignTableName), "{text}");
    }
}

/// `strace nft` 1.0.6 for `ct direction`, `ct mark`, `ct mark set`, and for `reject with tcp reset`, the latter
/// without `NFTA_REJECT_ICMP_CODE` 0, which the kernel does not look at.
#[test]
fn conntrack_and_reject_have_the_bytes_of_nft() {
    let direction = b"\x20\x00\x01\x80\x07\x00\x01\x00ct\x00\x00\
        \x14\x00\x02\x80\x08\x00\x02\x00\x00\x00\x00\x01\x08\x00\x01\x00\x00\x00\x00\x01";
    assert_eq!(expression(&NftRule::new().original(), 0), direction);
    let mark = b"\x20\x00\x01\x80\x07\x00\x01\x00ct\x00\x00\
        \x14\x00\x02\x80\x08\x00\x02\x00\x00\x00\x00\x03\x08\x00\x01\x00\x00\x00\x00\x01";
    assert_eq!(expression(&NftRule::new().mark_connection(Mark::DEFAULT), 0), mark);
    let set = b"\x20\x00\x01\x80\x07\x00\x01\x00ct\x00\x00\
        \x14\x00\x02\x80\x08\x00\x02\x00\x00\x00\x00\x03\x08\x00\x04\x00\x00\x00\x00\x01";
    assert_eq!(expression(&NftRule::new().mark_connection(Mark::DEFAULT), 2), set);
    let reject = b"\x1c\x00\x01\x80\x0b\x00\x01\x00reject\x00\x00\
        \x0c\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01";
    assert_eq!(expression(&NftRule::new().reset(), 0), reject);
    let reply = b"\x2c\x00\x01\x80\x08\x00\x01\x00cmp\x00\x20\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01\
        \x08\x00\x02\x00\x00\x00\x00\x00\x0c\x00\x03\x80\x05\x00\x01\x00\x01\x00\x00\x00";
    assert_eq!(expression(&NftRule::new().transparent(), 1), reply);
    // Without `NFTA_BITWISE_OP` 0, see below.
    let only_the_bit = b"\x44\x00\x01\x80\x0c\x00\x01\x00bitwise\x00\x34\x00\x02\x80\
        \x08\x00\x01\x00\x00\x00\x00\x01\x08\x00\x02\x00\x00\x00\x00\x01\x08\x00\x03\x00\x00\x00\x00\x04\
        \x0c\x00\x04\x80\x08\x00\x01\x00\x00\x00\x00\x20\x0c\x00\x05\x80\x08\x00\x01\x00\x00\x00\x00\x00";
    assert_eq!(expression(&NftRule::new().marked(Mark::DEFAULT), 1), only_the_bit);
}

/// `strace nft` for `chain output { type route hook output priority mangle; policy accept; }`.
#[test]
fn the_output_chain_has_the_bytes_of_nft() {
    let golden =
        b"\x06\x00\x01\x00t\x00\x00\x00\x0b\x00\x03\x00output\x00\x00\x0a\x00\x07\x00route\x00\x00\x00\
        \x08\x00\x05\x00\x00\x00\x00\x01\
        \x14\x00\x04\x80\x08\x00\x01\x00\x00\x00\x00\x03\x08\x00\x02\x00\xff\xff\xff\x6a";
    assert_eq!(emitted_step("chain `output`"), golden);
}

/// `strace nft` 1.0.6 for `tproxy to :8080` without the port, for `fib daddr type local`, for `tcp flags` and for
/// `tcp dport 80-90`.
#[test]
fn interception_has_the_bytes_of_nft() {
    let golden = b"\x24\x00\x01\x80\x0b\x00\x01\x00tproxy\x00\x00\
        \x14\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x00\x08\x00\x03\x00\x00\x00\x00\x01";
    assert_eq!(expression(&NftRule::new().tproxy(None, 8080), 1), golden);
    let fib = b"\x28\x00\x01\x80\x08\x00\x01\x00fib\x00\x1c\x00\x02\x80\
        \x08\x00\x03\x00\x00\x00\x00\x02\x08\x00\x02\x00\x00\x00\x00\x03\x08\x00\x01\x00\x00\x00\x00\x01";
    assert_eq!(expression(&NftRule::new().daddr_local(), 0), fib);
    let flags = b"\x34\x00\x01\x80\x0c\x00\x01\x00payload\x00\x24\x00\x02\x80\
        \x08\x00\x01\x00\x00\x00\x00\x01\x08\x00\x02\x00\x00\x00\x00\x02\
        \x08\x00\x03\x00\x00\x00\x00\x0d\x08\x00\x04\x00\x00\x00\x00\x01";
    assert_eq!(expression(&NftRule::new().opens(), 2), flags);
    let at_least_80 =
        b"\x2c\x00\x01\x80\x08\x00\x01\x00cmp\x00\x20\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01\
        \x08\x00\x02\x00\x00\x00\x00\x05\x0c\x00\x03\x80\x06\x00\x01\x00\x00\x50\x00\x00";
    assert_eq!(expression(&NftRule::new().ports(PortRange { first: 80, last: 90 }), 1), at_least_80);
}

#[test]
fn only_what_is_asked_for_is_intercepted() {
    let named = |fail: Fail| -> Vec<String> {
        let mut interception = Interception { fail, ..Interception::default() };
        let ports = vec![PortRange { first: 80, last: 80 }];
        let rule = Intercepts { destinations: Vec::new(), ports, interface: None, to: 8080 };
        interception.rules.push(rule);
        let steps = steps(&REMOTE, Some(&interception), false);
        steps.into_iter().map(|step| step.what).filter(|what| what.starts_with("rule ")).collect()
    };
    let sockets = ["rule for TCP", "rule for ICMP", "rule for ICMPv6"];
    let [mark, strays] = ["rule that marks", "rule against strays"];
    let open = [&["rule for `lo`", "rule for new connections"], &sockets[..], &[mark]].concat();
    let chain = ["rule for own addresses", "rule that intercepts", strays];
    assert_eq!(named(Fail::Open), [&open[..], &chain].concat());
    let closed = [&open[..5], &["rule for what has no socket", mark], &chain].concat();
    assert_eq!(named(Fail::Closed), closed);
    let nothing = steps(&REMOTE, Some(&Interception::default()), false);
    assert!(nothing.iter().all(|step| step.what != "rule that intercepts"));
    assert_eq!(nothing.len(), steps(&REMOTE, None, false).len() + 2, "the chain, made and emptied");
}

#[test]
fn what_is_refused_is_explained() {
    let explained = |needs, errno| {
        let error = NetlinkError::Refused { what: "filling".to_owned(), errno, words: None };
        explain(BatchError { needs, error })
    };
    let whole = |errno| explained(None, errno);
    let steps = steps(&WHOLE, None, false);
    let refused = |what: &str, errno| {
        explained(Some(steps.iter().find(|step| step.what == what).unwrap().needs), errno)
    };
    assert!(matches!(whole(Errno::PERM), NftError::Denied(_)));
    assert!(matches!(whole(Errno::OPNOTSUPP), NftError::NoNfTables(_)));
    assert!(matches!(refused("chain `prerouting`", Errno::NOENT), NftError::NoInetChains(_)));
    for what in ["rule for TCP", "rule for ICMPv6", "guard against wildcard listeners"] {
        assert!(matches!(refused(what, Errno::NOENT), NftError::NoSocketExpression(_)), "{what}");
    }
    let hints = refused("rule for TCP", Errno::NOENT).hints();
    assert!(hints[0].contains("modprobe nft_socket"), "{hints:?}");
    assert!(matches!(refused("rule for TCP", Errno::NOMEM), NftError::Netlink(_)));
    for what in ["chain `output`", "rule that marks connections", "rule that marks replies"] {
        for errno in [Errno::NOENT, Errno::OPNOTSUPP] {
            assert!(matches!(refused(what, errno), NftError::NoConntrack(_)), "{what}");
        }
    }
    let error = refused("rule that marks connections", Errno::NOENT);
    assert!(
        error.hints()[0].contains("modprobe nft_ct") && error.to_string().contains("conntrack"),
        "{error}"
    );
}

#[test]
fn only_own_servers_ask_for_conntrack() {
    let bytes = |content: &Content| -> Vec<u8> {
        let steps = steps(content, None, false);
        steps.iter().flat_map(|step| emitted(&step.message)).collect()
    };
    let has = |bytes: &[u8], name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
    for name in
        [&b"\x07\x00\x01\x00ct\x00"[..], b"reject\x00", b"route\x00", b"output\x00", b"postrouting\x00"]
    {
        assert!(!has(&bytes(&REMOTE), name) && has(&bytes(&WHOLE), name), "{name:?}");
    }
}

#[test]
fn an_output_chain_goes_when_it_is_needed_no_longer() {
    let said = |content: &Content, stale| -> Vec<String> {
        steps(content, None, stale).into_iter().map(|step| step.what).collect()
    };
    let of_output = |content: &Content, stale| said(content, stale)[4..7].to_vec();
    assert_eq!(of_output(&REMOTE, true), ["chain `output`", "old rules", "chain"]);
    assert_eq!(of_output(&REMOTE, false)[0], "rule for `lo`");
    let end = |content: &Content, stale| said(content, stale).pop().unwrap();
    assert_eq!(end(&REMOTE, true), "chain", "the one of stray replies");
    assert_eq!(end(&REMOTE, false), "rule against strays");
    assert_eq!(end(&WHOLE, true), "rule against stray replies");
    assert_eq!(said(&WHOLE, true), said(&WHOLE, false));
    let removals = [(false, false), (true, false), (true, true)];
    let lengths = removals.map(|(own, intercept)| removal(&"t", own, intercept).steps().len());
    assert_eq!(lengths, [6, 10, 12]);
}

#[test]
fn a_listed_table_is_read() {
    let name = TableName { instance: None, role: TableRole::Plumbing(Block::new(3).unwrap()), nonce: 7 };
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
