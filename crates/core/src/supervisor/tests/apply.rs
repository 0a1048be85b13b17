//! Applying at run time: what is planned, what the plan comes to, and what serves afterwards.

use super::*;

const HUP: Asker = Asker::Signal("SIGHUP");

fn apply(number: u64) -> Event {
    Event::ApplyAsked(RequestId(number))
}

fn planned(number: u32, planned: Planned) -> Event {
    Event::Planned { generation: generation(number), planned }
}

fn at_run_time() -> Planned {
    Planned::RunTime { tally: "1 server added".to_owned(), commands: 4 }
}

fn done(number: u32) -> Event {
    Event::Applied { generation: generation(number), outcome: ApplyOutcome::Done { commands: 4 } }
}

fn broken(number: u32) -> Event {
    let outcome = ApplyOutcome::Broken { steps_done: 2, why: "no such server".to_owned() };
    Event::Applied { generation: generation(number), outcome }
}

fn prepare(number: u32) -> Action {
    Action::Prepare(generation(number), Source::Disk)
}

fn prepare_again(number: u32, former: u32) -> Action {
    Action::Prepare(generation(number), Source::Served(generation(former)))
}

fn adopt(number: u32, serving: u32) -> Action {
    Action::Adopt { generation: generation(number), serving: generation(serving) }
}

fn commit(stage: &mut Stage, number: u32) -> Vec<Action> {
    stage.launch(number, PlumbingDemand::NotNeeded);
    stage.prove(number)
}

/// One that plans every reload, whose generation 1 serves.
fn auto() -> Stage {
    let mut stage = Stage::new();
    stage.supervisor = Supervisor::new(Limits { apply: ApplySetting::Auto, ..LIMITS });
    assert_eq!(stage.step(Event::Begin), [prepare(1)], "a start is not planned");
    assert_eq!(commit(&mut stage, 1), [Action::Commit(generation(1))]);
    stage
}

/// This number is applied to generation 1.
fn applied(stage: &mut Stage, number: u32) {
    assert_eq!(stage.step(apply(u64::from(number))), [Action::Plan(generation(number))]);
    assert_eq!(stage.step(planned(number, at_run_time())), [Action::Apply(generation(number))]);
    assert_eq!(stage.step(done(number))[0], adopt(number, 1));
}

fn last(stage: &Stage) -> Attempted {
    stage.supervisor.status(stage.now).last_attempt.unwrap()
}

fn has(stage: &Stage) -> Generation {
    stage.supervisor.lives[&generation(1)].configuration
}

#[test]
fn what_can_be_applied_starts_no_process_and_serves_under_its_number() {
    let mut stage = Stage::serving();
    assert_eq!(stage.step(apply(7)), [Action::Plan(generation(2))]);
    stage.now += Duration::from_millis(3);
    assert_eq!(stage.step(planned(2, at_run_time())), [Action::Apply(generation(2))]);
    stage.now += Duration::from_millis(5);
    let what = Applied::AtRunTime { tally: "1 server added".to_owned(), commands: 4 };
    let (two, one) = (generation(2), generation(1));
    let answer = Answer::Applied { generation: two, serving: one, applied: what.clone() };
    assert_eq!(stage.step(done(2)), [adopt(2, 1), Action::Answer(RequestId(7), answer)]);
    assert_eq!((stage.supervisor.serving(), has(&stage)), (Some(one), two));
    let last = last(&stage);
    assert_eq!((last.result, last.applied, last.cause), (AttemptResult::Applied, Some(what), Cause::Reload));
    let steps = Steps { plan: Duration::from_millis(3), apply: Duration::from_millis(5), ..Steps::default() };
    assert_eq!((last.steps, last.by), (steps, vec![Asker::Apply(RequestId(7))]));
}

#[test]
fn without_the_setting_a_reload_is_a_reload() {
    let mut stage = Stage::serving();
    assert_eq!(stage.step(Event::ReloadAsked(HUP)), [prepare(2)]);
}

#[test]
fn with_the_setting_each_reload_that_is_asked_for_is_planned() {
    for by in [HUP, Asker::Watch, Asker::Admin(RequestId(1))] {
        assert_eq!(auto().step(Event::ReloadAsked(by)), [Action::Plan(generation(2))], "{by}");
    }
}

