//! Both sides of a takeover, step by step.

use super::super::*;
use super::{LIMITS, Stage, failure, generation};

const PEER: Peer = Peer(3);

/// One that serves and has given its sockets to a successor.
fn handing() -> Stage {
    let mut stage = Stage::serving();
    assert_eq!(stage.step(Event::TakeoverAsked(PEER)), [Action::HandOver(PEER)]);
    stage
}

/// The same, and the successor serves.
fn superseded() -> Stage {
    let mut stage = handing();
    assert_eq!(stage.step(Event::Superseded(PEER)), [Action::Relieve(PEER), Action::Drain(generation(1))]);
    stage
}

/// A successor with its first generation started.
fn succeeding() -> Stage {
    let supervisor = Supervisor::new(Limits { settle: Duration::from_millis(200), ..LIMITS }).succeeding();
    let mut stage = Stage { supervisor, now: Duration::ZERO, most_reloads: None };
    assert_eq!(stage.step(Event::Begin), [Action::Prepare(generation(1), Source::Disk)]);
    stage.launch(1, PlumbingDemand::NotNeeded);
    stage
}

/// The same, and it serves.
fn on_probation() -> Stage {
    let mut stage = succeeding();
    assert_eq!(stage.prove(1), [], "it settles beside the predecessor");
    let commit = stage.later(Duration::from_millis(200));
    assert_eq!(commit, [Action::Commit(generation(1)), Action::Supersede]);
    stage
}

#[test]
fn sockets_are_handed_over_between_attempts_only() {
    let mut stage = Stage::serving();
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    assert_eq!(stage.step(Event::TakeoverAsked(PEER)), []);
    stage.launch(2, PlumbingDemand::NotNeeded);
    let commit = stage.prove(2);
    assert_eq!(commit.last(), Some(&Action::HandOver(PEER)), "{commit:?}");
    assert_eq!(stage.step(Event::TakeoverAsked(Peer(4))), [Action::Decline(Peer(4), Declined::Busy)]);
}

