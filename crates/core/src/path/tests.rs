use super::*;
use crate::exit::ExitCode;

use PathAction::{
    Ask, Follow, GiveUp, Install, Look, Remove, SayRemovedAgainAndAgain, StopIntercepting, SweepTheRest,
    Unwatch, Watch,
};

const AT: fn(u64) -> Duration = Duration::from_secs;
const NOTHING: [PathAction; 0] = [];

fn loopback(ports: &[u16]) -> ServerNeeds {
    let loopback = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
    ServerNeeds { loopback, own: false }
}

fn server(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

fn servers(last: &[u8]) -> ServersByAddress {
    last.iter().map(|last| (server(*last), format!("`s{last}`"))).collect()
}

fn told(last: &[u8], needs: ServerNeeds, generations: Generations) -> PathEvent {
    PathEvent::Servers { servers: servers(last), needs: Some(needs), generations, fresh: false }
}

fn machine(rules: &str, mode: CanaryMode) -> PathMachine {
    let mut interception = Interception::default();
    if !rules.is_empty() {
        interception.rules = crate::intercept::rules(rules).unwrap();
        interception.fail = crate::intercept::Fail::Closed;
    }
    PathMachine::new(&interception, mode, None)
}

/// Something transparent serves, and is watched.
fn serving(mode: CanaryMode) -> PathMachine {
    let mut machine = machine("", mode);
    assert_eq!(machine.step(PathEvent::Needed(loopback(&[1])), AT(1)), [Install(loopback(&[1]))]);
    assert_eq!(machine.step(PathEvent::Installed(loopback(&[1])), AT(1)), [Watch]);
    assert_eq!(machine.step(PathEvent::Serves { transparent: true }, AT(2)), NOTHING);
    machine
}

/// The round that is due at this moment.
fn round(machine: &mut PathMachine, now: Duration) -> Round {
    match machine.step(PathEvent::TimePassed, now)[..] {
        [Ask(round)] => round,
        ref other => panic!("{other:?}"),
    }
}

fn over(round: Round, verdicts: &[(u8, CanaryVerdict)]) -> PathEvent {
    let verdicts = verdicts.iter().map(|(last, verdict)| (server(*last), *verdict)).collect();
    PathEvent::RoundOver { round, verdicts, obstructed: false }
}

#[test]
fn the_next_generation_finds_what_the_one_that_serves_needs_as_well() {
    let mut machine = serving(CanaryMode::On);
    let both = loopback(&[1, 2]);
    let todo = machine.step(PathEvent::Needed(loopback(&[2])), AT(3));
    assert_eq!(todo, [Watch, Look, Follow(both.clone())]);
    machine.step(PathEvent::Followed { needs: both.clone(), changed: true }, AT(3));
    // As long as the former one drains, nothing is taken away.
    let several = told(&[], loopback(&[2]), Generations::Several);
    assert_eq!(machine.step(several, AT(4)), NOTHING);
    let one = told(&[], loopback(&[2]), Generations::One);
    assert_eq!(machine.step(one.clone(), AT(5)), [Follow(loopback(&[2]))]);
    // It has come to nothing: it is tried again.
    assert_eq!(machine.step(one.clone(), AT(6)), [Follow(loopback(&[2]))]);
    machine.step(PathEvent::Followed { needs: loopback(&[2]), changed: true }, AT(6));
    assert_eq!(machine.step(one, AT(7)), NOTHING);
    // Where no address is known, nothing is.
    let unknown = PathEvent::Servers {
        servers: servers(&[]),
        needs: None,
        generations: Generations::One,
        fresh: false,
    };
    assert_eq!(machine.step(unknown, AT(8)), NOTHING);
}

#[test]
fn a_removal_is_seen_once_and_looked_at_soon() {
    let mut machine = serving(CanaryMode::On);
    assert_eq!(machine.due(), None);
    assert_eq!(machine.step(PathEvent::Removed, AT(3)), [Unwatch]);
    assert_eq!(machine.step(PathEvent::Removed, AT(3)), NOTHING);
    let due = machine.due().unwrap();
    assert!(AT(3) < due && due < AT(3) + Duration::from_millis(50), "{due:?}");
    assert_eq!(machine.step(PathEvent::TimePassed, due), [Watch, Look]);
    assert_eq!(machine.step(PathEvent::Looked { repaired: true }, due), NOTHING);
    assert_eq!(machine.due(), None);
}

#[test]
fn where_nothing_can_be_watched_or_a_look_fails_it_is_looked_at_from_time_to_time() {
    let mut machine = serving(CanaryMode::On);
    machine.step(PathEvent::CannotWatch, AT(2));
    assert_eq!(machine.due(), Some(AT(2) + upkeep::ANYWAY));
    assert_eq!(machine.step(PathEvent::TimePassed, AT(12)), [Watch, Look]);
    machine.step(PathEvent::CannotWatch, AT(12));
    machine.step(PathEvent::LookFailed, AT(13));
    assert_eq!(machine.due(), Some(AT(12) + upkeep::ANYWAY));
    assert_eq!(machine.step(PathEvent::TimePassed, AT(22)), [Watch, Look]);
    machine.step(PathEvent::LookFailed, AT(22));
    assert_eq!(machine.due(), Some(AT(22) + upkeep::ANYWAY));
    // A removal is looked at sooner.
    assert_eq!(machine.step(PathEvent::Removed, AT(23)), [Unwatch]);
    assert!(machine.due().unwrap() < AT(24));
}

#[test]
fn it_is_said_once_that_another_process_removes_again_and_again() {
    let mut machine = serving(CanaryMode::On);
    let mut now = AT(3);
    let mut said = 0;
    for repairs in 1..60 {
        machine.step(PathEvent::Removed, now);
        now = machine.due().unwrap();
        assert_eq!(machine.step(PathEvent::TimePassed, now), [Watch, Look]);
        let todo = machine.step(PathEvent::Looked { repaired: true }, now);
        said += todo.iter().filter(|one| **one == SayRemovedAgainAndAgain).count();
        if repairs == repairs::FREE + 5 {
            // A look beside would only feed the other process.
            assert_eq!(machine.step(PathEvent::Told { fresh: false }, now + AT(1)), NOTHING);
        }
    }
    assert_eq!(said, 1);
    assert!(now > AT(60), "{now:?}");
}

#[test]
fn what_cannot_be_watched_is_looked_at_when_haproxy_is_asked() {
    let mut machine = serving(CanaryMode::On);
    assert_eq!(machine.step(PathEvent::Told { fresh: true }, AT(3)), NOTHING);
    assert_eq!(machine.step(PathEvent::Told { fresh: false }, AT(4)), [Watch, Look]);
    machine.step(PathEvent::Serves { transparent: false }, AT(5));
    assert_eq!(machine.step(PathEvent::Told { fresh: false }, AT(6)), NOTHING);
}

#[test]
fn what_we_remove_ourselves_is_not_put_back() {
    let mut machine = serving(CanaryMode::On);
    assert_eq!(machine.step(PathEvent::ReleaseCustody, AT(3)), [StopIntercepting]);
    assert_eq!(machine.step(PathEvent::Unplumb, AT(4)), [Unwatch, Remove(Closing::Goes)]);
    for event in [
        PathEvent::Removed,
        PathEvent::CannotWatch,
        PathEvent::Told { fresh: false },
        PathEvent::ReleaseCustody,
        PathEvent::Unplumb,
        PathEvent::Leave(ExitCode::Done),
        PathEvent::TimePassed,
    ] {
        assert_eq!(machine.step(event, AT(60)), NOTHING);
    }
    assert_eq!(machine.due(), None);
    // A generation that needs it later finds it.
    assert_eq!(machine.step(PathEvent::Needed(loopback(&[])), AT(70)), [Install(loopback(&[]))]);
}

#[test]
fn what_is_closed_opens_only_with_a_planned_stop() {
    let rules = "10.0.0.0/8 port 80 to 8080";
    for (code, closing) in [(ExitCode::Done, Closing::Goes), (ExitCode::NotReady, Closing::Stays)] {
        let mut machine = machine(rules, CanaryMode::On);
        machine.step(PathEvent::Needed(loopback(&[])), AT(1));
        assert_eq!(machine.step(PathEvent::Installed(loopback(&[])), AT(1)), [SweepTheRest, Watch]);
        assert_eq!(machine.step(PathEvent::Unplumb, AT(2)), NOTHING);
        assert_eq!(machine.step(PathEvent::Leave(code), AT(3)), [Unwatch, Remove(closing)]);
    }
    let mut open = serving(CanaryMode::On);
    let todo = open.step(PathEvent::Leave(ExitCode::NotReady), AT(3));
    assert_eq!(todo, [Unwatch, Remove(Closing::Goes)]);
}

#[test]
fn without_plumbing_nothing_is_followed() {
    let mut machine = machine("", CanaryMode::On);
    machine.step(PathEvent::Needed(loopback(&[])), AT(1));
    // It could not be installed, and a generation without it serves.
    assert_eq!(machine.step(PathEvent::Serves { transparent: true }, AT(2)), NOTHING);
    assert!(!machine.follows_servers() && machine.is_ready());
    assert_eq!(machine.step(told(&[1], loopback(&[]), Generations::One), AT(3)), NOTHING);
    assert_eq!((machine.due(), machine.servers().count()), (None, 0));
}

#[test]
fn servers_are_asked_when_they_or_the_plumbing_change() {
    let mut machine = serving(CanaryMode::On);
    let event = || told(&[1, 2], loopback(&[1]), Generations::One);
    machine.step(event(), AT(3));
    let first = round(&mut machine, AT(3));
    assert_eq!((machine.due(), machine.asking(AT(5))), (None, Some(AT(3))));
    machine.step(over(first, &[(1, CanaryVerdict::Works), (2, CanaryVerdict::Down)]), AT(6));
    assert_eq!(machine.asking(AT(6)), None);
    assert_eq!(machine.due(), Some(AT(6) + schedule::SOON));
    let second = round(&mut machine, AT(11));
    machine.step(over(second, &[(1, CanaryVerdict::Works), (2, CanaryVerdict::Works)]), AT(12));
    machine.step(event(), AT(13));
    assert_eq!(machine.due(), None, "the same servers");
    machine.step(PathEvent::Looked { repaired: false }, AT(14));
    assert_eq!(machine.due(), None, "nothing was missing");
    machine.step(PathEvent::Looked { repaired: true }, AT(15));
    let third = round(&mut machine, AT(15));
    assert_eq!(machine.step(told(&[], loopback(&[1]), Generations::One), AT(16)), [GiveUp]);
    assert!(!machine.awaits(third));
    machine.step(over(third, &[(1, CanaryVerdict::Broken)]), AT(17));
    assert_eq!((machine.due(), machine.servers().count()), (None, 0));
}

#[test]
fn ready_is_what_is_known_to_find_the_way() {
    let mut machine = serving(CanaryMode::Ready);
    assert!(!machine.is_ready(), "nothing is known");
    machine.step(PathEvent::Looked { repaired: true }, AT(3));
    assert!(!machine.is_ready(), "a repair before the servers are known tells nothing of them");
    machine.step(told(&[1, 2], loopback(&[1]), Generations::One), AT(3));
    let first = round(&mut machine, AT(3));
    machine.step(over(first, &[(1, CanaryVerdict::Works), (2, CanaryVerdict::Broken)]), AT(4));
    assert!(!machine.is_ready());
    // The broken one is in maintenance now.
    machine.step(told(&[1], loopback(&[1]), Generations::One), AT(5));
    assert!(machine.is_ready());
    machine.step(PathEvent::Serves { transparent: false }, AT(6));
    assert!(machine.is_ready());
    assert!(serving(CanaryMode::On).is_ready());
}

#[test]
fn without_the_canary_no_server_is_asked() {
    let mut machine = serving(CanaryMode::Off);
    machine.step(told(&[1], loopback(&[1, 2]), Generations::One), AT(3));
    machine.step(PathEvent::Looked { repaired: true }, AT(3));
    assert_eq!((machine.due(), machine.asking(AT(4)), machine.is_ready()), (None, None, true));
}

#[test]
fn servers_are_asked_at_once_where_that_is_wanted_by_hand() {
    let mut machine = serving(CanaryMode::On);
    assert_eq!(machine.step(PathEvent::AskWanted, AT(3)), NOTHING);
    assert_eq!(machine.due(), None, "there are no servers yet");
    machine.step(told(&[2], loopback(&[1]), Generations::One), AT(4));
    let first = round(&mut machine, AT(4));
    // While a round goes on, another one follows.
    machine.step(PathEvent::AskWanted, AT(5));
    assert_eq!(machine.due(), None);
    machine.step(over(first, &[(2, CanaryVerdict::Works)]), AT(6));
    let second = round(&mut machine, AT(6));
    machine.step(over(second, &[(2, CanaryVerdict::Works)]), AT(7));
    assert_eq!(machine.due(), None, "all is well");
    machine.step(PathEvent::AskWanted, AT(60));
    assert_eq!(machine.due(), Some(AT(60)));
}
