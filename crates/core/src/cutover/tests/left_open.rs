//! Sockets that a predecessor keeps open.

use super::*;

fn taking_over(number: u32) -> CutoverEvent {
    let listens = ListensAt::PublicPorts;
    CutoverEvent::Committed { generation: generation(number), listens, predecessor: true }
}

fn first() -> Told {
    let mut told = Told::new();
    told.tell(CutoverEvent::SwitchAsked(generation(1)));
    told.tell(CutoverEvent::Moved(generation(1), Done { leaves_listeners: true, ..Done::default() }));
    told
}

#[test]
fn they_are_closed_when_the_predecessor_drains_and_not_before() {
    let mut told = first();
    assert_eq!(
        told.tell(taking_over(1)),
        [CutoverAction::KeepLeftOpen(generation(1)), CutoverAction::Forget(generation(1))]
    );
    assert_eq!(told.tell(CutoverEvent::PredecessorDrains), [CutoverAction::CloseLeftOpen]);
    assert_eq!(told.tell(CutoverEvent::PredecessorDrains), []);
}

#[test]
fn a_predecessor_that_drains_is_not_waited_for() {
    let mut told = first();
    told.tell(taking_over(1));
    told.tell(CutoverEvent::PredecessorDrains);
    told.tell(CutoverEvent::SwitchAsked(generation(2)));
    told.tell(CutoverEvent::Moved(generation(2), ALL));
    let done = told.tell(taking_over(2));
    assert_eq!(done[..2], [CutoverAction::KeepLeftOpen(generation(2)), CutoverAction::CloseLeftOpen]);
}

#[test]
fn what_a_successor_does_not_know_is_closed_when_it_serves() {
    for any in [true, false] {
        let mut told = Told::new();
        told.tell(CutoverEvent::HandedOver { any });
        let superseded = told.tell(CutoverEvent::Superseded { redirects: true });
        assert_eq!(superseded.contains(&CutoverAction::CloseNotGiven), any, "{superseded:?}");
    }
}

#[test]
fn one_that_serves_again_keeps_them_open() {
    let mut told = first();
    told.tell(taking_over(1));
    let parted = [CutoverAction::ForgetLeftOpen, CutoverAction::Unseal];
    assert_eq!(told.tell(CutoverEvent::Parted), parted);
    assert_eq!(told.tell(CutoverEvent::PredecessorDrains), []);
}
