use super::*;

const AT: fn(u64) -> Duration = Duration::from_secs;

fn asked() -> (Schedule, Round) {
    let mut schedule = Schedule::new(None);
    schedule.wake(AT(1));
    schedule.changed(AT(2));
    assert_eq!(schedule.due(), Some(AT(2)));
    let round = schedule.ask(AT(2));
    (schedule, round)
}

#[test]
fn a_late_answer_does_not_count_and_asks_for_nothing() {
    let (mut schedule, round) = asked();
    schedule.rest();
    assert!(!schedule.awaits(round));
    schedule.heard(RoundResult::Wrong, AT(9));
    assert_eq!((schedule.due(), schedule.is_resting()), (None, true));

    // Nor when something else is asked meanwhile.
    schedule.wake(AT(10));
    schedule.changed(AT(11));
    let next = schedule.ask(AT(11));
    assert!(!schedule.awaits(round) && schedule.awaits(next));
    schedule.nothing_to_ask();
    assert!(!schedule.awaits(next));
    assert!(!schedule.knows_nothing());
}

#[test]
fn what_is_wrong_is_looked_at_ever_more_seldom() {
    let (mut schedule, _) = asked();
    let mut now = AT(3);
    for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
        schedule.heard(RoundResult::Wrong, now);
        assert_eq!(schedule.due(), Some(now + AT(pause)));
        now += AT(pause);
        schedule.ask(now);
    }
    schedule.heard(RoundResult::Well, now);
    assert_eq!(schedule.due(), None);
    schedule.changed(now);
    schedule.ask(now);
    schedule.heard(RoundResult::Wrong, now);
    assert_eq!(schedule.due(), Some(now + SOON));
}

#[test]
fn a_change_while_they_are_asked_asks_once_more() {
    let (mut schedule, round) = asked();
    schedule.changed(AT(3));
    assert_eq!(schedule.due(), None, "one round at a time");
    assert!(schedule.awaits(round));
    schedule.heard(RoundResult::Well, AT(4));
    assert_eq!(schedule.due(), Some(AT(4)));
}

#[test]
fn for_how_long_is_known() {
    let (mut schedule, _) = asked();
    assert!(schedule.knows_nothing());
    assert_eq!(schedule.waiting(AT(7)), Some(AT(6)), "since it serves");
    schedule.heard(RoundResult::Well, AT(8));
    assert_eq!(schedule.waiting(AT(9)), None);
    schedule.ask(AT(20));
    assert_eq!(schedule.waiting(AT(22)), Some(AT(2)), "since the round has begun");
    schedule.could_not_ask(AT(23));
    assert_eq!((schedule.waiting(AT(24)), schedule.due()), (None, Some(AT(23) + SELDOM)));
}
