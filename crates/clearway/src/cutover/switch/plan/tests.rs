use super::*;

const ADDRESS: &str = "10.0.0.1:80";

fn listener(inode: u64) -> Listener {
    Listener { inode, address: ADDRESS.parse().unwrap(), v6only: false }
}

fn cannot(reason: Reason) -> Vec<Result<ReuseportGroup, NotSteerable>> {
    vec![Err(NotSteerable { address: ADDRESS.parse().ok(), leaving: vec![listener(7)], reason })]
}

fn means(strategy: Strategy, reason: Reason) -> Vec<Means> {
    let mut plan = MovePlan::of(cannot(reason), strategy, &HashSet::new());
    assert_eq!(plan.leaving[0], listener(7), "it is waited for, whatever is done");
    let (sealed, gated) = (std::mem::take(&mut plan.sealed), std::mem::take(&mut plan.gated));
    let gate = if strategy == Strategy::SynDrop { Means::SynDrop } else { Means::Plug };
    let moved = plan.moved(&[], &sealed, Some((&gated, gate)), &|one| one.address.to_string());
    assert!(moved.iter().all(|one| one.address == ADDRESS));
    moved.into_iter().map(|one| one.by).collect()
}

#[test]
fn what_the_kernel_prefers_anyway_needs_nothing() {
    for strategy in [Strategy::Handoff, Strategy::Reuseport, Strategy::Auto] {
        assert_eq!(means(strategy, Reason::Narrower), [Means::Reuseport]);
    }
    assert_eq!(means(Strategy::Plug, Reason::Narrower), [Means::Plug]);
}

#[test]
fn what_cannot_be_steered_is_sealed_or_gated() {
    for reason in [Reason::Wider, Reason::OrderUnknown, Reason::Stranger { inode: 1, uid: 0 }] {
        assert_eq!(means(Strategy::Handoff, reason), [Means::SynDrop], "sealed");
        assert_eq!(means(Strategy::Reuseport, reason), [Means::SynDrop], "sealed");
        assert_eq!(means(Strategy::Auto, reason), [Means::Plug]);
        assert_eq!(means(Strategy::Plug, reason), [Means::Plug]);
    }
}

#[test]
fn no_client_is_moved_to_an_address_that_is_given_up() {
    for strategy in Strategy::ALL {
        assert_eq!(means(strategy, Reason::Unserved), []);
    }
}

#[test]
fn where_there_is_no_gate_a_seal_must_do_and_without_that_nothing_is_promised() {
    let plan = MovePlan::of(cannot(Reason::Wider), Strategy::Auto, &HashSet::new());
    assert_eq!(plan.gated, [listener(7)]);
    let moved = |sealed: &[Listener]| plan.moved(&[], sealed, None, &|one| one.address.to_string())[0].by;
    assert_eq!(moved(&[listener(7)]), Means::SynDrop);
    assert_eq!(moved(&[]), Means::Nothing);
}

#[test]
fn shards_are_one_line() {
    let two = vec![Err(NotSteerable {
        address: ADDRESS.parse().ok(),
        leaving: vec![listener(7), listener(8)],
        reason: Reason::Wider,
    })];
    let plan = MovePlan::of(two, Strategy::SynDrop, &HashSet::new());
    let moved = plan.moved(&[], &[], Some((&plan.gated, Means::SynDrop)), &|one| one.address.to_string());
    assert_eq!(moved.len(), 1);
}

/// Each looked for among the others would be 10,000,000,000 comparisons.
#[test]
fn a_hundred_thousand_sockets_are_gone_through_once() {
    let many: Vec<Listener> = (0..100_000).map(listener).collect();
    let name = |one: &Listener| format!("socket {}", one.inode / 2);
    let refused = |leaving: &[Listener], reason| {
        Err(NotSteerable { address: ADDRESS.parse().ok(), leaving: leaving.to_vec(), reason })
    };
    let (easy, rest) = many.split_at(50_000);
    let plan = MovePlan::of(
        vec![refused(easy, Reason::Narrower), refused(rest, Reason::Wider)],
        Strategy::Handoff,
        &HashSet::new(),
    );
    let moved = plan.moved(&[], &plan.sealed, None, &name);
    assert_eq!(moved.len(), 50_000, "two are one line");
    let of = |by| moved.iter().filter(|one| one.by == by).count();
    assert_eq!((of(Means::Reuseport), of(Means::SynDrop)), (25_000, 25_000));
}
