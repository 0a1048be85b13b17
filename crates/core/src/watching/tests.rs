use super::*;

const QUIET: Duration = Duration::from_millis(500);
const BEGUN: Duration = Duration::from_secs(100);

#[test]
fn a_hint_is_followed_by_a_look_when_all_is_quiet() {
    let mut times = LookTimes::after(QUIET);
    assert_eq!(times.next(), None);
    times.hint(BEGUN);
    assert_eq!(times.next(), Some(BEGUN + QUIET));
    times.hint(BEGUN + QUIET / 2);
    assert_eq!(times.next(), Some(BEGUN + QUIET / 2 + QUIET));
    assert!(times.begin() && !times.begin());
    assert_eq!(times.next(), None);
}

#[test]
fn a_constant_stream_of_hints_is_no_excuse() {
    for (quiet, latest) in [(QUIET, LONGEST), (Duration::from_secs(10), Duration::from_secs(10))] {
        let mut times = LookTimes::after(quiet);
        times.hint(BEGUN);
        times.hint(BEGUN + Duration::from_mins(1));
        assert_eq!(times.next(), Some(BEGUN + latest), "as long as was asked for, at least");
    }
}

#[test]
fn without_hints_it_is_looked_from_time_to_time() {
    let mut times = LookTimes::after(QUIET);
    times.poll(BEGUN + POLL);
    assert_eq!(times.next(), Some(BEGUN + POLL));
    times.hint(BEGUN);
    assert_eq!(times.next(), Some(BEGUN + QUIET), "a hint comes first");
    assert!(times.begin());
    assert_eq!(times.next(), Some(BEGUN + POLL));
    times.wait_for_hints();
    assert_eq!(times.next(), None);
}
