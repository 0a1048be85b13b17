use super::*;

/// The time of a newcomer, and what it has decided.
struct Stage {
    arrival: Arrival,
    now: Duration,
}

impl Stage {
    fn new() -> Self {
        Self { arrival: Arrival::new(false), now: Duration::ZERO }
    }

    /// Asks for so long, hears, and pauses; says whether the name is tried again.
    fn ask(&mut self, takes: Duration, heard: ArrivalEvent) -> bool {
        self.now += takes;
        assert_eq!(self.arrival.hear(ArrivalEvent::NotFree), ArrivalAction::Knock);
        match self.arrival.hear(heard) {
            ArrivalAction::Pause(pause) => {
                self.now += pause;
                assert_eq!(self.arrival.hear(ArrivalEvent::Paused), ArrivalAction::TakeName);
                true
            }
            next => {
                assert_eq!(next, ArrivalAction::Leave);
                false
            }
        }
    }
}

#[test]
fn the_holder_is_asked_last_and_by_a_name_only() {
    for (is_private, heard, next) in [
        (false, ArrivalEvent::Taken, ArrivalAction::AskHolder),
        (false, ArrivalEvent::Given, ArrivalAction::AskHolder),
        (false, ArrivalEvent::Asked, ArrivalAction::Begin),
        (true, ArrivalEvent::Taken, ArrivalAction::Begin),
        (true, ArrivalEvent::NotFree, ArrivalAction::Leave),
    ] {
        assert_eq!(Arrival::new(is_private).hear(heard), next, "private {is_private}, {heard:?}");
    }
}

#[test]
fn one_that_ends_after_minutes_of_a_reload_leaves_its_name_to_the_newcomer() {
    let mut stage = Stage::new();
    assert!(stage.ask(Duration::from_mins(5), ArrivalEvent::Gone), "its name is free in a moment");
    assert!(stage.ask(Duration::ZERO, ArrivalEvent::NoAnswer), "it was not free yet");
}

#[test]
fn a_name_without_a_process_at_its_door_is_waited_for_two_seconds() {
    let mut stage = Stage::new();
    while stage.ask(Duration::ZERO, ArrivalEvent::NoAnswer) {}
    assert_eq!(stage.now, Duration::from_secs(2));
}

#[test]
fn so_is_a_door_that_closes_whenever_it_is_knocked_at() {
    let mut stage = Stage::new();
    while stage.ask(Duration::from_millis(1), ArrivalEvent::Gone) {}
    assert!(stage.now < Duration::from_secs(3), "{:?}", stage.now);
}

#[test]
fn another_takeover_is_waited_for_half_a_minute() {
    let mut stage = Stage::new();
    while stage.ask(Duration::ZERO, ArrivalEvent::NotYet) {}
    assert_eq!(stage.now, Duration::from_secs(30));
}

#[test]
fn whatever_is_heard_it_comes_to_an_end() {
    // Every order of what can be heard, eight long, over and over.
    for order in 0..3_u32.pow(8) {
        let mut arrival = Arrival::new(false);
        let heard = |place: u32| {
            [ArrivalEvent::NoAnswer, ArrivalEvent::Gone, ArrivalEvent::NotYet]
                [(order / 3_u32.pow(place % 8) % 3) as usize]
        };
        let tries =
            (0..2_000).take_while(|place| arrival.hear(heard(*place)) != ArrivalAction::Leave).count();
        assert!(tries <= 60 * 21, "order {order} goes on for {tries} tries");
    }
}
