//! Where new clients are redirected.

use super::*;

const NOWHERE: CutoverAction = CutoverAction::Redirect(Redirect::Nowhere);

fn drain(number: u32) -> CutoverEvent {
    CutoverEvent::Draining(generation(number))
}

#[test]
fn a_former_generation_drains_without_taking_the_clients_of_the_next_one_away() {
    let mut told = Told::new();
    told.tell(commit(1));
    told.tell(commit(2));
    assert_eq!(told.tell(drain(1)), [CutoverAction::Drain(generation(1))]);
    assert_eq!(told.tell(drain(2)), [NOWHERE, CutoverAction::Drain(generation(2))]);
}

#[test]
fn while_a_successor_redirects_our_ways_stay_for_when_it_fails() {
    let mut told = Told::new();
    told.tell(commit(1));
    assert_eq!(told.tell(CutoverEvent::Superseded { redirects: true }), []);
    assert_eq!(told.tell(drain(1)), [CutoverAction::Drain(generation(1))]);
    let taken_back = told.tell(CutoverEvent::TakenBack);
    assert!(!taken_back.iter().any(|action| matches!(action, CutoverAction::Redirect(_))), "{taken_back:?}");
    assert_eq!(told.tell(CutoverEvent::Released), [NOWHERE]);
}

#[test]
fn a_successor_on_public_ports_has_the_clients_although_nothing_drains_and_until_it_fails() {
    for drains in [true, false] {
        let mut told = Told::new();
        told.tell(commit(1));
        assert_eq!(told.tell(CutoverEvent::Superseded { redirects: false }), [NOWHERE]);
        if drains {
            assert_eq!(told.tell(drain(1)), [CutoverAction::Drain(generation(1))]);
        }
        let taken_back = told.tell(CutoverEvent::TakenBack);
        let back = CutoverAction::Redirect(Redirect::Back(Some(generation(1))));
        assert!(taken_back.contains(&back), "{taken_back:?}");
    }
}

#[test]
fn what_is_given_up_meanwhile_does_not_take_the_clients_of_a_successor() {
    let mut told = Told::switching();
    told.tell(CutoverEvent::Superseded { redirects: false });
    let back = told.tell(CutoverEvent::Abandoned(generation(2)));
    assert!(back.contains(&CutoverAction::Redirect(Redirect::Back(None))), "{back:?}");
    assert_eq!(told.tell(CutoverEvent::Released), [], "they are redirected nowhere already");
}

#[test]
fn a_stop_redirects_nowhere_once() {
    let mut told = Told::new();
    told.tell(commit(1));
    assert_eq!(told.tell(CutoverEvent::Released), [NOWHERE]);
    assert_eq!(told.tell(drain(1)), [CutoverAction::Drain(generation(1))]);
    assert_eq!(told.tell(CutoverEvent::Released), []);
}
