use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_conversation_by_which_nothing_comes_is_left_alone() {
    let mut lookout = Lookout::default();
    assert!(lookout.look(Duration::ZERO));
    lookout.begun(1);
    for now in 0..100_000 {
        assert!(!lookout.look(now * SECOND / 10), "it drains, or loads its configuration");
    }
    assert_eq!(lookout.due(), None);
}

#[test]
fn one_that_stops_is_not_waited_for() {
    let mut lookout = Lookout::default();
    lookout.kept(1);
    lookout.over(1, 5 * SECOND);
    assert_eq!(lookout.due(), Some(6 * SECOND));
    assert!(lookout.look(6 * SECOND));
    // Its end comes later, and changes nothing.
    lookout.over(1, 7 * SECOND);
    assert_eq!(lookout.due(), Some(8 * SECOND));
}

/// What a balancer does with a holder that looks for it.
#[derive(Clone, Copy, Debug)]
enum Balancer {
    /// There is none.
    Absent,
    /// It hangs up at once, because it stops.
    Refuses,
    /// It says nothing for so many tenths of a second, and is gone.
    Silent(u32),
    /// It serves for so long.
    Serves(u32),
}

fn balancer() -> impl Strategy<Value = Balancer> {
    prop_oneof![
        Just(Balancer::Absent),
        Just(Balancer::Refuses),
        (0..50_u32).prop_map(Balancer::Silent),
        (0..50_u32).prop_map(Balancer::Serves),
    ]
}

proptest! {
    /// However a balancer behaves, and however often the holder is woken: it looks once a second at most, and finds one
    /// that serves within the longest pause.
    #[test]
    fn it_is_bounded_and_finds_one_that_serves(behaviours in proptest::collection::vec(balancer(), 1..40)) {
        let mut lookout = Lookout::default();
        let (mut now, mut last) = (Duration::ZERO, None::<Duration>);
        let tenth = SECOND / 10;
        for (number, behaviour) in (0_u64..).zip(behaviours) {
            let since = now;
            while !lookout.look(now) {
                now += tenth;
                prop_assert!(now.saturating_sub(since) <= LONGEST + tenth, "none is found");
            }
            if let Some(last) = last {
                let pause = now.saturating_sub(last);
                prop_assert!(pause >= SHORTEST, "it looks again after {pause:?}");
            }
            last = Some(now);
            let (talks, serves) = match behaviour {
                Balancer::Absent => continue,
                Balancer::Refuses => (0, false),
                Balancer::Silent(tenths) => (tenths, false),
                Balancer::Serves(tenths) => (tenths, true),
            };
            lookout.begun(number);
            if serves {
                lookout.kept(number);
            }
            for _ in 0..talks {
                prop_assert!(!lookout.look(now), "it looks for another one while it talks");
                now += tenth;
            }
            lookout.over(number, now);
            prop_assert!(!lookout.look(now), "it looks at the moment of an end");
        }
    }
}
