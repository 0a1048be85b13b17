use super::*;

use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::supervisor::Declined;

const SECOND: Duration = Duration::from_secs(1);
const FIRST: Peer = Peer(1);

/// A machine whose name can be opened, unless it is told otherwise.
struct Stage {
    peers: Relations,
    now: Duration,
    /// What cannot be opened.
    shut: Option<NamePart>,
    lock_is_free: bool,
}

impl Stage {
    fn new(is_private: bool, beginning: Beginning) -> (Self, Vec<PeersAction>) {
        let fence = Fence::new(600 * SECOND, Some(10));
        let peers = Relations::new(is_private, fence, Some("here".to_owned()));
        let mut stage = Self { peers, now: Duration::ZERO, shut: None, lock_is_free: true };
        let done = stage.hear(PeersEvent::Begin(beginning));
        (stage, done)
    }

    fn alone() -> Self {
        Self::new(false, Beginning { lock: true, predecessor: None, holder: false }).0
    }

    fn succeeding() -> Self {
        let superseded = vec![("before".to_owned(), SECOND), ("there".to_owned(), Duration::ZERO)];
        Self::new(false, Beginning { lock: false, predecessor: Some(superseded), holder: false }).0
    }

    /// Steps, and does what is to be done; answers with all of it.
    fn hear(&mut self, event: PeersEvent) -> Vec<PeersAction> {
        let (mut events, mut done) = (vec![event], Vec::new());
        while let Some(event) = events.pop() {
            for action in self.peers.step(event, self.now) {
                match action {
                    PeersAction::Open(part) if self.shut == Some(part) => {
                        events.push(PeersEvent::NotOpened("shut".to_owned()));
                    }
                    PeersAction::Open(part) => events.push(PeersEvent::Opened(part)),
                    PeersAction::TakeLock if self.lock_is_free => events.push(PeersEvent::LockTaken),
                    PeersAction::TakeLock => {
                        let failure = Failure::new(ExitCode::InstanceTaken, "another process has it");
                        events.push(PeersEvent::LockNotFree(failure));
                    }
                    _ => {}
                }
                done.push(action);
            }
        }
        done
    }

    /// Lets time pass until something is due.
    fn wait(&mut self) -> Vec<PeersAction> {
        self.now = self.peers.due().expect("something is due");
        self.hear(PeersEvent::TimePassed)
    }

    fn ask(&mut self, peer: Peer, origin: &str) -> Vec<PeersAction> {
        self.hear(PeersEvent::Asked { peer, origin: Some(origin.to_owned()) })
    }
}

#[test]
fn lock_and_door_are_opened_and_of_a_private_instance_the_lock_alone() {
    let alone = Beginning { lock: true, predecessor: None, holder: false };
    let (_, done) = Stage::new(false, alone.clone());
    assert_eq!(done, [PeersAction::Open(NamePart::Lock), PeersAction::Open(NamePart::Door)]);
    let (stage, done) = Stage::new(true, alone);
    assert_eq!(done, [PeersAction::Open(NamePart::Lock)]);
    assert_eq!(stage.peers.due(), None);
}

#[test]
fn a_door_that_cannot_be_opened_is_tried_every_second_and_said_once() {
    let mut stage = Stage::succeeding();
    stage.shut = Some(NamePart::Door);
    let not_opened = PeersAction::Report(PeersReport::NotOpened { error: "shut".to_owned() });
    let done = stage.hear(PeersEvent::Relieved { named: true });
    assert_eq!(done[..2], [PeersAction::UseGivenName, PeersAction::ListenAnew]);
    assert_eq!(done.last(), Some(&not_opened));
    for second in 1..100 {
        assert_eq!(stage.wait(), [PeersAction::Open(NamePart::Door)]);
        assert_eq!(stage.now, second * SECOND);
    }
    stage.shut = None;
    assert_eq!(stage.wait(), [PeersAction::Open(NamePart::Door), PeersAction::Report(PeersReport::Opened)]);
    assert_eq!(stage.peers.due(), None);
}

#[test]
fn a_successor_gets_the_name_and_the_one_before_has_it_back_if_that_fails() {
    let mut stage = Stage::alone();
    assert_eq!(stage.ask(FIRST, "there"), [PeersAction::Tell(Told::TakeoverAsked(FIRST))]);
    assert_eq!(stage.hear(PeersEvent::HandOver(FIRST)), [PeersAction::Welcome(FIRST, Vec::new())]);
    assert!(stage.peers.has_given_to(FIRST));
    let done = stage.hear(PeersEvent::Relieve(FIRST));
    assert_eq!(
        done,
        [PeersAction::SetGate(NameGate::Closed), PeersAction::GiveName(FIRST), PeersAction::StandAside]
    );
    assert!(!stage.peers.has_the_name());
    let done = stage.hear(PeersEvent::TakeBack);
    assert_eq!(done, [PeersAction::ComeBack, PeersAction::ListenAnew, PeersAction::SetGate(NameGate::Open)]);
    assert!(stage.peers.has_the_name());
}

