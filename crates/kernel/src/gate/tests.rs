use std::net::SocketAddr;

use clearway_core::hints::Hints;
use netlink_packet_core::Emitable;
use netlink_packet_netfilter::nftables::NfTablesMessage;
use proptest::prelude::*;
use rustix::io::Errno;

use super::*;
use crate::netlink::{BatchError, NetlinkError, Reply};
use crate::nft::{NftRule, Transaction};

fn emitted(emitable: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; emitable.buffer_len()];
    emitable.emit(&mut bytes);
    bytes
}

/// `strace nft` 1.0.6 for `queue num 40123 bypass`.
#[test]
fn the_queue_expression_has_the_bytes_of_nft() {
    let golden = b"\x2c\x00\x01\x80\x0a\x00\x01\x00queue\x00\x00\x00\
        \x1c\x00\x02\x80\x06\x00\x01\x00\x9c\xbb\x00\x00\x06\x00\x02\x00\x00\x01\x00\x00\x06\x00\x03\x00\x00\x01\x00\x00";
    assert_eq!(emitted(&NftRule::new().queue(40123).expressions[0]), golden);
}

/// `strace iptables-nft` 1.8.9 for `-j NFQUEUE --queue-num 40123 --queue-bypass`.
#[test]
fn the_target_has_the_bytes_of_iptables() {
    let mut golden = b"\x34\x00\x01\x80\x0b\x00\x01\x00target\x00\x00\x24\x00\x02\x80\
        \x0c\x00\x01\x00NFQUEUE\x00\x08\x00\x02\x00\x00\x00\x00\x03\x0c\x00\x03\x00"
        .to_vec();
    for short in [40123, 1, 1, 0u16] {
        golden.extend(short.to_ne_bytes());
    }
    assert_eq!(emitted(&NftRule::new().xt_queue(40123).expressions[0]), golden);
}

