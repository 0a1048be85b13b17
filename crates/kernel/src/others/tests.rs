use std::collections::BTreeSet;

use clearway_core::names::Mark;
use proptest::prelude::*;

use super::expression::{AddressEnd, Comparison, Verdict};
use super::*;

fn place(chain: &str) -> ChainName {
    ChainName { family: 2, table: "t".to_owned(), chain: chain.to_owned() }
}

/// A base chain `b` at this hook that leads to a chain `c` with one rule.
fn others(at: HookPoint, priority: i32, does: Vec<Expression>) -> ForeignRuleset {
    let jump = vec![Expression::Verdict(Verdict::To("c".to_owned()))];
    let hook = Some(Hook { at, priority });
    ForeignRuleset {
        chains: vec![
            Chain { place: place("b"), hook, nat: false },
            Chain { place: place("c"), hook: None, nat: false },
        ],
        rules: vec![ForeignRule { place: place("b"), does: jump }, ForeignRule { place: place("c"), does }],
    }
}

fn used(does: Vec<Expression>) -> Vec<(Does, bool)> {
    let found = others(HookPoint::Prerouting, -100, does).mark_uses(Mark::DEFAULT);
    found.iter().map(|one| (one.does, one.unconditional)).collect()
}

const BIT: u32 = Mark::DEFAULT.value();
const LOAD: Expression = Expression::LoadMeta(3);
const STORE: Expression = Expression::StoreMeta(3);

fn constant(value: u32) -> Expression {
    Expression::Constant(value.to_ne_bytes().to_vec())
}

fn equal(value: u32) -> Expression {
    Expression::Compare(Comparison::Equal, value.to_ne_bytes().to_vec())
}

fn words(words: &[u32], more: &[u8]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).chain(more.iter().copied()).collect()
}

#[test]
fn a_bit_that_is_set_or_taken_away_is_seen() {
    assert_eq!(used(vec![constant(BIT), STORE]), [(Does::Sets, true)]);
    assert_eq!(used(vec![constant(0x101), STORE]), [(Does::Clears, true)]);
    assert_eq!(used(vec![LOAD, Expression::Bitwise { mask: !BIT, xor: BIT }, STORE]), [(Does::Sets, true)]);
    assert_eq!(used(vec![LOAD, Expression::Bitwise { mask: !BIT, xor: 0 }, STORE]), [(Does::Clears, true)]);
    assert_eq!(used(vec![Expression::LoadCt(3), STORE]), [(Does::Clears, true)]);
    let mark = |value, mask| Expression::Target("MARK".to_owned(), words(&[value, mask], &[]));
    assert_eq!(used(vec![mark(BIT, BIT)]), [(Does::Sets, true)]);
    assert_eq!(used(vec![mark(1, u32::MAX)]), [(Does::Clears, true)]);
    let restore = |mask, modes| Expression::Target("CONNMARK".to_owned(), words(&[0, u32::MAX, mask], modes));
    assert_eq!(used(vec![restore(u32::MAX, &[0, 0, 2, 0])]), [(Does::Clears, true)]);
    assert_eq!(used(vec![restore(u32::MAX, &[2, 0, 0, 0])]), [(Does::Clears, true)]);
}

#[test]
fn bits_of_others_do_not_matter() {
    // Docker, Tailscale, kube-proxy.
    assert!(used(vec![LOAD, Expression::Bitwise { mask: !0x4000, xor: 0x4000 }, STORE]).is_empty());
    assert!(used(vec![Expression::Target("MARK".to_owned(), words(&[0x4_0000, 0xff_0000], &[]))]).is_empty());
    let restore = Expression::Target("CONNMARK".to_owned(), words(&[0, 0xff_0000, 0xff_0000], &[0, 0, 2, 0]));
    assert!(used(vec![restore]).is_empty());
    assert!(used(vec![LOAD, Expression::Bitwise { mask: 0xff_0000, xor: 0 }, equal(0x8_0000)]).is_empty());
    // wg-quick compares the whole mark.
    assert!(used(vec![LOAD, equal(0xca6c)]).is_empty());
}

#[test]
fn a_rule_that_matches_the_bit_is_found_and_what_it_sets_counts_for_more() {
    let asked = [LOAD, Expression::Bitwise { mask: BIT, xor: 0 }, equal(BIT)];
    assert_eq!(used(asked.to_vec()), [(Does::Asks, false)]);
    let both = [asked.as_slice(), &[constant(0), STORE]].concat();
    assert_eq!(used(both), [(Does::Clears, false)]);
    assert_eq!(
        used(vec![Expression::Match("mark".to_owned(), words(&[BIT, BIT], &[0]))]),
        [(Does::Asks, false)]
    );
}

