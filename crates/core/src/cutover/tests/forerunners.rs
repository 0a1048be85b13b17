//! Processes that were there first.

use super::*;

fn at(address: &str, sockets: &[u64]) -> SharedAddress {
    let address: SocketAddr = address.parse().unwrap();
    SharedAddress { address, sockets: sockets.to_vec(), theirs: 1 }
}

fn found(round: u64, found: Vec<Sharing>) -> CutoverEvent {
    CutoverEvent::Compared { round, found: Some(found) }
}

/// Another process was there first, and our first generation serves.
fn beside() -> (Told, SharedAddress) {
    let (mut told, shared) = (Told::new(), at("10.0.0.1:80", &[1, 2]));
    assert_eq!(told.tell(CutoverEvent::Launching(AtLaunch::Nothing)), [CutoverAction::LookWhatListens]);
    told.tell(CutoverEvent::FirstSeen(true));
    let committed = told.tell(commit(1));
    assert!(committed.contains(&CutoverAction::CompareAtOnce(1)), "{committed:?}");
    assert_eq!(
        told.tell(found(1, vec![Sharing::CanBeSteered(shared.clone())])),
        [CutoverAction::Steer(shared.clone()), CutoverAction::AwaitTheirs]
    );
    (told, shared)
}

/// The same, and it is looked again.
fn watched() -> (Told, SharedAddress) {
    let (mut told, shared) = beside();
    told.tell(CutoverEvent::TheirsServed);
    assert_eq!(told.pass(LOOKING), [CutoverAction::Compare(2)]);
    (told, shared)
}

#[test]
fn where_no_other_process_was_nothing_is_looked_at_again() {
    let mut told = Told::new();
    told.tell(CutoverEvent::Launching(AtLaunch::Nothing));
    told.tell(CutoverEvent::FirstSeen(true));
    told.tell(commit(1));
    assert_eq!(told.tell(found(1, Vec::new())), []);
    assert_eq!(told.diversions.due(), None);
    assert!(!told.tell(commit(2)).contains(&CutoverAction::CompareAtOnce(2)));
}

#[test]
fn what_is_as_before_is_not_steered_anew_and_what_has_changed_is() {
    let (mut told, shared) = watched();
    assert_eq!(told.tell(found(2, vec![Sharing::CanBeSteered(shared)])), []);
    assert_eq!(told.pass(LOOKING), [CutoverAction::Compare(3)]);
    let more = at("10.0.0.1:80", &[1, 2, 3]);
    assert_eq!(told.tell(found(3, vec![Sharing::CanBeSteered(more.clone())])), [CutoverAction::Steer(more)]);
}

#[test]
fn what_the_kernel_does_not_say_changes_nothing() {
    let (mut told, shared) = watched();
    assert_eq!(told.tell(CutoverEvent::Compared { round: 2, found: None }), []);
    assert_eq!(told.diversions.shared(), [shared]);
    assert_eq!(told.pass(LOOKING), [CutoverAction::Compare(3)]);
}

#[test]
fn an_old_answer_counts_for_nothing() {
    let (mut told, shared) = watched();
    told.tell(commit(2));
    assert_eq!(told.tell(found(2, Vec::new())), []);
    assert_eq!(told.diversions.shared(), [shared]);
}

#[test]
fn when_one_of_theirs_has_gone_the_certain_places_are_left() {
    let (mut told, shared) = watched();
    let gone = Sharing::OneHasGone(shared.address);
    assert_eq!(told.tell(found(2, vec![gone])), [CutoverAction::Narrow(shared.clone())]);
    told.pass(LOOKING);
    assert_eq!(
        told.tell(found(3, Vec::new())),
        [CutoverAction::Release(shared), CutoverAction::SayTheirsEnded]
    );
    assert_eq!(told.diversions.due(), None);
}

#[test]
fn a_switch_is_not_disturbed() {
    let (mut told, shared) = watched();
    told.tell(CutoverEvent::SwitchAsked(generation(2)));
    assert_eq!(told.tell(found(2, Vec::new())), []);
    assert_eq!(told.diversions.shared(), [shared]);
}

#[test]
fn what_cannot_be_steered_is_said_once() {
    let (mut told, shared) = watched();
    let other: SocketAddr = "10.0.0.2:80".parse().unwrap();
    let both = vec![Sharing::CanBeSteered(shared), Sharing::CannotBeSteered(other)];
    assert_eq!(told.tell(found(2, both.clone())), [CutoverAction::SayShared(other)]);
    told.pass(LOOKING);
    assert_eq!(told.tell(found(3, both)), []);
}

#[test]
fn where_steering_fails_clients_stay_with_the_others() {
    let (mut told, shared) = beside();
    told.tell(CutoverEvent::NotSteered(shared));
    told.tell(CutoverEvent::TheirsServed);
    assert!(told.diversions.shared().is_empty() && told.diversions.due().is_none());
    assert_eq!(told.tell(CutoverEvent::Released), [CutoverAction::Redirect(Redirect::Nowhere)]);
}

#[test]
fn a_generation_drains_after_the_clients_that_came_to_it_have_been_accepted() {
    let (mut told, shared) = watched();
    let released = told.tell(CutoverEvent::Released);
    assert!(released.contains(&CutoverAction::GiveBack(vec![shared])), "{released:?}");
    assert_eq!(told.tell(CutoverEvent::Draining(generation(1))), []);
    assert_eq!(told.tell(CutoverEvent::GaveBack), [CutoverAction::Drain(generation(1))]);
    assert_eq!(told.tell(found(2, Vec::new())), [], "what was looked at before is over");
}

#[test]
fn a_successor_has_the_clients_and_gives_none_back() {
    let (mut told, shared) = watched();
    told.tell(CutoverEvent::Superseded { redirects: false });
    assert_eq!(told.tell(found(2, Vec::new())), []);
    assert_eq!(told.diversions.due(), None);
    let taken_back = told.tell(CutoverEvent::TakenBack);
    let back = CutoverAction::Redirect(Redirect::Back(Some(generation(1))));
    assert_eq!(taken_back, [CutoverAction::ListenAgain, back, CutoverAction::Compare(3)]);
    told.tell(CutoverEvent::Superseded { redirects: false });
    let released = told.tell(CutoverEvent::Released);
    assert!(!released.contains(&CutoverAction::GiveBack(vec![shared])), "{released:?}");
    let drain = told.tell(CutoverEvent::Draining(generation(1)));
    assert_eq!(drain, [CutoverAction::Drain(generation(1))]);
}

#[test]
fn what_another_clearway_has_steered_is_released_before_a_start_and_as_long_as_it_takes() {
    let mut told = Told::new();
    assert_eq!(told.tell(CutoverEvent::Inherited { any: true }), [CutoverAction::ListenAgain]);
    let launching = |held| CutoverEvent::Launching(held);
    assert_eq!(told.tell(launching(AtLaunch::OfAPredecessor)), [], "it serves from them");
    assert_eq!(told.tell(launching(AtLaunch::Ours)), [CutoverAction::ReleaseInherited]);
    told.tell(CutoverEvent::InheritedReleased(false));
    assert!(told.tell(commit(1)).contains(&CutoverAction::ReleaseInherited));
    told.tell(CutoverEvent::InheritedReleased(true));
    assert_eq!(told.tell(launching(AtLaunch::Ours)), []);
}
