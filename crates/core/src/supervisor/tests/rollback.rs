//! Rollbacks: what they bring back, when there is nothing, and what undoes them.

use super::*;

fn rollback(number: u64) -> Event {
    Event::RollbackAsked(RequestId(number))
}

fn commit(stage: &mut Stage, number: u32) -> Vec<Action> {
    stage.launch(number, PlumbingDemand::NotNeeded);
    stage.prove(number)
}

fn reload(stage: &mut Stage, number: u32) {
    let asked = stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    assert_eq!(asked, [Action::Prepare(generation(number), Source::Disk)]);
    commit(stage, number);
}

/// The same with files that have not changed.
fn reload_the_same(stage: &mut Stage, number: u32, former: u32) {
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    let same = Event::SameFiles { generation: generation(number), former: generation(former) };
    assert_eq!(stage.step(same), []);
    commit(stage, number);
}

/// Generation 1 has served, and generation 2 serves with other files.
fn reloaded() -> Stage {
    let mut stage = Stage::serving();
    stage.now += PROBATION;
    reload(&mut stage, 2);
    stage.now += PROBATION;
    stage
}

fn refusal(actions: &[Action]) -> &Failure {
    let [Action::Answer(_, Answer::Refused(failure))] = actions else { panic!("{actions:?}") };
    failure
}

