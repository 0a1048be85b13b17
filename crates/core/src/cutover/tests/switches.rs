//! Switches: their threads, gates and steering.

use super::*;

const TWO: fn() -> Generation = || generation(2);

#[test]
fn a_gate_opens_and_steering_ends_when_the_former_sockets_are_closed() {
    let mut told = Told::waiting(ALL);
    assert_eq!(
        told.tell(commit(2)),
        [CutoverAction::Redirect(Redirect::To(TWO())), CutoverAction::Watch(TWO(), Whose::Former)]
    );
    assert_eq!(
        told.tell(CutoverEvent::FormerClosed(TWO())),
        [
            CutoverAction::OpenGate { generation: TWO(), closed: true },
            CutoverAction::EndSteering(TWO()),
            CutoverAction::Forget(TWO())
        ]
    );
    assert_eq!(told.diversions.due(), None);
}

#[test]
fn a_gate_does_not_wait_for_sockets_that_stay_open() {
    let mut told = Told::waiting(ALL);
    told.tell(commit(2));
    assert_eq!(told.diversions.due(), Some(GATE_CLOSED));
    assert_eq!(told.pass(SECOND), []);
    assert_eq!(told.pass(SECOND), [CutoverAction::OpenGate { generation: TWO(), closed: false }]);
    // The kernel steers on, until it is given up.
    assert_eq!(told.pass(FORMER_CLOSING), [CutoverAction::Forget(TWO())]);
    assert_eq!(told.tell(CutoverEvent::FormerClosed(TWO())), []);
}

#[test]
fn without_a_thread_to_watch_a_gate_is_opened_at_once() {
    let mut told = Told::waiting(ALL);
    told.tell(commit(2));
    assert_eq!(
        told.tell(CutoverEvent::NotWatched(TWO())),
        [CutoverAction::OpenGate { generation: TWO(), closed: false }, CutoverAction::Forget(TWO())]
    );
}

#[test]
fn one_that_is_given_up_is_undone_in_the_same_step() {
    let mut told = Told::waiting(ALL);
    assert_eq!(
        told.tell(CutoverEvent::Abandoned(TWO())),
        [
            CutoverAction::Cancel(TWO()),
            CutoverAction::TakeBack { generation: TWO(), steers: true },
            CutoverAction::Watch(TWO(), Whose::New),
            CutoverAction::Redirect(Redirect::Back(Some(generation(1)))),
        ]
    );
    assert_eq!(
        told.tell(CutoverEvent::FormerClosed(TWO())),
        [CutoverAction::EndSteering(TWO()), CutoverAction::Forget(TWO())]
    );
    assert_eq!(told.tell(CutoverEvent::Abandoned(TWO())), [], "its process ends later");
}

#[test]
fn what_a_thread_has_done_too_late_is_undone() {
    let mut told = Told::switching();
    assert_eq!(
        told.tell(CutoverEvent::Abandoned(TWO())),
        [CutoverAction::Cancel(TWO()), CutoverAction::Redirect(Redirect::Back(Some(generation(1))))]
    );
    let take_back = CutoverAction::TakeBack { generation: TWO(), steers: true };
    assert_eq!(
        told.tell(CutoverEvent::Moved(TWO(), ALL)),
        [take_back, CutoverAction::Watch(TWO(), Whose::New)]
    );
}

#[test]
fn what_a_later_switch_steers_is_not_undone() {
    let mut told = Told::switching();
    told.tell(CutoverEvent::Abandoned(TWO()));
    told.tell(CutoverEvent::SwitchAsked(generation(3)));
    let take_back = CutoverAction::TakeBack { generation: TWO(), steers: false };
    assert_eq!(
        told.tell(CutoverEvent::Moved(TWO(), ALL)),
        [take_back, CutoverAction::Forget(TWO())],
        "its gate is opened all the same"
    );
}

#[test]
fn the_next_switch_takes_over_what_a_former_one_steers_but_not_its_gate() {
    let mut told = Told::waiting(STEERS);
    told.tell(commit(2));
    assert_eq!(
        told.tell(CutoverEvent::SwitchAsked(generation(3))),
        [CutoverAction::Forget(TWO()), CutoverAction::Move(generation(3))]
    );
    let mut told = Told::waiting(ALL);
    told.tell(commit(2));
    told.tell(CutoverEvent::SwitchAsked(generation(3)));
    assert_eq!(
        told.tell(CutoverEvent::FormerClosed(TWO())),
        [CutoverAction::OpenGate { generation: TWO(), closed: true }, CutoverAction::Forget(TWO())]
    );
}

#[test]
fn a_thread_that_is_not_waited_for_redirects_nothing_and_is_not_undone() {
    let mut told = Told::switching();
    assert_eq!(
        told.tell(commit(2)),
        [CutoverAction::Overtake(TWO()), CutoverAction::Redirect(Redirect::To(TWO()))]
    );
    assert_eq!(told.tell(CutoverEvent::Abandoned(TWO())), [], "it has served, and its process has ended");
    assert_eq!(told.tell(CutoverEvent::Moved(TWO(), STEERS)), [CutoverAction::Watch(TWO(), Whose::Former)]);
}

#[test]
fn a_gate_that_was_closed_late_is_open_in_time_after_the_commit() {
    let mut told = Told::switching();
    told.tell(commit(2));
    told.now += GATE_CLOSED + SECOND;
    assert_eq!(
        told.tell(CutoverEvent::Moved(TWO(), ALL)),
        [
            CutoverAction::Watch(TWO(), Whose::Former),
            CutoverAction::OpenGate { generation: TWO(), closed: false }
        ]
    );
}

#[test]
fn what_a_successor_steers_is_not_undone() {
    let mut told = Told::waiting(STEERS);
    told.tell(commit(2));
    assert_eq!(told.tell(CutoverEvent::HandedOver { any: true }), [CutoverAction::Forget(TWO())]);
    assert_eq!(told.tell(CutoverEvent::FormerClosed(TWO())), []);
    // Nor by a thread that has been slow.
    let mut told = Told::switching();
    told.tell(commit(2));
    assert_eq!(told.tell(CutoverEvent::HandedOver { any: true }), [CutoverAction::Cancel(TWO())]);
    assert_eq!(told.tell(CutoverEvent::Moved(TWO(), STEERS)), [CutoverAction::Forget(TWO())]);
}

#[test]
fn one_that_gives_back_leads_no_client_to_what_it_closes() {
    let take_back = CutoverAction::TakeBack { generation: TWO(), steers: true };
    let mut told = Told::waiting(STEERS);
    told.tell(commit(2));
    assert_eq!(
        told.tell(CutoverEvent::Parted)[..3],
        [take_back.clone(), CutoverAction::Forget(TWO()), CutoverAction::Unseal]
    );
    let mut told = Told::switching();
    told.tell(commit(2));
    assert_eq!(told.tell(CutoverEvent::Parted)[0], CutoverAction::Cancel(TWO()));
    assert_eq!(told.tell(CutoverEvent::Moved(TWO(), STEERS))[0], take_back);
}

#[test]
fn where_nothing_was_done_nothing_is_watched() {
    let mut told = Told::waiting(Done::default());
    assert_eq!(
        told.tell(commit(2)),
        [CutoverAction::Redirect(Redirect::To(TWO())), CutoverAction::Forget(TWO())]
    );
}
