use super::*;

/// The time of a newcomer, and what it has decided.
#[derive(Default)]
struct Stage {
    arrival: Arrival,
    now: Duration,
}

impl Stage {
    /// Asks for so long, hears, and pauses; says whether the name is tried again.
    fn ask(&mut self, takes: Duration, heard: Heard) -> bool {
        self.now += takes;
        let pause = self.arrival.hear(heard);
        self.now += pause.unwrap_or_default();
        pause.is_some()
    }
}

#[test]
fn one_that_ends_after_minutes_of_a_reload_leaves_its_name_to_the_newcomer() {
    let mut stage = Stage::default();
    assert!(stage.ask(Duration::from_mins(5), Heard::Gone), "its name is free in a moment");
    assert!(stage.ask(Duration::ZERO, Heard::Nobody), "it was not free yet");
}

#[test]
fn a_name_with_nobody_at_its_door_is_waited_for_two_seconds() {
    let mut stage = Stage::default();
    while stage.ask(Duration::ZERO, Heard::Nobody) {}
    assert_eq!(stage.now, Duration::from_secs(2));
}

#[test]
fn so_is_a_door_that_closes_whenever_it_is_knocked_at() {
    let mut stage = Stage::default();
    while stage.ask(Duration::from_millis(1), Heard::Gone) {}
    assert!(stage.now < Duration::from_secs(3), "{:?}", stage.now);
}

#[test]
fn another_takeover_is_waited_for_half_a_minute() {
    let mut stage = Stage::default();
    while stage.ask(Duration::ZERO, Heard::NotYet) {}
    assert_eq!(stage.now, Duration::from_secs(30));
}

#[test]
fn whatever_is_heard_it_comes_to_an_end() {
    // Every order of what can be heard, sixteen long, over and over.
    for order in 0..3_u32.pow(8) {
        let mut arrival = Arrival::default();
        let heard = |place: u32| {
            [Heard::Nobody, Heard::Gone, Heard::NotYet][(order / 3_u32.pow(place % 8) % 3) as usize]
        };
        let tries = (0..2_000).take_while(|place| arrival.hear(heard(*place)).is_some()).count();
        assert!(tries <= 60 * 21, "order {order} goes on for {tries} tries");
    }
}
