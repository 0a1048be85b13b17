use std::collections::BTreeSet;

use clearway_core::names::Mark;
use proptest::prelude::*;

use super::expression::{Comparison, End, Verdict};
use super::*;

fn place(chain: &str) -> Place {
    Place { family: 2, table: "t".to_owned(), chain: chain.to_owned() }
}

/// A base chain `b` at this hook that leads to a chain `c` with one rule.
fn others(at: At, priority: i32, does: Vec<Seen>) -> Others {
    let jump = vec![Seen::Verdict(Verdict::To("c".to_owned()))];
    let hook = Some(Hook { at, priority });
    Others {
        chains: vec![
            Chain { place: place("b"), hook, nat: false },
            Chain { place: place("c"), hook: None, nat: false },
        ],
        rules: vec![Rule { place: place("b"), does: jump }, Rule { place: place("c"), does }],
    }
}

fn used(does: Vec<Seen>) -> Vec<(Does, bool)> {
    let found = others(At::Prerouting, -100, does).mark_uses(Mark::DEFAULT);
    found.iter().map(|one| (one.does, one.unconditional)).collect()
}

const BIT: u32 = Mark::DEFAULT.value();
const LOAD: Seen = Seen::LoadMeta(3);
const STORE: Seen = Seen::StoreMeta(3);

fn constant(value: u32) -> Seen {
    Seen::Constant(value.to_ne_bytes().to_vec())
}

fn equal(value: u32) -> Seen {
    Seen::Compare(Comparison::Equal, value.to_ne_bytes().to_vec())
}

fn words(words: &[u32], more: &[u8]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).chain(more.iter().copied()).collect()
}

#[test]
fn a_bit_that_is_set_or_taken_away_is_seen() {
    assert_eq!(used(vec![constant(BIT), STORE]), [(Does::Sets, true)]);
    assert_eq!(used(vec![constant(0x101), STORE]), [(Does::Clears, true)]);
    assert_eq!(used(vec![LOAD, Seen::Bitwise { mask: !BIT, xor: BIT }, STORE]), [(Does::Sets, true)]);
    assert_eq!(used(vec![LOAD, Seen::Bitwise { mask: !BIT, xor: 0 }, STORE]), [(Does::Clears, true)]);
    assert_eq!(used(vec![Seen::LoadCt(3), STORE]), [(Does::Clears, true)]);
    let mark = |value, mask| Seen::Target("MARK".to_owned(), words(&[value, mask], &[]));
    assert_eq!(used(vec![mark(BIT, BIT)]), [(Does::Sets, true)]);
    assert_eq!(used(vec![mark(1, u32::MAX)]), [(Does::Clears, true)]);
    let restore = |mask, modes| Seen::Target("CONNMARK".to_owned(), words(&[0, u32::MAX, mask], modes));
    assert_eq!(used(vec![restore(u32::MAX, &[0, 0, 2, 0])]), [(Does::Clears, true)]);
    assert_eq!(used(vec![restore(u32::MAX, &[2, 0, 0, 0])]), [(Does::Clears, true)]);
}

#[test]
fn bits_of_others_are_nobodys_business() {
    // Docker, Tailscale, kube-proxy.
    assert!(used(vec![LOAD, Seen::Bitwise { mask: !0x4000, xor: 0x4000 }, STORE]).is_empty());
    assert!(used(vec![Seen::Target("MARK".to_owned(), words(&[0x4_0000, 0xff_0000], &[]))]).is_empty());
    let restore = Seen::Target("CONNMARK".to_owned(), words(&[0, 0xff_0000, 0xff_0000], &[0, 0, 2, 0]));
    assert!(used(vec![restore]).is_empty());
    assert!(used(vec![LOAD, Seen::Bitwise { mask: 0xff_0000, xor: 0 }, equal(0x8_0000)]).is_empty());
    // wg-quick compares the whole mark.
    assert!(used(vec![LOAD, equal(0xca6c)]).is_empty());
}

#[test]
fn who_asks_for_the_bit_is_seen_and_what_it_does_counts_for_more() {
    let asked = [LOAD, Seen::Bitwise { mask: BIT, xor: 0 }, equal(BIT)];
    assert_eq!(used(asked.to_vec()), [(Does::Asks, false)]);
    let both = [asked.as_slice(), &[constant(0), STORE]].concat();
    assert_eq!(used(both), [(Does::Clears, false)]);
    assert_eq!(used(vec![Seen::Match("mark".to_owned(), words(&[BIT, BIT], &[0]))]), [(Does::Asks, false)]);
}

#[test]
fn who_comes_before_us_takes_nothing_away() {
    let clears = || vec![constant(0x101), STORE];
    assert!(others(At::Prerouting, -300, clears()).mark_uses(Mark::DEFAULT).is_empty());
    assert!(others(At::Postrouting, 0, clears()).mark_uses(Mark::DEFAULT).is_empty());
    let found = others(At::Prerouting, -150, clears()).mark_uses(Mark::DEFAULT);
    assert_eq!(found[0].at, BTreeSet::from([At::Prerouting]));
    assert_eq!(found[0].place.to_string(), "table ip t, chain c");
}