#[test]
fn a_reload_waits_for_a_takeover_that_comes_to_nothing() {
    let mut stage = handing();
    assert_eq!(stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP"))), []);
    assert_eq!(stage.step(Event::PeerGone(Peer(9))), [], "another one");
    assert_eq!(stage.step(Event::PeerGone(PEER)), [Action::Prepare(generation(2), Source::Disk)]);
}

#[test]
fn a_successor_that_takes_too_long_is_given_up() {
    let mut stage = handing();
    let late = stage.later(LIMITS.ready + LIMITS.settle + PROBATION);
    assert_eq!(late, [Action::Decline(PEER, Declined::TooLate)]);
    // Too late.
    assert_eq!(stage.step(Event::Superseded(PEER)), []);
    assert_eq!(stage.supervisor.serving(), Some(generation(1)));
}

#[test]
fn a_successor_that_dies_young_is_replaced_by_what_served() {
    let mut stage = superseded();
    assert_eq!(stage.exit(1, "exit code 0"), [], "it waits, although nothing runs");
    let back = stage.step(Event::PeerGone(PEER));
    assert_eq!(back, [Action::TakeBack, Action::Prepare(generation(2), Source::Served(generation(1)))]);
}

#[test]
fn a_stop_that_was_announced_says_nothing_after_the_exit() {
    let stop_delay = PROBATION * 3;
    let mut stage = Stage::serving();
    stage.supervisor.limits.stop_delay = stop_delay;
    assert_eq!(stage.step(Event::StopAsked(Asker::Signal("SIGTERM"))), []);
    stage.step(Event::TakeoverAsked(PEER));
    stage.step(Event::Superseded(PEER));
    stage.exit(1, "exit code 0");
    // The machine was suspended: both are due at once, and nothing is left to drain.
    stage.now += stop_delay;
    let actions = stage.supervisor.step(Event::TimePassed, stage.now);
    assert_eq!(actions.last(), Some(&Action::Exit(ExitCode::Done)), "{actions:?}");
}

#[test]
fn a_successor_that_has_settled_lets_it_go() {
    let mut stage = superseded();
    stage.now += Duration::from_secs(5);
    assert_eq!(stage.step(Event::SuccessorSettled(PEER)), [Action::ReleaseCustody]);
    assert_eq!(
        stage.step(Event::PeerGone(PEER)),
        [],
        "it has settled: whatever comes, this one does not come back"
    );
    // Counted from the takeover.
    let rest = LIMITS.takeover_drain.saturating_sub(Duration::from_secs(5));
    assert_eq!(stage.later(rest), [Action::End(generation(1), How::Terminate)]);
    assert!(stage.exit(1, "exit code 0").ends_with(&[Action::Exit(ExitCode::Done)]));
}

/// The same, and it drains for as long as it takes.
fn finishing() -> Stage {
    let mut stage = superseded();
    stage.supervisor.limits.takeover_drain = Duration::from_hours(24);
    stage.now += Duration::from_secs(5);
    stage.step(Event::SuccessorSettled(PEER));
    stage
}

#[test]
fn a_stop_of_one_that_drains_after_a_takeover_is_a_stop() {
    for by in [Asker::Signal("SIGTERM"), Asker::Signal("SIGINT"), Asker::Signal("SIGUSR1"), Asker::Drain] {
        let mut stage = finishing();
        assert!(stage.supervisor.drains_as_planned());
        let said = stage.supervisor.step(Event::StopAsked(by), stage.now);
        let [Action::Report(report)] = said.as_slice() else { panic!("{by}: {said:?}") };
        assert_eq!(
            report.to_string(),
            format!("stop asked for by {by}: waiting for the sessions of 1 generation, for at most 295 s")
        );
        assert!(!stage.supervisor.drains_as_planned());
        // From then on, and no longer.
        assert_eq!(stage.later(LIMITS.drain), [Action::End(generation(1), How::Terminate)], "{by}");
    }
}

#[test]
fn a_second_sigterm_of_one_that_drains_after_a_takeover_ends_it_at_once() {
    let mut stage = finishing();
    stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    let second = stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(second, [Action::End(generation(1), How::Terminate)]);
}

#[test]
fn a_stop_does_not_lengthen_what_a_takeover_leaves() {
    let mut stage = finishing();
    let rest = Duration::from_hours(24) - Duration::from_secs(5);
    stage.now += rest.saturating_sub(Duration::from_secs(1));
    stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(stage.later(Duration::from_secs(1)), [Action::End(generation(1), How::Terminate)]);
}

#[test]
fn a_stop_while_the_successor_is_on_probation_is_a_stop() {
    let mut stage = superseded();
    assert_eq!(stage.step(Event::StopAsked(Asker::Signal("SIGTERM"))), [Action::ReleaseCustody]);
    assert_eq!(stage.step(Event::SuccessorSettled(PEER)), []);
    assert!(!stage.supervisor.drains_as_planned());
    assert_eq!(stage.later(LIMITS.drain), [Action::End(generation(1), How::Terminate)]);
}

#[test]
fn one_that_is_superseded_reloads_no_more() {
    let mut stage = superseded();
    let asker = RequestId(1);
    let answer = stage.step(Event::ReloadAsked(Asker::Admin(asker)));
    assert_eq!(answer, [Action::Answer(asker, Answer::Stopping)]);
    assert_eq!(stage.supervisor.status(stage.now).state, Phase::Superseded);
}

#[test]
fn one_that_is_superseded_says_so_until_it_is_told_to_stop() {
    let mut stage = superseded();
    stage.step(Event::SuccessorSettled(PEER));
    assert_eq!(stage.supervisor.status(stage.now).state, Phase::Superseded);
    assert!(stage.supervisor.drains_as_planned());
    stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(stage.supervisor.status(stage.now).state, Phase::Stopping);
    assert!(!stage.supervisor.drains_as_planned());
}

#[test]
fn one_that_stops_gives_what_it_has() {
    let mut stage = Stage::serving();
    stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(stage.step(Event::TakeoverAsked(PEER)), [Action::HandOver(PEER)]);
    assert_eq!(stage.step(Event::Superseded(PEER)), [Action::Relieve(PEER)]);
    assert_eq!(stage.step(Event::PeerGone(PEER)), []);
}

#[test]
fn a_successor_settles_and_says_so() {
    let mut stage = on_probation();
    assert_eq!(stage.later(PROBATION), [Action::Settled]);
    assert_eq!(stage.later(PROBATION), []);
}

/// A successor that is about to lead clients away from sockets that its predecessor has, too.
fn switching() -> Stage {
    let mut stage = succeeding();
    let proof = Proof { unclaimed: super::proof(1).fresh, ..super::proof(1) };
    stage.step(Event::Proved { generation: generation(1), proof });
    assert_eq!(stage.later(Duration::from_millis(200)), [Action::Switch(generation(1))]);
    stage
}

#[test]
fn a_successor_waits_for_its_switch_as_long_as_another_one_serves() {
    let mut stage = switching();
    assert_eq!(stage.later(SWITCH_DEADLINE), []);
    assert_eq!(stage.later(SWITCH_DEADLINE), []);
    assert_eq!(stage.step(super::switched(1)), [Action::Commit(generation(1)), Action::Supersede]);

    let mut stage = switching();
    assert_eq!(stage.later(SWITCH_DEADLINE), []);
    assert_eq!(stage.step(Event::PredecessorGone), [Action::Commit(generation(1))]);
}

/// One on probation that reloads, and is asked for its sockets meanwhile.
fn asked_during_a_reload() -> Stage {
    let mut stage = on_probation();
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    assert_eq!(stage.step(Event::TakeoverAsked(PEER)), []);
    assert_eq!(stage.step(Event::TakeoverAsked(Peer(4))), [Action::Decline(Peer(4), Declined::Busy)]);
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage
}

#[test]
fn a_predecessor_is_let_go_when_the_sockets_go_on_to_the_next_one() {
    let mut stage = asked_during_a_reload();
    stage.prove(2);
    let commit = stage.later(Duration::from_millis(200));
    assert!(commit.ends_with(&[Action::Settled, Action::HandOver(PEER)]), "{commit:?}");
}

#[test]
fn a_predecessor_is_let_go_in_time_although_a_next_one_waits() {
    let mut stage = asked_during_a_reload();
    assert_eq!(stage.later(PROBATION), [Action::Settled]);
    stage.prove(2);
    let commit = stage.later(Duration::from_millis(200));
    assert!(commit.ends_with(&[Action::HandOver(PEER)]) && !commit.contains(&Action::Settled), "{commit:?}");
}

#[test]
fn one_that_gives_back_sends_the_next_one_to_its_predecessor() {
    let mut stage = asked_during_a_reload();
    let stop = stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    let place = |wanted| stop.iter().position(|action| *action == wanted);
    assert!(place(Action::Decline(PEER, Declined::Superseded)).is_some(), "{stop:?}");
    assert!(place(Action::GiveBack) < place(Action::ReleaseCustody), "{stop:?}");
    assert_eq!(stage.step(Event::PeerGone(PEER)), []);
}

#[test]
fn a_successor_whose_generation_dies_young_gives_back() {
    let mut stage = on_probation();
    let leaving = stage.exit(1, "killed by SIGSEGV");
    assert_eq!(leaving.first(), Some(&Action::GiveBack), "{leaving:?}");
    assert_eq!(leaving.last(), Some(&Action::Exit(ExitCode::NotReady)));
    // Later it is a crash like any other.
    let mut stage = on_probation();
    stage.later(PROBATION);
    let restart = stage.exit(1, "killed by SIGSEGV");
    assert_eq!(restart, [Action::Prepare(generation(2), Source::Served(generation(1)))]);
}

#[test]
fn a_successor_that_cannot_start_leaves_with_its_code() {
    let mut stage = succeeding();
    let leaving = stage.exit(1, "exit code 1");
    assert!(leaving.contains(&Action::GiveBack), "{leaving:?}");
    assert_eq!(leaving.last(), Some(&Action::Exit(ExitCode::ConfigurationRefused)));
}

#[test]
fn without_its_predecessor_a_successor_tries_on() {
    let mut stage = succeeding();
    assert_eq!(stage.step(Event::PredecessorGone), []);
    let next = stage.exit(1, "exit code 1");
    assert_eq!(next.last(), Some(&Action::Prepare(generation(2), Source::Disk)), "{next:?}");
    // And one that is ready serves at once.
    let mut stage = succeeding();
    stage.prove(1);
    assert_eq!(stage.step(Event::PredecessorGone), [Action::Commit(generation(1))]);
}

#[test]
fn a_predecessor_that_withdraws_is_obeyed() {
    let mut stage = succeeding();
    stage.prove(1);
    let leaving = stage.step(Event::Withdrawn(failure(ExitCode::InstanceTaken)));
    assert!(leaving.contains(&Action::Drain(generation(1))), "{leaving:?}");
    assert!(!leaving.contains(&Action::Supersede), "{leaving:?}");
    assert_eq!(stage.exit(1, "exit code 0").last(), Some(&Action::Exit(ExitCode::InstanceTaken)));
}

#[test]
fn a_withdrawal_that_crosses_the_commit_ends_the_successor() {
    let mut stage = on_probation();
    let leaving = stage.step(Event::Withdrawn(failure(ExitCode::InstanceTaken)));
    assert_eq!(leaving, [Action::GiveBack, Action::ReleaseCustody, Action::Drain(generation(1))]);
    assert_eq!(stage.exit(1, "exit code 0").last(), Some(&Action::Exit(ExitCode::InstanceTaken)));
}

#[test]
fn a_third_one_frees_the_first() {
    let mut stage = on_probation();
    assert_eq!(stage.step(Event::TakeoverAsked(PEER)), [Action::Settled, Action::HandOver(PEER)]);
}

#[test]
fn a_stop_is_announced_if_there_is_a_delay() {
    let mut stage = Stage::serving();
    stage.supervisor.limits.stop_delay = Duration::from_secs(5);
    let (drain, term) = (Event::StopAsked(Asker::Drain), Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(stage.step(drain.clone()), []);
    assert!(!stage.supervisor.is_ready() && stage.supervisor.serving().is_some());
    assert_eq!(stage.step(drain), [], "asked twice means nothing");
    let begun = [Action::ReleaseCustody, Action::Drain(generation(1))];
    assert_eq!(stage.later(Duration::from_secs(5)), begun);
    // A second request need not wait.
    let mut stage = Stage::serving();
    stage.supervisor.limits.stop_delay = Duration::from_secs(5);
    assert_eq!(stage.step(term.clone()), []);
    assert_eq!(stage.step(term), begun);
}

/// It had asked before another one served, and is heard only now: it would begin with nothing, beside the one that serves.
#[test]
fn one_that_was_taken_over_gives_nothing_to_a_third_one() {
    let mut stage = superseded();
    stage.step(Event::SuccessorSettled(PEER));
    let declined = [Action::Decline(Peer(9), Declined::Superseded)];
    assert_eq!(stage.step(Event::TakeoverAsked(Peer(9))), declined);

    let mut stopped = superseded();
    stopped.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(stopped.step(Event::TakeoverAsked(Peer(9))), declined);
    stopped.step(Event::PeerGone(PEER));
    assert_eq!(stopped.step(Event::TakeoverAsked(Peer(9))), declined);

    let mut gives_back = on_probation();
    gives_back.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(gives_back.step(Event::TakeoverAsked(Peer(9))), declined);
}