#[test]
fn what_was_changed_behind_our_back_is_reloaded() {
    let mut stage = auto();
    let replaced = || Event::Replaced { generation: generation(1), worker: 99 };
    assert_eq!(stage.step(replaced()), [prepare(2)]);
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.exit(2, "exit code 1");
    assert_eq!(stage.step(Event::ReloadAsked(HUP)), [prepare(3)], "it is not known what that worker has");
    // In the middle of a plan, and while it is applied.
    let mut stage = auto();
    stage.step(apply(1));
    stage.step(replaced());
    assert_eq!(stage.step(planned(2, at_run_time())), [prepare(2)]);
    let mut stage = auto();
    stage.step(apply(1));
    stage.step(planned(2, at_run_time()));
    stage.step(replaced());
    assert_eq!(stage.step(done(2)), [prepare(2)]);
    let next = commit(&mut stage, 2);
    assert_eq!(next.last(), Some(&prepare(3)), "that of the master follows");
}

#[test]
fn where_none_serves_nothing_is_planned() {
    let mut stage = auto();
    stage.exit(1, "killed by SIGSEGV");
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.exit(2, "exit code 1");
    assert!(stage.supervisor.serving().is_none() && stage.supervisor.attempt.is_none());
    assert_eq!(stage.step(apply(1)), [prepare(3)]);
}

#[test]
fn what_is_the_same_is_what_is_on_disk_and_no_more() {
    let mut stage = Stage::serving();
    stage.step(apply(1));
    let answer = stage.step(planned(2, Planned::Same));
    let (two, one) = (generation(2), generation(1));
    let same = Answer::Applied { generation: two, serving: one, applied: Applied::Nothing };
    assert_eq!(answer, [adopt(2, 1), Action::Answer(RequestId(1), same)]);
    assert_eq!((has(&stage), last(&stage).result), (two, AttemptResult::Applied));
}

#[test]
fn what_cannot_be_applied_is_reloaded_under_the_same_number_with_the_reason() {
    let mut stage = Stage::serving();
    stage.step(apply(1));
    let reasons = vec!["`global` has changed".to_owned()];
    assert_eq!(stage.step(planned(2, Planned::Reload { reasons: reasons.clone() })), [prepare(2)]);
    let actions = commit(&mut stage, 2);
    let Some(Action::Answer(_, Answer::Serving { applied, .. })) = actions.last() else {
        panic!("{actions:?}")
    };
    assert_eq!(*applied, Some(Applied::Not { reasons }));
    assert_eq!((last(&stage).result, &last(&stage).applied), (AttemptResult::Took, applied));
}

#[test]
fn a_plan_that_takes_too_long_is_a_reload_and_comes_too_late() {
    let mut stage = Stage::serving();
    stage.step(apply(1));
    assert_eq!(stage.later(PLAN_DEADLINE), [prepare(2)]);
    assert_eq!(stage.step(planned(2, at_run_time())), []);
    assert_eq!(commit(&mut stage, 2)[0], Action::Commit(generation(2)));
}

#[test]
fn files_that_cannot_be_read_change_nothing() {
    let mut stage = Stage::serving();
    stage.step(apply(1));
    let failure = failure(ExitCode::ConfigurationRefused);
    let failed = Event::Failed { generation: generation(2), failure: failure.clone() };
    let answer = Action::Answer(RequestId(1), Answer::Refused(failure));
    assert_eq!(stage.step(failed), [Action::Abandon(generation(2)), answer]);
    assert_eq!((stage.supervisor.serving(), has(&stage)), (Some(generation(1)), generation(1)));
    assert_eq!(stage.supervisor.due(), None);
}

#[test]
fn what_breaks_off_is_reloaded_whatever_comes_afterwards() {
    for breaks in [
        broken(2),
        Event::TimePassed,
        Event::Failed { generation: generation(2), failure: failure(ExitCode::Internal) },
    ] {
        let mut stage = Stage::serving();
        stage.step(apply(1));
        stage.step(planned(2, at_run_time()));
        if breaks == Event::TimePassed {
            stage.now += APPLY_DEADLINE;
        }
        assert_eq!(stage.step(breaks), [prepare(2)]);
        assert_eq!(stage.step(done(2)), [], "too late");
        assert_eq!(commit(&mut stage, 2)[..2], [Action::Commit(generation(2)), Action::Drain(generation(1))]);
        assert!(matches!(last(&stage).applied, Some(Applied::Broken { .. })), "{:?}", last(&stage));
        assert_eq!(stage.supervisor.due(), None);
    }
}