#[test]
fn only_the_sets_that_are_used_are_made() {
    let keys = |addresses: &[&str], ports: &[u16]| {
        let parsed = addresses.iter().map(|text| text.parse::<SocketAddr>().unwrap());
        let addresses: Vec<BoundAddress> = parsed.map(BoundAddress::from).collect();
        Keys::of(&addresses, ports)
    };
    let names = |keys: &Keys| keys.sets().map(<&'static str>::from).collect::<Vec<_>>();
    assert_eq!(names(&keys(&[], &[])), Vec::<&str>::new());
    assert_eq!(names(&keys(&["[::]:80"], &[])), ["ports"]);
    assert_eq!(keys(&["[::]:80", "[::]:80"], &[80]), keys(&[], &[80]));
    assert_eq!(names(&keys(&["[::ffff:0.0.0.0]:80"], &[])), ["ports4"]);
    assert_eq!(keys(&["[::ffff:192.0.2.1]:80"], &[]), keys(&["192.0.2.1:80"], &[]));
    let only6 = Keys::of(&[BoundAddress { address: "[::]:80".parse().unwrap(), v6only: true }], &[]);
    assert_eq!(names(&only6), ["ports6"], "IPv4 clients of another process are not stopped");
    let all = keys(&["0.0.0.0:80", "192.0.2.1:80", "[2001:db8::1]:80"], &[443]);
    assert_eq!(names(&all), ["ports", "ports4", "addresses4", "addresses6"]);
    let made = rules::closing(&"t", &all, SynAction::Drop(Tally::Counted));
    let made = made.steps().iter().filter(|step| matches!(step.message, NfTablesMessage::NewSet(_))).count();
    assert_eq!(made, 4);
    // An attribute has room for 64 KiB.
    let many: Vec<u16> = (1..=u16::MAX).collect();
    let mut puts = Transaction::on(&"t");
    keys(&[], &many).put(&mut puts);
    assert!(puts.steps().len() > 100);
    for step in puts.steps() {
        assert!(emitted(&step.message).len() < 60_000);
    }
}

#[test]
fn elements_live_shorter_than_a_second() {
    assert!(TIMEOUT < Duration::from_secs(1));
}

#[test]
fn what_is_refused_is_explained() {
    let trial = rules::trial(&"t", SynAction::Queue { number: 1, by: QueueBy::Expression });
    let refused = |what: &str, errno| {
        let step = trial.steps().iter().find(|step| step.what == what).unwrap();
        let error = NetlinkError::Refused { what: format!("filling: {what}"), errno, words: None };
        BatchError { needs: Some(step.needs), error }
    };
    assert_eq!(refused("rule that holds", Errno::NOENT).needs, Some(Feature::Queue));
    let words = |error: GateError| format!("{error} {}", error.hints().concat());
    let of_rule = words(error::of_rules(vec![refused("rule that holds", Errno::NOENT)]));
    for word in ["CONFIG_NFT_QUEUE", "CONFIG_NFT_COMPAT", "xt_NFQUEUE", "nft_queue"] {
        assert!(of_rule.contains(word), "{of_rule}");
    }
    let of_queue = |errno| {
        let what = "binding the netfilter queue 1".to_owned();
        words(error::of_queue(NetlinkError::Refused { what, errno, words: None }))
    };
    assert!(of_queue(Errno::INVAL).contains("CONFIG_NETFILTER_NETLINK_QUEUE"));
    assert!(of_queue(Errno::PERM).contains("NET_ADMIN"));
    assert!(matches!(error::of_table(refused("set with timeouts", Errno::NOENT)), GateError::NoSets(_)));
    assert!(matches!(error::of_table(refused("table", Errno::NOENT)), GateError::Nft(_)));
}

/// `nft --debug=mnl` 1.0.6 for `counter`: an expression with nothing in it.
#[test]
fn a_kernel_without_counters_drops_all_the_same() {
    assert_eq!(
        emitted(&NftRule::new().counter().expressions[0]),
        b"\x14\x00\x01\x80\x0c\x00\x01\x00counter\x00\x04\x00\x02\x80"
    );
    let trial = rules::trial(&"t", SynAction::Drop(Tally::Counted));
    let step = trial.steps().iter().find(|step| step.what == "rule that drops").unwrap();
    let refusal = |errno| BatchError {
        needs: Some(step.needs),
        error: NetlinkError::Refused { what: "rule".to_owned(), errno, words: None },
    };
    let closed = |limits: GateLimits, errno| {
        let mut tried = Vec::new();
        let how = dropping(limits, |how| {
            tried.push(how);
            if how == SynAction::Drop(Tally::Counted) { Err(refusal(errno)) } else { Ok(()) }
        });
        (how.ok(), tried.len())
    };
    let uncounted = Some(SynAction::Drop(Tally::Uncounted));
    assert_eq!(closed(GateLimits::default(), Errno::NOENT), (uncounted, 2));
    assert_eq!(closed(GateLimits { counter: false, ..GateLimits::default() }, Errno::NOENT), (uncounted, 1));
    assert_eq!(closed(GateLimits::default(), Errno::NOMEM), (None, 1), "another reason is a failure");
}

/// A rule as the kernel lists it: of this table and chain, with these expressions.
fn listed(table: &str, chain: &str, expressions: &[&[u8]]) -> Reply {
    let nla = |kind: u16, value: &[u8]| {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let text = |kind, text: &str| nla(kind, format!("{text}\0").as_bytes());
    let expressions: Vec<u8> = expressions
        .iter()
        .flat_map(|one| nla(1, &[&text(1, "counter")[..], &nla(2, one)].concat()))
        .collect();
    let rule = [&[1, 0, 0, 0][..], &text(1, table), &text(2, chain), &nla(4, &expressions)].concat();
    Reply { kind: 0xa06, payload: rule }
}

#[test]
fn what_rules_have_dropped_is_read_from_their_counters() {
    // Bytes, then packets.
    let counter = |packets: u64| {
        [&b"\x0c\x00\x01\x00\0\0\0\0\0\0\0\x3c\x0c\x00\x02\x00"[..], &packets.to_be_bytes()].concat()
    };
    let (seven, none) = (counter(7), counter(0));
    let of = |reply: &Reply| tally::counted(reply, &"t");
    assert_eq!(of(&listed("t", "closed", &[&seven])), Some(7));
    assert_eq!(of(&listed("t", "closed", &[&none])), Some(0));
    assert_eq!(of(&listed("other", "closed", &[&seven])), None);
    assert_eq!(of(&listed("t", "input", &[&seven])), None);
    assert_eq!(of(&listed("t", "closed", &[])), None, "it does not count");
    assert_eq!(of(&listed("t", "closed", &[&seven[..18]])), None);
    assert_eq!(tally::sum([Some(7), None, Some(0)].into_iter().flatten()), Some(7));
    assert_eq!(tally::sum(std::iter::empty()), None);
}

/// A message of the queue, as the kernel sends it: `nlmsghdr`, `nfgenmsg`, attributes.
fn packet(kind: u16, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).unwrap();
    let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], &[2, 0, 0x9c, 0xbb]].concat();
    [header, attributes.to_vec()].concat()
}

#[test]
fn a_packet_is_read() {
    let header = b"\x0b\x00\x01\x00\x00\x00\x01\x02\x08\x00\x01\x00";
    let one = packet(0x300, header);
    assert_eq!(queue::packets(&one), [0x102]);
    let with_more = packet(0x300, &[&b"\x08\x00\x05\x00\x00\x00\x00\x01"[..], header].concat());
    assert_eq!(queue::packets(&[one, with_more].concat()), [0x102, 0x102]);
    assert!(queue::packets(&packet(0x301, header)).is_empty());
    assert!(queue::packets(&packet(0x300, b"\x06\x00\x01\x00\x00\x00\x00\x00")).is_empty());
}

proptest! {
    #[test]
    fn bytes_from_the_queue_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        queue::packets(&bytes);
    }

    #[test]
    fn odd_attributes_from_the_queue_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        queue::packets(&packet(0x300, &bytes));
    }

    #[test]
    fn a_damaged_message_never_panics(place in 0usize..32, byte: u8, cut in 0usize..33) {
        let mut bytes = packet(0x300, b"\x0b\x00\x01\x00\x00\x00\x01\x02\x08\x00\x01\x00");
        bytes[place] = byte;
        bytes.truncate(cut);
        queue::packets(&bytes);
    }
}
