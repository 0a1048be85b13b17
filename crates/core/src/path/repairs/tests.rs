use super::*;

const BEGINNING: Duration = Duration::from_secs(1);

/// Another process removes at once what was put back; how many repairs there are in each of these minutes.
fn fight(minutes: u32) -> Vec<usize> {
    let (mut now, mut pace) = (BEGINNING, RepairPace::default());
    let mut repairs = vec![0; minutes as usize];
    loop {
        now += pace.pause(now);
        let minute = usize::try_from(now.saturating_sub(BEGINNING).as_secs() / 60).unwrap();
        let Some(count) = repairs.get_mut(minute) else { return repairs };
        *count += 1;
        pace.looked(true, now);
    }
}

#[test]
fn a_fight_is_fought_ever_more_seldom() {
    for (minute, repairs) in fight(10).into_iter().enumerate() {
        assert!((5..=32).contains(&repairs), "{repairs} repairs in minute {minute}");
    }
}

#[test]
fn what_is_removed_now_and_then_is_put_back_at_once() {
    let (mut now, mut pace) = (BEGINNING, RepairPace::default());
    for _ in 0..1000 {
        now += Duration::from_secs(5);
        assert_eq!(pace.pause(now), SOON);
        pace.looked(true, now);
    }
    assert!(!pace.is_fight(now));
}

#[test]
fn after_a_fight_there_is_peace() {
    let (mut now, mut pace) = (BEGINNING, RepairPace::default());
    while pace.pause(now) < LONGEST {
        now += pace.pause(now);
        pace.looked(true, now);
    }
    assert!(pace.is_fight(now));
    now += WINDOW;
    assert!(!pace.is_fight(now));
    assert_eq!(pace.pause(now), SOON);
}

#[test]
fn looks_that_find_nothing_stay_within_a_second() {
    let (mut now, mut pace) = (BEGINNING, RepairPace::default());
    for _ in 0..1000 {
        let pause = pace.pause(now);
        assert!(pause < Duration::from_secs(1), "{pause:?}");
        now += pause;
        pace.looked(false, now);
    }
    assert!(now.saturating_sub(BEGINNING) > Duration::from_secs(700), "no more than some 80 a minute");
}