#[test]
fn half_of_a_change_does_not_stay_though_the_reload_after_it_fails() {
    let mut stage = auto();
    stage.step(apply(1));
    stage.step(planned(2, at_run_time()));
    stage.step(broken(2));
    stage.launch(2, PlumbingDemand::NotNeeded);
    let refused = stage.exit(2, "exit code 1");
    assert!(matches!(refused[1], Action::Answer(RequestId(1), Answer::Refused(_))), "{refused:?}");
    // What it was started from, then what is on disk, in turns.
    assert_eq!(refused.last(), Some(&prepare_again(3, 1)));
    stage.launch(3, PlumbingDemand::NotNeeded);
    stage.exit(3, "exit code 1");
    // Meanwhile nothing is planned, and nothing is tried.
    assert!(matches!(stage.step(Event::TrialAsked(RequestId(2)))[..], [Action::Answer(..)]));
    assert_eq!(stage.later(Duration::from_millis(100)), [prepare(4)]);
    let committed = commit(&mut stage, 4);
    assert_eq!(committed[..2], [Action::Commit(generation(4)), Action::Drain(generation(1))]);
    assert_eq!((last(&stage).cause, last(&stage).by), (Cause::Mend, Vec::new()));
    assert_eq!(stage.supervisor.due(), None);
}

#[test]
fn a_reload_that_is_asked_for_puts_half_of_a_change_right() {
    let mut stage = auto();
    stage.step(apply(1));
    stage.step(planned(2, at_run_time()));
    stage.step(broken(2));
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.exit(2, "exit code 1");
    stage.launch(3, PlumbingDemand::NotNeeded);
    stage.exit(3, "exit code 1");
    assert_eq!(stage.step(Event::ReloadAsked(HUP)), [prepare(4)], "no plan");
    commit(&mut stage, 4);
    assert_eq!(stage.step(Event::ReloadAsked(HUP)), [Action::Plan(generation(5))]);
}

#[test]
fn while_another_one_has_the_sockets_half_of_a_change_stays_until_it_is_gone() {
    let mut stage = Stage::serving();
    stage.step(apply(1));
    stage.step(planned(2, at_run_time()));
    assert_eq!(stage.step(Event::TakeoverAsked(Peer(1))), [], "it waits");
    stage.step(broken(2));
    stage.launch(2, PlumbingDemand::NotNeeded);
    let refused = stage.exit(2, "exit code 1");
    // The restart has begun before.
    assert_eq!(refused.last(), Some(&prepare_again(3, 1)));
    stage.launch(3, PlumbingDemand::NotNeeded);
    assert_eq!(stage.exit(3, "exit code 1").last(), Some(&Action::HandOver(Peer(1))));
    let due = stage.supervisor.due();
    assert!(due.is_some_and(|at| at > stage.now + Duration::from_secs(1)), "{due:?}");
    assert_eq!(stage.later(Duration::from_secs(1)), []);
    assert_eq!(stage.step(Event::PeerGone(Peer(1))), [prepare(4)]);
}

#[test]
fn what_is_asked_for_while_it_is_applied_is_planned_against_the_result() {
    let mut stage = auto();
    stage.step(apply(1));
    stage.step(planned(2, at_run_time()));
    assert_eq!(stage.step(Event::ReloadAsked(HUP)), []);
    assert_eq!(stage.step(apply(2)), []);
    assert_eq!(stage.step(done(2)).last(), Some(&Action::Plan(generation(3))));
    stage.step(planned(3, at_run_time()));
    let actions = stage.step(done(3));
    assert_eq!(actions[0], adopt(3, 1));
    assert!(matches!(actions[1..], [Action::Answer(RequestId(2), Answer::Applied { .. })]), "{actions:?}");
}

#[test]
fn a_reload_that_is_meant_is_one_for_all_that_wait_with_it() {
    let mut stage = Stage::serving();
    stage.step(apply(1));
    stage.step(apply(2));
    stage.step(Event::ReloadAsked(HUP));
    assert_eq!(stage.step(planned(2, Planned::Same)).last(), Some(&prepare(3)));
    assert!(matches!(
        commit(&mut stage, 3).last(),
        Some(Action::Answer(RequestId(2), Answer::Serving { applied: None, .. }))
    ));
}