#[test]
fn one_that_stops_keeps_nothing_of_a_name_that_is_a_successors() {
    for stops_first in [false, true] {
        let mut stage = Stage::alone();
        stage.ask(FIRST, "there");
        stage.hear(PeersEvent::HandOver(FIRST));
        let events = [PeersEvent::Relieve(FIRST), PeersEvent::Released { at_once: false }];
        let events: Vec<_> = if stops_first { events.into_iter().rev().collect() } else { events.into() };
        let done: Vec<_> = events.into_iter().flat_map(|event| stage.hear(event)).collect();
        assert_eq!(done.last(), Some(&PeersAction::LetGoOfName), "stops first: {stops_first}");
        let given = done.iter().position(|action| *action == PeersAction::GiveName(FIRST));
        assert!(given < Some(done.len() - 1), "it is given before it is closed");
        assert!(
            stage.hear(PeersEvent::PredecessorGone).iter().all(|action| *action != PeersAction::TakeLock)
        );
    }
}

#[test]
fn one_that_leaves_gives_the_name_to_the_successor_that_starts() {
    let mut stage = Stage::alone();
    stage.ask(FIRST, "there");
    assert_eq!(stage.hear(PeersEvent::Leaves), [], "it has not been given anything yet");
    stage.hear(PeersEvent::HandOver(FIRST));
    assert_eq!(stage.hear(PeersEvent::Leaves), [PeersAction::GiveName(FIRST)]);
    stage.hear(PeersEvent::Gone(FIRST));
    assert_eq!(stage.hear(PeersEvent::Leaves), []);
}

#[test]
fn the_name_of_a_dead_predecessor_is_tried_for_without_end() {
    let mut stage = Stage::succeeding();
    stage.lock_is_free = false;
    let done = stage.hear(PeersEvent::PredecessorGone);
    assert_eq!(done, [PeersAction::TakeLock, PeersAction::Tell(Told::PredecessorGone)]);
    let said = (0..200).filter(|_| stage.wait().len() > 1).count();
    assert_eq!(said, 1);
    assert!(stage.now > 300 * SECOND, "seldom in the end: {:?}", stage.now);
    stage.lock_is_free = true;
    let done = stage.wait();
    assert_eq!(
        done,
        [
            PeersAction::TakeLock,
            PeersAction::Open(NamePart::Lock),
            PeersAction::MakeFile,
            PeersAction::Open(NamePart::Door)
        ]
    );
}

#[test]
fn what_was_left_to_the_predecessor_is_not_tried_for() {
    let mut stage = Stage::succeeding();
    assert_eq!(
        stage.hear(PeersEvent::GiveBack),
        [PeersAction::LetGoOfName, PeersAction::PartFromPredecessor]
    );
    // Its last word and the parting have crossed.
    assert_eq!(stage.hear(PeersEvent::Relieved { named: true }), []);
    assert_eq!(stage.hear(PeersEvent::PredecessorGone), [PeersAction::Tell(Told::PredecessorGone)]);
    assert_eq!(stage.peers.due(), None);
}

#[test]
fn one_that_parts_before_it_was_given_the_name_takes_it_when_it_is_free() {
    let mut stage = Stage::succeeding();
    stage.hear(PeersEvent::Supersede);
    let done = stage.hear(PeersEvent::Settled);
    let settled = PeersAction::TellPredecessor(ToPredecessor::Settled);
    assert_eq!(done[..3], [settled, PeersAction::PartFromPredecessor, PeersAction::TakeLock]);
    assert!(stage.peers.has_the_name());
}

#[test]
fn containers_that_were_superseded_are_turned_away_from_the_takeover_on() {
    let mut stage = Stage::succeeding();
    stage.hear(PeersEvent::Relieved { named: true });
    stage.hear(PeersEvent::Supersede);
    assert!(matches!(stage.ask(FIRST, "there")[..], [PeersAction::TurnAway(FIRST, _)]));
    // Nothing was begun with it.
    assert_eq!(stage.hear(PeersEvent::Decline(FIRST, Declined::Busy)), []);
    for (peer, origin) in [(Peer(2), "elsewhere"), (Peer(3), "here")] {
        assert_eq!(stage.ask(peer, origin), [PeersAction::Tell(Told::TakeoverAsked(peer))]);
    }
    let [PeersAction::Welcome(_, listed)] = &stage.hear(PeersEvent::HandOver(Peer(2)))[..] else { panic!() };
    assert_eq!(listed.len(), 2);
}

#[test]
fn a_holder_hears_of_sockets_before_it_hears_of_servers() {
    let mut stage = Stage::alone();
    assert_eq!(stage.hear(PeersEvent::ServersKnown), [], "handed over, and no holder is there");
    let came =
        |replaces| [PeersAction::Report(PeersReport::HolderCame { replaces }), PeersAction::TalkToHolder];
    assert_eq!(stage.hear(PeersEvent::HolderCame), came(false), "nothing serves yet");
    assert_eq!(stage.hear(PeersEvent::Committed), [PeersAction::TellHolder(ToHolder::Keep)]);
    assert_eq!(stage.hear(PeersEvent::ServersKnown), [PeersAction::TellHolder(ToHolder::Servers)]);
    let done = stage.hear(PeersEvent::HolderCame);
    assert_eq!(done[..2], came(true));
    assert_eq!(
        done[2..],
        [PeersAction::TellHolder(ToHolder::Keep), PeersAction::TellHolder(ToHolder::Servers)]
    );
    let release = ToHolder::Release { at_once: true };
    assert_eq!(stage.hear(PeersEvent::Released { at_once: true }), [PeersAction::TellHolder(release)]);
    assert_eq!(stage.hear(PeersEvent::ServersKnown), [], "it has let go");
    assert_eq!(stage.hear(PeersEvent::HolderCame), [PeersAction::SendHolderAway]);
}
