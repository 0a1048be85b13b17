use std::net::SocketAddr;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What a switch has done with everything that there is.
const ALL: Done = Done { gate: true, steers: true, leaves_listeners: true };
const STEERS: Done = Done { gate: false, steers: true, leaves_listeners: false };

fn generation(number: u32) -> Generation {
    (1..number).fold(Generation::FIRST, |one, _| one.next())
}

fn commit(number: u32) -> CutoverEvent {
    let listens = ListensAt::PrivatePorts;
    CutoverEvent::Committed { generation: generation(number), listens, predecessor: false }
}

/// A machine at a moment, and what it has said since it was looked at.
struct Told {
    diversions: Diversions,
    now: Duration,
}

impl Told {
    fn new() -> Self {
        Self { diversions: Diversions::default(), now: Duration::ZERO }
    }

    fn tell(&mut self, event: CutoverEvent) -> Vec<CutoverAction> {
        self.diversions.step(event, self.now)
    }

    fn pass(&mut self, time: Duration) -> Vec<CutoverAction> {
        self.now += time;
        self.tell(CutoverEvent::TimePassed)
    }

    /// A generation serves, and the next one is being switched to.
    fn switching() -> Self {
        let mut told = Self::new();
        told.tell(commit(1));
        assert_eq!(told.tell(CutoverEvent::SwitchAsked(generation(2))), [CutoverAction::Move(generation(2))]);
        told
    }

    /// The same, and its clients are moved.
    fn waiting(done: Done) -> Self {
        let mut told = Self::switching();
        assert_eq!(told.tell(CutoverEvent::Moved(generation(2), done)), []);
        told
    }
}

mod switches {
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
        assert_eq!(
            told.tell(CutoverEvent::Moved(TWO(), STEERS)),
            [CutoverAction::Watch(TWO(), Whose::Former)]
        );
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
        assert_eq!(told.tell(CutoverEvent::HandedOver), [CutoverAction::Forget(TWO())]);
        assert_eq!(told.tell(CutoverEvent::FormerClosed(TWO())), []);
        // Nor by a thread that has been slow.
        let mut told = Told::switching();
        told.tell(commit(2));
        assert_eq!(told.tell(CutoverEvent::HandedOver), [CutoverAction::Cancel(TWO())]);
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
}

mod redirection {
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
        assert!(
            !taken_back.iter().any(|action| matches!(action, CutoverAction::Redirect(_))),
            "{taken_back:?}"
        );
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
}

mod left_open {
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
    fn they_are_closed_when_the_predecessor_has_been_told_and_not_before() {
        let mut told = first();
        assert_eq!(
            told.tell(taking_over(1)),
            [CutoverAction::KeepLeftOpen(generation(1)), CutoverAction::Forget(generation(1))]
        );
        assert_eq!(told.tell(CutoverEvent::PredecessorTold), [CutoverAction::CloseLeftOpen]);
        assert_eq!(told.tell(CutoverEvent::PredecessorTold), []);
    }

    #[test]
    fn a_predecessor_that_knows_is_not_waited_for() {
        let mut told = first();
        told.tell(taking_over(1));
        told.tell(CutoverEvent::PredecessorTold);
        told.tell(CutoverEvent::SwitchAsked(generation(2)));
        told.tell(CutoverEvent::Moved(generation(2), ALL));
        let done = told.tell(taking_over(2));
        assert_eq!(done[..2], [CutoverAction::KeepLeftOpen(generation(2)), CutoverAction::CloseLeftOpen]);
    }

    #[test]
    fn one_that_serves_again_keeps_them_open() {
        let mut told = first();
        told.tell(taking_over(1));
        let parted = [CutoverAction::ForgetLeftOpen, CutoverAction::Unseal];
        assert_eq!(told.tell(CutoverEvent::Parted), parted);
        assert_eq!(told.tell(CutoverEvent::PredecessorTold), []);
    }
}

mod forerunners {
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
        assert_eq!(
            told.tell(found(3, vec![Sharing::CanBeSteered(more.clone())])),
            [CutoverAction::Steer(more)]
        );
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
}