#[test]
fn a_crash_afterwards_starts_what_was_applied() {
    let mut stage = Stage::serving();
    stage.now += PROBATION;
    applied(&mut stage, 2);
    // Even at once: it has lived for long without dying of what was applied, and what is new is not lost.
    let mut soon = stage;
    assert_eq!(soon.exit(1, "killed by SIGSEGV"), [prepare_again(3, 2)]);
    commit(&mut soon, 3);
    // But if it dies of that, what it had before is started.
    assert_eq!(soon.exit(3, "killed by SIGSEGV"), [], "a pause");
    assert_eq!(soon.later(Duration::from_millis(100)), [prepare_again(4, 1)]);
}

#[test]
fn what_has_served_for_long_after_it_was_applied_is_trusted() {
    let mut stage = Stage::serving();
    stage.now += PROBATION;
    applied(&mut stage, 2);
    stage.now += PROBATION;
    assert_eq!(stage.exit(1, "killed by SIGSEGV"), [prepare_again(3, 2)]);
    commit(&mut stage, 3);
    stage.exit(3, "killed by SIGSEGV");
    assert_eq!(stage.later(Duration::from_millis(100)), [prepare_again(4, 2)]);
}

#[test]
fn a_rollback_brings_back_what_served_before_it_was_applied_by_a_reload() {
    let mut stage = auto();
    stage.now += PROBATION;
    applied(&mut stage, 2);
    let rollback = |number| Event::RollbackAsked(RequestId(number));
    assert_eq!(stage.step(rollback(7)), [prepare_again(3, 1)]);
    commit(&mut stage, 3);
    let rolled_back = stage.supervisor.status(stage.now).rolled_back.unwrap();
    assert_eq!((rolled_back.to, rolled_back.from), (generation(1), generation(2)));
    // What is on disk is applied again, and that was the end of the rollback.
    stage.step(Event::ReloadAsked(HUP));
    let former = Event::SameFiles { generation: generation(4), former: generation(2) };
    assert_eq!(stage.step(former), []);
    stage.step(planned(4, at_run_time()));
    assert_eq!(stage.step(done(4)), [adopt(4, 3)]);
    assert_eq!(stage.supervisor.status(stage.now).rolled_back, None);
    assert_eq!(stage.step(rollback(8)), [prepare_again(5, 1)]);
}

#[test]
fn what_was_the_same_is_not_before() {
    let mut stage = Stage::serving();
    stage.step(apply(1));
    stage.step(Event::SameFiles { generation: generation(2), former: generation(1) });
    stage.step(planned(2, Planned::Same));
    let answer = stage.step(Event::RollbackAsked(RequestId(2)));
    let [Action::Answer(_, Answer::Refused(failure))] = &answer[..] else { panic!("{answer:?}") };
    assert_eq!(failure.code, ExitCode::NothingBefore);
}

#[test]
fn what_may_be_wanted_again_is_remembered() {
    let mut stage = Stage::serving();
    stage.now += PROBATION;
    stage.step(apply(1));
    stage.step(planned(2, at_run_time()));
    let actions = stage.supervisor.step(done(2), stage.now);
    let place = |wanted: &Action| actions.iter().position(|action| action == wanted);
    let (adopts, remembers) =
        (place(&adopt(2, 1)), actions.iter().position(|one| matches!(one, Action::RememberOnly(_))));
    assert!(adopts.is_some() && adopts < remembers, "{actions:?}");
    let Some(Action::RememberOnly(wanted)) = remembers.map(|place| &actions[place]) else { panic!() };
    assert!(wanted.contains(&generation(1)) && wanted.contains(&generation(2)), "{wanted:?}");
}

#[test]
fn a_crash_during_the_plan_starts_what_served_and_then_what_was_asked_for() {
    let mut stage = auto();
    stage.now += PROBATION;
    stage.step(apply(1));
    stage.step(Event::ReloadAsked(HUP));
    assert_eq!(stage.exit(1, "killed by SIGSEGV"), [Action::Abandon(generation(2)), prepare_again(3, 1)]);
    assert_eq!(stage.step(planned(2, at_run_time())), [], "too late");
    let committed = commit(&mut stage, 3);
    assert_eq!(
        committed,
        [Action::Commit(generation(3)), prepare(4)],
        "one that dies again and again is not planned for"
    );
    assert_eq!(commit(&mut stage, 4).len(), 3, "committed, drained, answered");
    assert_eq!(last(&stage).by, [Asker::Apply(RequestId(1)), HUP]);
    assert_eq!(stage.step(apply(2)), [Action::Plan(generation(5))]);
}