#[test]
fn only_both_conditions_block_the_loopback_net() {
    let rule = |source: Comparison, destination: u8, verdict: Verdict| {
        vec![
            Seen::LoadAddress(End::Source),
            Seen::Compare(source, vec![127]),
            Seen::LoadAddress(End::Destination),
            Seen::Bitwise { mask: 0xff, xor: 0 },
            Seen::Compare(Comparison::Equal, vec![destination, 0, 0, 0]),
            Seen::Match("conntrack".to_owned(), Vec::new()),
            Seen::Nothing,
            Seen::Verdict(verdict),
        ]
    };
    let blocks = |does| !others(At::Output, 0, does).localnet_blocks().is_empty();
    assert!(blocks(rule(Comparison::Different, 127, Verdict::Dropped)));
    assert!(!blocks(rule(Comparison::Equal, 127, Verdict::Dropped)));
    assert!(!blocks(rule(Comparison::Different, 10, Verdict::Dropped)));
    assert!(!blocks(rule(Comparison::Different, 127, Verdict::Other)));
    let unused = others(At::Forward, 0, rule(Comparison::Different, 127, Verdict::Dropped));
    assert!(unused.localnet_blocks().is_empty());
}

#[test]
fn jumps_in_a_circle_end() {
    let back = vec![Seen::Verdict(Verdict::To("b".to_owned()))];
    assert_eq!(others(At::Output, 0, back).ways().hooks(&place("c")).len(), 1);
}

/// As kube-proxy has them: a chain for each service, to which one chain leads. Each rule that is compared with all of
/// them would be 10,000,000,000 comparisons.
#[test]
fn a_hundred_thousand_chains_are_read_once() {
    let chains: Vec<Place> = (0..100_000).map(|service| place(&format!("service {service}"))).collect();
    let mut others = others(At::Prerouting, -100, Vec::new());
    for chain in &chains {
        let jump = vec![Seen::Verdict(Verdict::To(chain.chain.clone()))];
        others.rules.push(Rule { place: place("b"), does: jump });
        others.rules.push(Rule { place: chain.clone(), does: vec![constant(BIT), STORE] });
        others.chains.push(Chain { place: chain.clone(), hook: None, nat: false });
    }
    assert_eq!(others.mark_uses(Mark::DEFAULT).len(), chains.len());
    assert!(others.masquerades().is_empty() && others.localnet_blocks().is_empty());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, length in 0u16..64) {
        let _ = expression::list(&bytes);
        let element = [&length.to_ne_bytes()[..], &1u16.to_ne_bytes(), &bytes].concat();
        let _ = expression::list(&element);
        let info = Seen::Target("CONNMARK".to_owned(), bytes.clone());
        let _ = used(vec![info, Seen::Match("mark".to_owned(), bytes)]);
    }
}

/// What `nft --debug=netlink` shows of Docker's rule for a bridge, in a base chain of `nat postrouting`.
fn masquerade_of(family: u8, does: Vec<Seen>) -> Vec<Masquerade> {
    let place = Place { family, table: "nat".to_owned(), chain: "POSTROUTING".to_owned() };
    let hook = Some(Hook { at: At::Postrouting, priority: 100 });
    let chains = vec![Chain { place: place.clone(), hook, nat: true }];
    Others { chains, rules: vec![Rule { place, does }] }.masquerades()
}

#[test]
fn whom_a_masquerade_is_for_is_understood() {
    let load = || Seen::LoadAddress(End::Source);
    let is = |value: &[u8]| Seen::Compare(Comparison::Equal, value.to_vec());
    let but = Seen::Compare(Comparison::Different, b"br-1\0".to_vec());
    let rule = |first: Vec<Seen>| {
        let rest = [Seen::LoadMeta(7), but.clone(), Seen::Nothing, Seen::Masquerade];
        first.into_iter().chain(rest).collect::<Vec<_>>()
    };
    let words = |family, does| masquerade_of(family, does).first().map(ToString::to_string);
    let of = |network: &str, family: &str| {
        Some(format!(
            "MASQUERADE of {network} towards every interface but `br-1` (table {family} nat, chain POSTROUTING)"
        ))
    };
    assert_eq!(words(2, rule(vec![load(), is(&[172, 18])])), of("172.18.0.0/16", "ip"));
    let mask = u32::from_ne_bytes([255, 255, 240, 0]);
    let masked = vec![load(), Seen::Bitwise { mask, xor: 0 }, is(&[172, 18, 16, 0])];
    assert_eq!(words(2, rule(masked)), of("172.18.16.0/20", "ip"));
    let six = vec![Seen::LoadAddress6(End::Source), is(&[0xfd, 0, 0, 0, 0, 0, 0, 1])];
    assert_eq!(words(10, rule(six)), of("fd00:0:0:1::/64", "ip6"));
    // Addresses of the other family, destinations, and what is too long are not understood.
    assert_eq!(words(10, rule(vec![load(), is(&[172, 18])])), None);
    assert_eq!(words(2, rule(vec![Seen::LoadAddress(End::Destination), is(&[172, 18])])), None);
    assert_eq!(words(2, rule(vec![load(), is(&[1; 17])])), None);
    assert_eq!(words(10, rule(vec![Seen::LoadAddress6(End::Source), is(&[1; 17])])), None);
}
