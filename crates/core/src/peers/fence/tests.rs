use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_that_keeps_trying_stays_out() {
    let mut fence = Fence::new(10 * SECOND, None);
    fence.keep_out("old".to_owned(), Duration::ZERO, 100 * SECOND);
    for at in [101, 110, 119, 128] {
        assert_eq!(fence.ask("old", at * SECOND), Some(TurnedAway::Superseded(10 * SECOND)), "at {at}");
    }
    assert_eq!(fence.ask("old", 139 * SECOND), None);
    assert_eq!(fence.ask("new", 101 * SECOND), None);
}

#[test]
fn a_successor_knows_what_its_predecessors_superseded() {
    let mut first = Fence::new(10 * SECOND, None);
    first.keep_out("old".to_owned(), 4 * SECOND, 100 * SECOND);
    assert_eq!(first.list(103 * SECOND), [("old".to_owned(), 7 * SECOND)]);
    assert_eq!(first.list(106 * SECOND), []);
    // The successor has just begun, and has a limit of its own.
    let mut second = Fence::new(20 * SECOND, None);
    for (origin, ago) in first.list(103 * SECOND) {
        second.keep_out(origin, ago, Duration::ZERO);
    }
    assert_eq!(second.ask("old", 12 * SECOND), Some(TurnedAway::Superseded(20 * SECOND)));
}

#[test]
fn it_does_not_grow_without_end() {
    let mut fence = Fence::new(10 * SECOND, None);
    for number in 0..10_000_u32 {
        fence.keep_out(format!("{number:05}"), Duration::ZERO, number * SECOND / 10_000);
    }
    assert_eq!(fence.former.len(), MOST);
    assert_eq!(fence.ask("09999", SECOND), Some(TurnedAway::Superseded(10 * SECOND)));
    assert_eq!(fence.ask("00000", SECOND), None);
}

#[test]
fn containers_that_replace_each_other_for_ever_are_turned_away() {
    let mut fence = Fence::new(600 * SECOND, Some(3));
    for (at, origin) in [(100, "a"), (111, "b"), (122, "c")] {
        assert_eq!(fence.ask(&format!("before {origin}"), at * SECOND), None, "{origin}");
        fence.keep_out(origin.to_owned(), Duration::ZERO, at * SECOND);
    }
    // Each is a new container, so that its origin tells nothing; and it goes on trying.
    let refused = |takeovers| Some(TurnedAway::TooMany { takeovers, within: 600 * SECOND });
    assert_eq!(fence.ask("d", 133 * SECOND), refused(3));
    assert_eq!(fence.ask("e", 720 * SECOND), refused(1));
    assert_eq!(fence.ask("f", 1300 * SECOND), refused(0), "it has not been quiet for so long");
    assert_eq!(fence.ask("g", 1901 * SECOND), None);
}

#[test]
fn a_limit_on_takeovers_can_be_left_out() {
    let mut fence = Fence::new(600 * SECOND, None);
    for number in 0..100_u32 {
        fence.keep_out(format!("{number}"), Duration::ZERO, number * SECOND);
    }
    assert_eq!(fence.takeovers(100 * SECOND), 100);
    assert_eq!(fence.ask("new", 100 * SECOND), None);
}