#[test]
fn what_is_asked_for_after_a_crash_during_a_plan_does_not_wait_for_the_restart() {
    let mut stage = auto();
    stage.exit(1, "killed by SIGSEGV");
    commit(&mut stage, 2);
    stage.step(apply(9));
    assert_eq!(stage.exit(2, "killed by SIGSEGV"), [Action::Abandon(generation(3))], "a pause");
    assert_eq!(stage.step(apply(10)), [prepare(4)]);
    let answered = commit(&mut stage, 4);
    for request in [9, 10] {
        let is_its =
            |action: &&Action| matches!(action, Action::Answer(RequestId(one), _) if *one == request);
        assert_eq!(answered.iter().filter(is_its).count(), 1, "{answered:?}");
    }
}

#[test]
fn a_crash_while_it_is_applied_starts_what_was_read_for_it() {
    let mut stage = Stage::serving();
    stage.now += PROBATION;
    stage.step(apply(1));
    stage.step(planned(2, at_run_time()));
    assert_eq!(stage.exit(1, "killed by SIGSEGV"), [prepare_again(2, 2)]);
    assert_eq!(stage.step(broken(2)), []);
    let committed = commit(&mut stage, 2);
    assert_eq!(committed[0], Action::Commit(generation(2)));
    assert!(matches!(committed[1], Action::Answer(RequestId(1), Answer::Serving { .. })), "{committed:?}");
    // It came from the disk: what served before it is known.
    assert_eq!(stage.step(Event::RollbackAsked(RequestId(2))), [prepare_again(3, 1)]);
}

#[test]
fn a_refusal_after_a_crash_while_it_was_applied_starts_what_served() {
    let mut stage = Stage::serving();
    stage.now += PROBATION;
    stage.step(apply(1));
    stage.step(planned(2, at_run_time()));
    stage.exit(1, "killed by SIGSEGV");
    stage.launch(2, PlumbingDemand::NotNeeded);
    assert_eq!(stage.exit(2, "exit code 1").last(), Some(&prepare_again(3, 1)));
}

#[test]
fn a_stop_gives_up_what_is_planned_or_applied() {
    for is_applying in [false, true] {
        let mut stage = Stage::serving();
        stage.step(apply(1));
        if is_applying {
            stage.step(planned(2, at_run_time()));
        }
        let actions = stage.step(Event::StopAsked(HUP));
        let answer = Action::Answer(RequestId(1), Answer::Stopping);
        assert_eq!(actions[..2], [answer, Action::Abandon(generation(2))]);
        assert_eq!(stage.step(planned(2, at_run_time())), []);
        assert_eq!(stage.step(done(2)), []);
        assert_eq!(stage.step(apply(2)), [Action::Answer(RequestId(2), Answer::Stopping)]);
    }
}

#[test]
fn a_takeover_waits_for_what_is_applied() {
    let mut stage = Stage::serving();
    stage.step(apply(1));
    assert_eq!(stage.step(Event::TakeoverAsked(Peer(1))), []);
    stage.step(planned(2, at_run_time()));
    assert_eq!(stage.step(done(2)).last(), Some(&Action::HandOver(Peer(1))));
    assert_eq!(stage.step(apply(2)), [], "it waits");
    // It comes back with what was applied.
    stage.step(Event::Superseded(Peer(1)));
    let back = stage.step(Event::PeerGone(Peer(1)));
    assert_eq!(back.last(), Some(&prepare_again(3, 2)));
}

#[test]
fn the_programs_of_a_generation_belong_to_its_start() {
    let mut stage = Stage::serving();
    applied(&mut stage, 2);
    let section = programs::ProgramSpec {
        name: "a".to_owned(),
        command: vec!["true".to_owned()],
        user: None,
        group: None,
        on_reload: programs::OnReload::Anew,
    };
    let told = Event::Programs {
        generation: generation(1),
        sections: vec![section],
        on_death: programs::OnDeath::Restart,
    };
    assert!(matches!(stage.step(told)[..], [Action::Program(programs::ProgramAction::Start(..))]));
}