#[test]
fn what_served_before_serves_again_and_the_status_says_since_when() {
    let mut stage = reloaded();
    let brings = Source::Served(generation(1));
    assert_eq!(stage.step(rollback(7)), [Action::Prepare(generation(3), brings)]);
    let rolled_back = RolledBack { to: generation(1), from: generation(2), since: stage.now };
    let committed = commit(&mut stage, 3);
    let Some(Action::Answer(RequestId(7), answer)) = committed.last() else { panic!("{committed:?}") };
    let Answer::Serving { rolled_back: told, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(*told, Some(rolled_back));
    let status = stage.supervisor.status(stage.now);
    assert_eq!(status.rolled_back, Some(rolled_back));
    let last = status.last_attempt.unwrap();
    assert_eq!((last.cause, last.by), (Cause::Rollback, vec![Asker::Rollback(RequestId(7))]));
    // What is on the disk is taken when that is asked for, and what served before it is known again.
    reload(&mut stage, 4);
    assert_eq!(stage.supervisor.status(stage.now).rolled_back, None);
    assert_eq!(stage.step(rollback(8)), [Action::Prepare(generation(5), brings)]);
}

#[test]
fn where_nothing_served_before_it_is_refused_and_nothing_begins() {
    let mut stage = Stage::serving();
    let answer = stage.step(rollback(1));
    assert_eq!(refusal(&answer).code, ExitCode::NothingBefore);
    assert!(stage.supervisor.attempt.is_none());
    // Not the same files twice.
    reload_the_same(&mut stage, 2, 1);
    assert_eq!(refusal(&stage.step(rollback(2))).code, ExitCode::NothingBefore);
}

#[test]
fn a_second_rollback_does_not_bring_back_what_was_left() {
    let mut stage = reloaded();
    stage.step(rollback(1));
    commit(&mut stage, 3);
    let answer = stage.step(rollback(2));
    let Failure { code, message, .. } = refusal(&answer);
    assert_eq!(*code, ExitCode::NothingBefore);
    assert!(message.contains("generation 1 ") && message.contains("generation 2"), "{message}");
}

#[test]
fn what_served_with_the_same_files_is_passed_over() {
    let mut stage = reloaded();
    reload_the_same(&mut stage, 3, 2);
    // It has died and was started again.
    stage.now += PROBATION;
    let again = stage.exit(3, "killed by SIGSEGV");
    assert_eq!(again, [Action::Prepare(generation(4), Source::Served(generation(3)))]);
    commit(&mut stage, 4);
    assert_eq!(stage.step(rollback(1)), [Action::Prepare(generation(5), Source::Served(generation(1)))]);
}

#[test]
fn files_that_are_put_back_and_reloaded_leave_the_others_before() {
    let mut stage = reloaded();
    reload_the_same(&mut stage, 3, 1);
    assert_eq!(stage.step(rollback(1)), [Action::Prepare(generation(4), Source::Served(generation(2)))]);
}

#[test]
fn what_was_rolled_back_to_is_started_again_even_if_it_dies_young() {
    let mut stage = reloaded();
    stage.step(rollback(1));
    commit(&mut stage, 3);
    let rolled_back = stage.supervisor.status(stage.now).rolled_back;
    let again = stage.exit(3, "killed by SIGSEGV");
    assert_eq!(again, [Action::Prepare(generation(4), Source::Served(generation(1)))]);
    commit(&mut stage, 4);
    assert_eq!(stage.supervisor.status(stage.now).rolled_back, rolled_back);
}

#[test]
fn a_rollback_that_fails_changes_nothing() {
    let mut stage = reloaded();
    stage.step(rollback(1));
    stage.launch(3, PlumbingDemand::NotNeeded);
    let actions = stage.exit(3, "exit code 1");
    assert!(matches!(actions.last(), Some(Action::Answer(RequestId(1), Answer::Refused(_)))), "{actions:?}");
    assert_eq!(stage.supervisor.serving(), Some(generation(2)));
    assert_eq!(stage.supervisor.status(stage.now).rolled_back, None);
    assert_eq!(stage.step(rollback(2)), [Action::Prepare(generation(4), Source::Served(generation(1)))]);
}

#[test]
fn a_crash_that_went_back_leaves_nothing_before() {
    let mut stage = Stage::serving();
    stage.now += PROBATION;
    reload(&mut stage, 2);
    let back = stage.exit(2, "killed by SIGSEGV");
    assert_eq!(back, [Action::Prepare(generation(3), Source::Served(generation(1)))]);
    commit(&mut stage, 3);
    assert_eq!(refusal(&stage.step(rollback(1))).code, ExitCode::NothingBefore, "it dies young");
    assert_eq!(stage.supervisor.status(stage.now).rolled_back, None, "none was asked for");
}

#[test]
fn requests_that_wait_are_dealt_with_in_their_order() {
    let mut stage = reloaded();
    let hup = || Event::ReloadAsked(Asker::Signal("SIGHUP"));
    stage.step(hup());
    for event in [hup(), rollback(1), rollback(2), hup()] {
        assert_eq!(stage.step(event), [], "it waits");
    }
    assert_eq!(commit(&mut stage, 3).last(), Some(&Action::Prepare(generation(4), Source::Disk)));
    // What generation 4 has taken the place of.
    let next = commit(&mut stage, 4);
    assert_eq!(next.last(), Some(&Action::Prepare(generation(5), Source::Served(generation(3)))));
    let answered = commit(&mut stage, 5);
    for request in [1, 2] {
        let is_answered = |action: &Action| matches!(action, Action::Answer(RequestId(one), Answer::Serving { rolled_back: Some(_), .. }) if *one == request);
        assert!(answered.iter().any(is_answered), "{request}: {answered:?}");
    }
    assert_eq!(answered.last(), Some(&Action::Prepare(generation(6), Source::Disk)), "the last one counts");
}

#[test]
fn where_none_serves_a_rollback_does_not_wait_for_the_next_start() {
    let mut stage = reloaded();
    stage.exit(2, "killed by SIGSEGV");
    stage.launch(3, PlumbingDemand::NotNeeded);
    stage.exit(3, "exit code 1");
    assert!(stage.supervisor.due().is_some(), "a pause");
    assert_eq!(stage.step(rollback(1)), [Action::Prepare(generation(4), Source::Served(generation(1)))]);
    commit(&mut stage, 4);
    assert!(stage.supervisor.status(stage.now).rolled_back.is_some());
}

#[test]
fn one_that_stops_or_was_superseded_rolls_nothing_back() {
    let mut stage = reloaded();
    stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(stage.step(rollback(1)), [Action::Answer(RequestId(1), Answer::Stopping)]);
}
