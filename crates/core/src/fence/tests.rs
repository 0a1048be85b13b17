use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn whoever_keeps_trying_stays_out() {
    let mut fence = Fence::new(10 * SECOND);
    fence.keep_out("old".to_owned(), Duration::ZERO, 100 * SECOND);
    for at in [101, 110, 119, 128] {
        assert_eq!(fence.ask("old", at * SECOND), Some(10 * SECOND), "at {at}");
    }
    assert_eq!(fence.ask("old", 139 * SECOND), None);
    assert_eq!(fence.ask("new", 101 * SECOND), None);
}

#[test]
fn a_successor_knows_whom_its_predecessors_superseded() {
    let mut first = Fence::new(10 * SECOND);
    first.keep_out("old".to_owned(), 4 * SECOND, 100 * SECOND);
    assert_eq!(first.list(103 * SECOND), [("old".to_owned(), 7 * SECOND)]);
    assert_eq!(first.list(106 * SECOND), []);
    // The successor has just begun, and has a limit of its own.
    let mut second = Fence::new(20 * SECOND);
    for (origin, ago) in first.list(103 * SECOND) {
        second.keep_out(origin, ago, Duration::ZERO);
    }
    assert_eq!(second.ask("old", 12 * SECOND), Some(20 * SECOND));
}

#[test]
fn it_does_not_grow_without_end() {
    let mut fence = Fence::new(10 * SECOND);
    for number in 0..10_000_u32 {
        fence.keep_out(format!("{number:05}"), Duration::ZERO, number * SECOND / 10_000);
    }
    assert_eq!(fence.former.len(), MOST);
    assert_eq!(fence.ask("09999", SECOND), Some(10 * SECOND));
    assert_eq!(fence.ask("00000", SECOND), None);
}