#[test]
fn a_rule_before_ours_clears_nothing() {
    let clears = || vec![constant(0x101), STORE];
    assert!(others(HookPoint::Prerouting, -300, clears()).mark_uses(Mark::DEFAULT).is_empty());
    assert!(others(HookPoint::Postrouting, 0, clears()).mark_uses(Mark::DEFAULT).is_empty());
    let found = others(HookPoint::Prerouting, -150, clears()).mark_uses(Mark::DEFAULT);
    assert_eq!(found[0].at, BTreeSet::from([HookPoint::Prerouting]));
    assert_eq!(found[0].place.to_string(), "table ip t, chain c");
}

#[test]
fn only_both_conditions_block_the_loopback_net() {
    let rule = |source: Comparison, destination: u8, verdict: Verdict| {
        vec![
            Expression::LoadAddress(AddressEnd::Source),
            Expression::Compare(source, vec![127]),
            Expression::LoadAddress(AddressEnd::Destination),
            Expression::Bitwise { mask: 0xff, xor: 0 },
            Expression::Compare(Comparison::Equal, vec![destination, 0, 0, 0]),
            Expression::Match("conntrack".to_owned(), Vec::new()),
            Expression::Nothing,
            Expression::Verdict(verdict),
        ]
    };
    let blocks = |does| !others(HookPoint::Output, 0, does).localnet_blocks().is_empty();
    assert!(blocks(rule(Comparison::Different, 127, Verdict::Dropped)));
    assert!(!blocks(rule(Comparison::Equal, 127, Verdict::Dropped)));
    assert!(!blocks(rule(Comparison::Different, 10, Verdict::Dropped)));
    assert!(!blocks(rule(Comparison::Different, 127, Verdict::Other)));
    let unused = others(HookPoint::Forward, 0, rule(Comparison::Different, 127, Verdict::Dropped));
    assert!(unused.localnet_blocks().is_empty());
}

#[test]
fn jumps_in_a_circle_end() {
    let back = vec![Expression::Verdict(Verdict::To("b".to_owned()))];
    assert_eq!(others(HookPoint::Output, 0, back).ways().hooks(&place("c")).len(), 1);
}

/// As kube-proxy has them: a chain for each service, to which one chain leads. Each rule that is compared with all of
/// them would be 10,000,000,000 comparisons.
#[test]
fn a_hundred_thousand_chains_are_read_once() {
    let chains: Vec<ChainName> = (0..100_000).map(|service| place(&format!("service {service}"))).collect();
    let mut others = others(HookPoint::Prerouting, -100, Vec::new());
    for chain in &chains {
        let jump = vec![Expression::Verdict(Verdict::To(chain.chain.clone()))];
        others.rules.push(ForeignRule { place: place("b"), does: jump });
        others.rules.push(ForeignRule { place: chain.clone(), does: vec![constant(BIT), STORE] });
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
        let info = Expression::Target("CONNMARK".to_owned(), bytes.clone());
        let _ = used(vec![info, Expression::Match("mark".to_owned(), bytes)]);
    }
}

/// What `nft --debug=netlink` shows of Docker's rule for a bridge, in a base chain of `nat postrouting`.
fn masquerade_of(family: u8, does: Vec<Expression>) -> Vec<Masquerade> {
    let place = ChainName { family, table: "nat".to_owned(), chain: "POSTROUTING".to_owned() };
    let hook = Some(Hook { at: HookPoint::Postrouting, priority: 100 });
    let chains = vec![Chain { place: place.clone(), hook, nat: true }];
    ForeignRuleset { chains, rules: vec![ForeignRule { place, does }] }.masquerades()
}

#[test]
fn the_source_of_a_masquerade_is_understood() {
    let load = || Expression::LoadAddress(AddressEnd::Source);
    let is = |value: &[u8]| Expression::Compare(Comparison::Equal, value.to_vec());
    let but = Expression::Compare(Comparison::Different, b"br-1\0".to_vec());
    let rule = |first: Vec<Expression>| {
        let rest = [Expression::LoadMeta(7), but.clone(), Expression::Nothing, Expression::Masquerade];
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
    let masked = vec![load(), Expression::Bitwise { mask, xor: 0 }, is(&[172, 18, 16, 0])];
    assert_eq!(words(2, rule(masked)), of("172.18.16.0/20", "ip"));
    let six = vec![Expression::LoadAddress6(AddressEnd::Source), is(&[0xfd, 0, 0, 0, 0, 0, 0, 1])];
    assert_eq!(words(10, rule(six)), of("fd00:0:0:1::/64", "ip6"));
    // Addresses of the other family, destinations, and what is too long are not understood.
    assert_eq!(words(10, rule(vec![load(), is(&[172, 18])])), None);
    assert_eq!(words(2, rule(vec![Expression::LoadAddress(AddressEnd::Destination), is(&[172, 18])])), None);
    assert_eq!(words(2, rule(vec![load(), is(&[1; 17])])), None);
    assert_eq!(words(10, rule(vec![Expression::LoadAddress6(AddressEnd::Source), is(&[1; 17])])), None);
}
