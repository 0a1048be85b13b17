//! The rules one by one; `simulation` throws everything at them together.

use super::*;
use crate::settings::ApplySetting;
use crate::signal::Signal;

mod apply;
mod attempted;
mod rollback;
mod simulation;
mod takeover;

const LIMITS: Limits = Limits {
    stop_delay: Duration::ZERO,
    takeover_drain: Duration::from_mins(1),
    drain: Duration::from_secs(295),
    ready: Duration::from_mins(10),
    settle: Duration::ZERO,
    old: Budget { generations: 50, age: None, memory: None },
    apply: ApplySetting::Reload,
    interrupted: ExitCode::Interrupted,
};

fn proof(worker: u32) -> Proof {
    Proof { worker, adopted: Vec::new(), fresh: vec!["127.0.0.1:80".into()], unclaimed: Vec::new() }
}

fn serving(number: u32, worker: u32) -> Answer {
    Answer::Serving {
        generation: generation(number),
        proof: proof(worker),
        moved: Vec::new(),
        carried: Carried::default(),
        rolled_back: None,
        applied: None,
    }
}

fn switched(number: u32) -> Event {
    Event::Switched { generation: generation(number), moved: Vec::new() }
}

fn failure(code: ExitCode) -> Failure {
    Failure::new(code, "no")
}

fn generation(number: u32) -> Generation {
    (1..number).fold(Generation::FIRST, |generation, _| generation.next())
}

fn end(how: &str) -> End {
    let number = || how.strip_prefix("exit code ").and_then(|code| code.parse().ok());
    let signal = || (1..32).map(Signal).find(|signal| how == format!("killed by {signal}"));
    let unclean = match (how, number()) {
        ("exit code 0", _) => return End::Clean,
        (_, Some(code)) => Unclean::Code(code),
        _ => Unclean::Signal(signal().expect("an exit code or a signal")),
    };
    let end = End::Unclean(unclean);
    assert_eq!(end.to_string(), how);
    end
}

/// A supervisor whose shell does what it is told, at once.
struct Stage {
    supervisor: Supervisor,
    now: Duration,
    /// `mworker-max-reloads` in what is prepared.
    most_reloads: Option<u32>,
}

impl Stage {
    fn new() -> Self {
        Self { supervisor: Supervisor::new(LIMITS), now: Duration::ZERO, most_reloads: None }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        let mut done = Vec::new();
        for action in self.supervisor.step(event, self.now) {
            match action {
                Action::Report(_) | Action::RememberOnly(_) | Action::Attempted(_) => {}
                Action::Carry(generation) => {
                    done.extend(self.step(Event::Carried { generation, carried: Carried::default() }));
                }
                action => done.push(action),
            }
        }
        done
    }

    fn later(&mut self, duration: Duration) -> Vec<Action> {
        self.now += duration;
        self.step(Event::TimePassed)
    }

    fn launch(&mut self, number: u32, plumbing: PlumbingDemand) {
        self.launch_so(number, plumbing, Strictness::Strict);
    }

    fn launch_so(&mut self, number: u32, plumbing: PlumbingDemand, strictness: Strictness) {
        let generation = generation(number);
        assert_eq!(
            self.step(Event::Prepared { generation, plumbing, most_reloads: self.most_reloads }),
            [Action::Launch(generation, strictness)]
        );
        assert_eq!(self.step(Event::Started { generation, pid: number * 10 }), []);
    }

    fn prove(&mut self, number: u32) -> Vec<Action> {
        self.step(Event::Proved { generation: generation(number), proof: proof(number * 10 + 1) })
    }

    /// It ends, and its last words are heard at once.
    fn exit(&mut self, number: u32, how: &str) -> Vec<Action> {
        let mut actions = self.gone(number, how);
        actions.extend(self.words(number));
        actions
    }

    fn gone(&mut self, number: u32, how: &str) -> Vec<Action> {
        self.step(Event::Exited { generation: generation(number), end: end(how) })
    }

    fn words(&mut self, number: u32) -> Vec<Action> {
        let failure = failure(ExitCode::ConfigurationRefused);
        self.step(Event::LastWords { generation: generation(number), failure })
    }

    fn serving() -> Self {
        let mut stage = Self::new();
        assert_eq!(stage.step(Event::Begin), [Action::Prepare(generation(1), Source::Disk)]);
        stage.launch(1, PlumbingDemand::NotNeeded);
        assert_eq!(stage.prove(1), [Action::Commit(generation(1))]);
        stage
    }
}

#[test]
fn a_first_start_that_fails_leaves_with_its_code_and_a_clean_kernel() {
    let mut stage = Stage::new();
    stage.step(Event::Begin);
    stage.launch(1, PlumbingDemand::Needed);
    let end = stage.exit(1, "exit code 1");
    assert!(end.ends_with(&[
        Action::ReleaseCustody,
        Action::Unplumb,
        Action::Exit(ExitCode::ConfigurationRefused)
    ]));
    assert_eq!(stage.step(Event::Begin), [], "it has left");
}

#[test]
fn a_reload_commits_before_it_drains_and_answers_last() {
    let mut stage = Stage::serving();
    let asker = Asker::Admin(RequestId(7));
    assert_eq!(stage.step(Event::ReloadAsked(asker)), [Action::Prepare(generation(2), Source::Disk)]);
    stage.launch(2, PlumbingDemand::NotNeeded);
    assert_eq!(
        stage.prove(2),
        [
            Action::Commit(generation(2)),
            Action::Drain(generation(1)),
            Action::Answer(RequestId(7), serving(2, 21))
        ]
    );
    assert_eq!(stage.supervisor.serving(), Some(generation(2)));
    assert_eq!(stage.exit(1, "exit code 0"), []);
}

#[test]
fn a_broken_reload_changes_nothing() {
    let mut stage = Stage::serving();
    stage.step(Event::ReloadAsked(Asker::Admin(RequestId(1))));
    stage.launch(2, PlumbingDemand::NotNeeded);
    let refused = failure(ExitCode::ConfigurationRefused);
    assert_eq!(
        stage.exit(2, "exit code 1"),
        [Action::Abandon(generation(2)), Action::Answer(RequestId(1), Answer::Refused(refused))]
    );
    assert_eq!(stage.supervisor.serving(), Some(generation(1)));
}

#[test]
fn requests_during_a_reload_become_one_more() {
    let mut stage = Stage::serving();
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    for _ in 0..400 {
        assert_eq!(stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP"))), []);
    }
    assert_eq!(stage.step(Event::ReloadAsked(Asker::Admin(RequestId(1)))), []);
    stage.launch(2, PlumbingDemand::NotNeeded);
    assert!(stage.prove(2).ends_with(&[Action::Prepare(generation(3), Source::Disk)]));
    stage.launch(3, PlumbingDemand::NotNeeded);
    let end = stage.prove(3);
    assert_eq!(end.last(), Some(&Action::Answer(RequestId(1), serving(3, 31))));
    assert_eq!(stage.supervisor.due(), None);
}

#[test]
fn an_attempt_that_times_out_is_asked_to_finish_and_asked_again_if_it_proves_itself_late() {
    let mut stage = Stage::serving();
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(2, PlumbingDemand::NotNeeded);
    let actions = stage.later(LIMITS.ready);
    assert_eq!(actions, [Action::Abandon(generation(2)), Action::Drain(generation(2))]);
    assert_eq!(stage.prove(2), [Action::Abandon(generation(2)), Action::Drain(generation(2))]);
    assert_eq!(stage.supervisor.serving(), Some(generation(1)));
}

/// When generation 2 is told again to drain, in milliseconds after it was told.
fn reminders(stage: &mut Stage) -> Vec<u128> {
    let told = stage.now;
    let mut times = Vec::new();
    while let Some(at) = stage.supervisor.due().filter(|at| *at < told + Duration::from_mins(1)) {
        stage.now = at;
        let actions = stage.step(Event::TimePassed);
        assert_eq!(actions, [Action::Drain(generation(2))]);
        times.push(at.saturating_sub(told).as_millis());
    }
    times
}

#[test]
fn what_may_not_have_heard_that_it_is_to_drain_is_told_again() {
    let mut stage = Stage::serving();
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.later(LIMITS.ready);
    assert_eq!(reminders(&mut stage), [100, 300, 800, 2_800, 12_800]);
}

#[test]
fn what_has_proved_itself_late_hears_that_it_is_to_drain() {
    let mut stage = Stage::serving();
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.later(LIMITS.ready);
    assert_eq!(stage.later(Duration::from_millis(100)), [Action::Drain(generation(2))]);
    stage.prove(2);
    assert_eq!(reminders(&mut stage), []);
}

#[test]
fn the_end_of_a_process_tells_more_than_its_closed_socket() {
    let mut stage = Stage::serving();
    stage.step(Event::ReloadAsked(Asker::Admin(RequestId(1))));
    stage.launch(2, PlumbingDemand::NotNeeded);
    let closed = Failure { closed: true, ..failure(ExitCode::NotReady) };
    assert_eq!(stage.step(Event::Failed { generation: generation(2), failure: closed }), []);
    let refused = failure(ExitCode::ConfigurationRefused);
    assert!(stage.exit(2, "exit code 1").contains(&Action::Answer(RequestId(1), Answer::Refused(refused))));
}

#[test]
fn a_crash_restarts_at_once_and_a_crash_loop_pauses_longer_and_longer() {
    let mut stage = Stage::serving();
    stage.now += PROVEN_AGE;
    let again = Source::Served(generation(1));
    assert_eq!(stage.exit(1, "killed by SIGSEGV"), [Action::Prepare(generation(2), again)]);
    let mut pauses = Vec::new();
    for number in 2..14 {
        stage.launch(number, PlumbingDemand::NotNeeded);
        stage.prove(number);
        assert_eq!(stage.exit(number, "killed by SIGSEGV"), [], "not at once");
        let pause = stage.supervisor.due().unwrap().checked_sub(stage.now).unwrap();
        pauses.push(pause.as_millis());
        assert_eq!(
            stage.later(pause),
            [Action::Prepare(generation(number + 1), Source::Served(generation(1)))]
        );
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000, 10000, 10000]);
}

#[test]
fn crashes_are_counted_and_a_reload_that_came_later_is_told_apart() {
    let mut stage = Stage::serving();
    let told = |stage: &Stage| {
        let status = stage.supervisor.status(stage.now);
        (status.last_attempt.unwrap().cause, status.crashes.total, status.crashes.since_reload)
    };
    assert_eq!(told(&stage), (Cause::Start, 0, 0));
    stage.now += Duration::from_mins(1);
    stage.exit(1, "killed by SIGSEGV");
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.prove(2);
    assert_eq!(told(&stage), (Cause::Crash, 1, 1));
    let last = stage.supervisor.status(stage.now).crashes.last.unwrap();
    assert_eq!((last.generation, &*last.how, last.at), (generation(1), "killed by SIGSEGV", stage.now));
    // What asked for this one could not know of the crash that comes while it is under way.
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(3, PlumbingDemand::NotNeeded);
    stage.now += Duration::from_millis(1);
    stage.exit(2, "killed by SIGSEGV");
    stage.prove(3);
    assert_eq!(told(&stage), (Cause::Reload, 2, 2));
    stage.now += Duration::from_secs(1);
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(4, PlumbingDemand::NotNeeded);
    stage.exit(4, "exit code 1");
    assert_eq!(told(&stage), (Cause::Reload, 2, 2), "it did not take");
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(5, PlumbingDemand::NotNeeded);
    stage.prove(5);
    stage.later(LIMITS.settle);
    assert_eq!(told(&stage), (Cause::Reload, 2, 0));
}

#[test]
fn a_reload_asked_for_in_a_pause_does_not_wait_for_its_end() {
    let mut stage = Stage::serving();
    stage.exit(1, "killed by SIGSEGV");
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.exit(2, "exit code 1");
    assert!(stage.supervisor.due().is_some());
    assert_eq!(
        stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP"))),
        [Action::Prepare(generation(3), Source::Disk)]
    );
    assert_eq!(stage.supervisor.due(), None);
}

#[test]
fn a_stop_drains_and_leaves_when_the_last_one_is_gone() {
    let mut stage = Stage::serving();
    let stop = stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(stop, [Action::ReleaseCustody, Action::Drain(generation(1))]);
    assert!(stage.exit(1, "exit code 0").ends_with(&[Action::Unplumb, Action::Exit(ExitCode::Done)]));
}

#[test]
fn a_stop_cuts_what_outlives_the_drain_timeout() {
    let mut stage = Stage::serving();
    stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(stage.later(LIMITS.drain), [Action::End(generation(1), How::Terminate)]);
    assert_eq!(stage.later(GRACE), [Action::End(generation(1), How::Kill)]);
    assert!(stage.later(GRACE).ends_with(&[Action::Exit(ExitCode::Done)]));
    assert!(stage.now < Duration::from_mins(5));
}

#[test]
fn a_second_stop_ends_at_once_and_a_third_changes_nothing() {
    let mut stage = Stage::serving();
    stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    let second = stage.step(Event::StopAsked(Asker::Signal("SIGINT")));
    assert_eq!(second, [Action::End(generation(1), How::Terminate)]);
    assert_eq!(stage.step(Event::StopAsked(Asker::Signal("SIGTERM"))), []);
    assert!(stage.exit(1, "exit code 143").ends_with(&[Action::Exit(ExitCode::Interrupted)]));
}

#[test]
fn only_a_second_sigterm_or_sigint_means_at_once() {
    let mut stage = Stage::serving();
    stage.step(Event::StopAsked(Asker::Drain));
    for patient in [Asker::Drain, Asker::Signal("SIGUSR1"), Asker::Signal("SIGTERM"), Asker::Drain] {
        assert_eq!(stage.step(Event::StopAsked(patient)), [], "{patient}");
    }
    let second = stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(second, [Action::End(generation(1), How::Terminate)]);
}

/// Whatever a signal changes, it is not swallowed: the log has a line for each.
#[test]
fn every_stop_that_is_asked_for_is_logged() {
    let term = Asker::Signal("SIGTERM");
    for delay in [Duration::ZERO, Duration::from_mins(1)] {
        for first in [Asker::Drain, Asker::Signal("SIGUSR1"), term] {
            for next in [Asker::Drain, Asker::Signal("SIGUSR1"), term] {
                let mut stage = Stage::serving();
                stage.supervisor.limits.stop_delay = delay;
                for asker in [first, next, next, next] {
                    let said = stage.supervisor.step(Event::StopAsked(asker), stage.now);
                    let named = |action: &Action| matches!(action, Action::Report(report) if report.to_string().contains(&asker.to_string()));
                    assert!(said.iter().any(named), "{first}, then {next}: {said:?}");
                }
            }
        }
    }
}

#[test]
fn a_stop_during_a_reload_tells_each_that_waits() {
    let mut stage = Stage::serving();
    stage.step(Event::ReloadAsked(Asker::Admin(RequestId(1))));
    stage.step(Event::ReloadAsked(Asker::Admin(RequestId(2))));
    let stop = stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    for request in [1, 2] {
        assert!(stop.contains(&Action::Answer(RequestId(request), Answer::Stopping)));
    }
    let late = stage.step(Event::Prepared {
        generation: generation(2),
        plumbing: PlumbingDemand::Needed,
        most_reloads: None,
    });
    assert_eq!(late, [Action::Abandon(generation(2))]);
    let after = stage.step(Event::ReloadAsked(Asker::Admin(RequestId(3))));
    assert_eq!(after, [Action::Answer(RequestId(3), Answer::Stopping)]);
}

#[test]
fn the_plumbing_goes_with_the_last_generation_that_needs_it() {
    let mut stage = Stage::new();
    stage.step(Event::Begin);
    stage.launch(1, PlumbingDemand::Needed);
    stage.prove(1);
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(2, PlumbingDemand::NotNeeded);
    assert!(!stage.prove(2).contains(&Action::Unplumb), "generation 1 still has transparent sessions");
    assert_eq!(stage.exit(1, "exit code 0"), [Action::Unplumb]);
}

#[test]
fn the_log_is_readable_on_its_own() {
    let mut supervisor = Supervisor::new(LIMITS);
    let mut lines = Vec::new();
    let mut step = |event, seconds| {
        for action in supervisor.step(event, Duration::from_secs(seconds)) {
            if let Action::Report(report) = action {
                lines.push(report.to_string());
            }
        }
    };
    let (first, second) = (generation(1), generation(2));
    step(Event::Begin, 0);
    step(Event::Prepared { generation: first, plumbing: PlumbingDemand::NotNeeded, most_reloads: None }, 0);
    step(Event::Started { generation: first, pid: 10 }, 0);
    step(Event::Proved { generation: first, proof: proof(11) }, 1);
    step(Event::Carried { generation: first, carried: Carried::default() }, 1);
    step(Event::ReloadAsked(Asker::Signal("SIGHUP")), 2);
    step(Event::Failed { generation: second, failure: failure(ExitCode::ConfigurationUnreadable) }, 3);
    step(Event::StopAsked(Asker::Signal("SIGTERM")), 4);
    assert_eq!(
        lines,
        [
            "generation 1 started, pid 10",
            "generation 1 serves, worker 11: 1 socket, after 1000 ms",
            "reload asked for by SIGHUP",
            "generation 2 failed: no; generation 1 is still serving",
            "stop asked for by SIGTERM: waiting for the sessions of 1 generation, for at most 295 s",
            "generation 1 finishes its sessions",
        ]
    );
}

/// The same with a time to settle, and a budget.
fn settling() -> Stage {
    let old = Budget { generations: 1, age: None, memory: None };
    let mut stage = Stage::serving();
    stage.supervisor.limits = Limits { settle: Duration::from_millis(200), old, ..LIMITS };
    stage
}

fn reload_and_prove(stage: &mut Stage, number: u32) {
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(number, PlumbingDemand::NotNeeded);
    assert_eq!(stage.prove(number), [], "it has to live on for a while");
}

#[test]
fn a_generation_is_committed_when_it_has_lived_for_a_while() {
    let mut stage = settling();
    reload_and_prove(&mut stage, 2);
    assert_eq!(stage.later(Duration::from_millis(199)), []);
    let committed = stage.later(Duration::from_millis(1));
    assert_eq!(committed, [Action::Commit(generation(2)), Action::Drain(generation(1))]);
}

#[test]
fn one_that_dies_before_that_has_changed_nothing() {
    let mut stage = settling();
    stage.step(Event::ReloadAsked(Asker::Admin(RequestId(1))));
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.prove(2);
    let answers = stage.exit(2, "killed by SIGSEGV");
    let [Action::Abandon(_), Action::Answer(RequestId(1), Answer::Refused(failure))] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert!(failure.message.contains("was ready, and then ended") && failure.message.contains("SIGSEGV"));
    assert_eq!(stage.supervisor.serving(), Some(generation(1)));
}

#[test]
fn one_that_is_gone_is_not_committed_while_its_last_words_are_awaited() {
    let mut stage = settling();
    reload_and_prove(&mut stage, 2);
    assert_eq!(stage.gone(2, "killed by SIGSEGV"), []);
    assert_eq!(stage.later(Duration::from_millis(200)), [], "it would have settled by now");
    assert_eq!(stage.step(switched(2)), []);
    assert_eq!(stage.prove(2), [], "said before it died");
    let closed = Failure { closed: true, ..failure(ExitCode::NotReady) };
    assert_eq!(stage.step(Event::Failed { generation: generation(2), failure: closed }), []);
    assert_eq!(stage.words(2), [Action::Abandon(generation(2))]);
    assert_eq!(stage.supervisor.serving(), Some(generation(1)));
    // Without these words it goes on all the same.
    reload_and_prove(&mut stage, 3);
    stage.gone(3, "killed by SIGSEGV");
    assert_eq!(stage.later(GRACE), [Action::Abandon(generation(3))]);
    assert_eq!(stage.words(3), []);
}

#[test]
fn one_that_listens_where_no_client_waits_is_not_committed_when_the_one_that_serves_has_ended() {
    let mut stage = settling();
    reload_and_prove(&mut stage, 2);
    let failure = failure(ExitCode::NotReady);
    assert_eq!(stage.step(Event::Misplaced { generation: generation(2), failure }), []);
    let actions = stage.gone(1, "killed by SIGSEGV");
    let given_up = [Action::Abandon(generation(2)), Action::Drain(generation(2))];
    assert_eq!(
        actions,
        [&given_up[..], &[Action::Prepare(generation(3), Source::Served(generation(1)))]].concat()
    );
}

#[test]
fn last_words_are_waited_for_by_a_leave_and_not_by_a_restart() {
    let mut stage = Stage::serving();
    let again = Source::Served(generation(1));
    assert_eq!(stage.gone(1, "killed by SIGSEGV"), [Action::Prepare(generation(2), again)]);
    assert_eq!(stage.words(1), []);
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.prove(2);
    stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    assert_eq!(stage.gone(2, "exit code 0"), []);
    assert!(stage.words(2).ends_with(&[Action::Exit(ExitCode::Done)]));
}

#[test]
fn if_the_serving_one_dies_meanwhile_the_commit_comes_at_once() {
    let mut stage = settling();
    reload_and_prove(&mut stage, 2);
    assert_eq!(stage.exit(1, "killed by SIGKILL"), [Action::Commit(generation(2))]);
}

#[test]
fn clients_are_moved_first_where_an_address_was_bound_twice() {
    let mut stage = settling();
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(2, PlumbingDemand::NotNeeded);
    let proof = Proof { unclaimed: proof(2).fresh, ..proof(2) };
    let steer = stage.step(Event::Proved { generation: generation(2), proof: proof.clone() });
    assert_eq!(steer, [], "both accept");
    assert_eq!(stage.later(Duration::from_millis(200)), [Action::Switch(generation(2))]);
    assert_eq!(stage.later(Duration::from_secs(1)), [], "it is not done yet");
    assert_eq!(stage.step(switched(2)), [Action::Commit(generation(2)), Action::Drain(generation(1))]);
    // One that is never done does not hold the reload up for ever.
    stage.exit(1, "exit code 0");
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(3, PlumbingDemand::NotNeeded);
    stage.step(Event::Proved { generation: generation(3), proof });
    assert_eq!(stage.later(Duration::from_millis(200)), [Action::Switch(generation(3))]);
    assert!(stage.later(SWITCH_DEADLINE).contains(&Action::Commit(generation(3))));
}

#[test]
fn a_switch_that_fails_is_undone_and_the_former_one_serves_on() {
    let mut stage = settling();
    stage.step(Event::ReloadAsked(Asker::Admin(RequestId(1))));
    stage.launch(2, PlumbingDemand::NotNeeded);
    let proof = Proof { unclaimed: proof(2).fresh, ..proof(2) };
    stage.step(Event::Proved { generation: generation(2), proof });
    assert_eq!(stage.later(Duration::from_millis(200)), [Action::Switch(generation(2))]);
    let failed = Event::Failed { generation: generation(2), failure: failure(ExitCode::Rights) };
    let refused = Answer::Refused(failure(ExitCode::Rights));
    assert_eq!(
        stage.step(failed),
        [Action::Abandon(generation(2)), Action::Answer(RequestId(1), refused), Action::Drain(generation(2))]
    );
    assert_eq!(stage.step(switched(2)), [], "said too late");
    assert_eq!(stage.supervisor.serving(), Some(generation(1)));
}

#[test]
fn one_that_dies_during_the_switch_has_changed_nothing_either() {
    for dies in [1, 2] {
        let mut stage = settling();
        stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
        stage.launch(2, PlumbingDemand::NotNeeded);
        let proof = Proof { unclaimed: proof(2).fresh, ..proof(2) };
        stage.step(Event::Proved { generation: generation(2), proof });
        assert_eq!(stage.later(Duration::from_millis(200)), [Action::Switch(generation(2))]);
        let actions = stage.exit(dies, "killed by SIGKILL");
        let expected = if dies == 1 { Action::Commit(generation(2)) } else { Action::Abandon(generation(2)) };
        assert_eq!(actions, [expected]);
        assert_eq!(stage.supervisor.serving(), Some(generation(3 - dies)));
    }
}

#[test]
fn a_configuration_that_dies_young_gives_way_to_the_one_that_served_before() {
    let mut stage = settling();
    reload_and_prove(&mut stage, 2);
    stage.later(Duration::from_millis(200));
    stage.later(PROBATION.checked_sub(Duration::from_millis(1)).unwrap());
    let back = stage.exit(2, "killed by SIGSEGV");
    assert_eq!(back, [Action::Prepare(generation(3), Source::Served(generation(1)))]);
    // It does not start any more: the other one is tried, in turns.
    stage.launch(3, PlumbingDemand::NotNeeded);
    stage.exit(3, "exit code 1");
    let pause = Duration::from_millis(100);
    assert_eq!(stage.later(pause), [Action::Prepare(generation(4), Source::Served(generation(2)))]);
    stage.launch(4, PlumbingDemand::NotNeeded);
    stage.exit(4, "exit code 1");
    let next = stage.later(pause * 2);
    assert_eq!(next, [Action::Prepare(generation(5), Source::Disk)], "better than none");
    // One that is asked for gets what is on the disk.
    stage.launch(5, PlumbingDemand::NotNeeded);
    stage.prove(5);
    let asked = stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    assert_eq!(asked, [Action::Prepare(generation(6), Source::Disk)]);
}

#[test]
fn one_that_served_for_long_is_started_again_as_it_was() {
    let mut stage = settling();
    reload_and_prove(&mut stage, 2);
    stage.later(Duration::from_millis(200));
    stage.later(PROBATION);
    let again = stage.exit(2, "killed by SIGSEGV");
    assert_eq!(again, [Action::Prepare(generation(3), Source::Served(generation(2)))]);
}

#[test]
fn old_generations_over_the_budget_are_warned_about_and_the_idlest_goes_first() {
    let mut stage = settling();
    stage.supervisor.limits.settle = Duration::ZERO;
    for number in 2..4 {
        stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
        stage.launch(number, PlumbingDemand::NotNeeded);
        let committed = stage.prove(number);
        let survey = Action::Survey(vec![generation(1), generation(2)]);
        assert_eq!(committed.contains(&survey), number == 3, "{committed:?}");
    }
    let survey = |number, sessions| Survey { generation: generation(number), sessions, memory: None };
    let surveyed = Event::Surveyed(vec![survey(1, Some(7)), survey(2, Some(3))]);
    let warnings = stage.supervisor.step(surveyed, stage.now);
    let [Action::Report(report)] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert_eq!(
        report.to_string(),
        "generation 2 has 3 sessions, none younger than 0 s, and more than 1 old generations are draining: it \
         is cut in 10 s"
    );
    assert_eq!(stage.later(WARNING), [Action::End(generation(2), How::Terminate)]);
    assert_eq!(stage.later(GRACE), [Action::End(generation(2), How::Kill)]);
    stage.exit(2, "killed by SIGKILL");
    assert_eq!(stage.supervisor.due(), None, "nothing more to look at");
}

#[test]
fn age_and_memory_count_if_they_are_limited() {
    let mut stage = settling();
    let old = Budget { generations: 9, age: Some(Duration::from_mins(1)), memory: Some(100) };
    stage.supervisor.limits = Limits { old, ..LIMITS };
    for number in 2..5 {
        stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
        stage.launch(number, PlumbingDemand::NotNeeded);
        stage.prove(number);
    }
    let all = [generation(1), generation(2), generation(3)];
    assert_eq!(stage.later(Duration::from_secs(10)), [Action::Survey(all.to_vec())]);
    let survey = |number, sessions| Survey { generation: generation(number), sessions, memory: Some(50) };
    let surveys = vec![survey(1, Some(1)), survey(2, None), survey(3, Some(9))];
    // 150 of 100 bytes: one has to go, and it is the one that does not say what it has.
    stage.step(Event::Surveyed(surveys));
    assert_eq!(
        stage.later(WARNING),
        [Action::End(generation(2), How::Terminate), Action::Survey(all.to_vec())]
    );
    stage.exit(2, "exit code 0");
    stage.step(Event::Surveyed(vec![survey(1, Some(1)), survey(3, Some(9))]));
    stage.later(Duration::from_secs(30));
    stage.step(Event::Surveyed(vec![survey(1, Some(1)), survey(3, Some(9))]));
    let cut = stage.later(Duration::from_secs(10));
    assert!(cut.contains(&Action::End(generation(1), How::Terminate)), "{cut:?}");
}

#[test]
fn a_stop_says_what_is_left_ever_less_often() {
    let mut stage = Stage::serving();
    stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
    let survey = || vec![Survey { generation: generation(1), sessions: Some(3), memory: None }];
    let mut at = Duration::ZERO;
    for second in [1, 2, 4, 8, 16, 32] {
        let due = Duration::from_secs(second);
        assert_eq!(stage.supervisor.due(), Some(due));
        assert_eq!(stage.later(due.saturating_sub(at)), [Action::Survey(vec![generation(1)])]);
        let said = stage.supervisor.step(Event::Surveyed(survey()), stage.now);
        let [Action::Report(report)] = said.as_slice() else { panic!("{said:?}") };
        let cut_in = 295 - second;
        assert_eq!(
            report.to_string(),
            format!("3 sessions left after {second} s; what is left in {cut_in} s is cut")
        );
        at = due;
    }
    stage.exit(1, "exit code 0");
    assert_eq!(stage.supervisor.due(), None, "it has left");
}

/// Starts a generation that proves itself and ends after `age`.
fn lives_for(stage: &mut Stage, number: u32, age: Duration) -> Vec<Action> {
    stage.later(LONGEST_PAUSE);
    stage.launch(number, PlumbingDemand::NotNeeded);
    stage.prove(number);
    stage.later(age);
    stage.exit(number, "exit code 1")
}

/// One that is a millisecond short of having lived.
const YOUNG: Duration = PROVEN_AGE.checked_sub(Duration::from_millis(1)).unwrap();

#[test]
fn a_start_that_never_lives_ends_clearway_with_the_reason() {
    let mut stage = Stage::new();
    stage.step(Event::Begin);
    for number in 1..MOST_YOUNG_DEATHS {
        let next = lives_for(&mut stage, number, YOUNG);
        assert!(!next.contains(&Action::ReleaseCustody), "{number}: {next:?}");
        assert!(stage.supervisor.due().is_some() || !next.is_empty(), "{number}: nothing follows");
    }
    stage.later(LONGEST_PAUSE);
    stage.launch(MOST_YOUNG_DEATHS, PlumbingDemand::NotNeeded);
    stage.prove(MOST_YOUNG_DEATHS);
    let gone = stage.gone(MOST_YOUNG_DEATHS, "exit code 1");
    assert!(gone.contains(&Action::ReleaseCustody), "{gone:?}");
    assert!(
        !gone.iter().any(|action| matches!(action, Action::Exit(_))),
        "it leaves before it has heard why"
    );
    let generation = generation(MOST_YOUNG_DEATHS);
    let why = failure(ExitCode::ConfigurationRefused);
    let told = stage.supervisor.step(Event::LastWords { generation, failure: why.clone() }, stage.now);
    assert!(told.contains(&Action::Report(Report::GivenUp { generation, failure: why })), "{told:?}");
    assert_eq!(told.last(), Some(&Action::Exit(ExitCode::NotReady)));
}

#[test]
fn one_that_has_lived_once_is_started_again_however_often() {
    let mut stage = Stage::new();
    stage.step(Event::Begin);
    for number in 1..MOST_YOUNG_DEATHS {
        lives_for(&mut stage, number, YOUNG);
    }
    lives_for(&mut stage, MOST_YOUNG_DEATHS, PROVEN_AGE);
    for number in MOST_YOUNG_DEATHS + 1..5 * MOST_YOUNG_DEATHS {
        let next = lives_for(&mut stage, number, Duration::ZERO);
        assert!(!next.contains(&Action::ReleaseCustody), "{number}: {next:?}");
    }
}

#[test]
fn one_that_gave_way_to_a_reload_has_lived_as_well() {
    let mut stage = Stage::serving();
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.prove(2);
    stage.exit(1, "exit code 0");
    stage.exit(2, "exit code 1");
    for number in 3..3 * MOST_YOUNG_DEATHS {
        let next = lives_for(&mut stage, number, Duration::ZERO);
        assert!(!next.contains(&Action::ReleaseCustody), "{number}: {next:?}");
    }
}

#[test]
fn an_old_generation_outlives_as_many_reloads_as_the_configuration_says() {
    let mut stage = Stage::serving();
    stage.most_reloads = Some(2);
    let survey = |number| Survey { generation: generation(number), sessions: Some(1), memory: None };
    let mut ended = Vec::new();
    for number in 2..7 {
        stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
        stage.launch(number, PlumbingDemand::NotNeeded);
        let committed = stage.prove(number);
        let asked: Vec<_> = committed.iter().filter(|action| matches!(action, Action::Survey(_))).collect();
        // The first may outlive two, and the fourth takes over from the third.
        assert_eq!(!asked.is_empty(), number > 3, "{committed:?}");
        if number > 3 {
            let all = (number.saturating_sub(3)..number).map(survey).collect();
            let actions = stage.supervisor.step(Event::Surveyed(all), stage.now);
            let old = generation(number - 3);
            assert_eq!(actions.last(), Some(&Action::End(old, How::Terminate)), "{actions:?}");
            let Some(Action::Report(report)) = actions.first() else { panic!("{actions:?}") };
            assert_eq!(
                report.to_string(),
                format!(
                    "generation {old} has 1 session, none younger than 0 s, and has outlived more than 2 \
                     reloads (`mworker-max-reloads`): it is cut now"
                )
            );
            stage.exit(number - 3, "killed by SIGTERM");
            ended.push(number - 3);
        }
    }
    assert_eq!(ended, [1, 2, 3]);
}

#[test]
fn a_start_after_a_crash_is_no_reload() {
    let mut stage = Stage::serving();
    stage.most_reloads = Some(1);
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.prove(2);
    stage.now += Duration::from_mins(1);
    stage.exit(2, "killed by SIGSEGV");
    stage.later(Duration::ZERO);
    stage.launch(3, PlumbingDemand::NotNeeded);
    let committed = stage.prove(3);
    assert!(!committed.iter().any(|action| matches!(action, Action::Survey(_))), "{committed:?}");
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(4, PlumbingDemand::NotNeeded);
    let committed = stage.prove(4);
    let all = vec![generation(1), generation(3)];
    assert!(committed.contains(&Action::Survey(all)), "{committed:?}");
}

#[test]
fn no_generation_is_committed_before_it_has_what_the_former_one_knew() {
    let mut supervisor = Supervisor::new(LIMITS);
    let generation = Generation::FIRST;
    let mut now = Duration::ZERO;
    supervisor.step(Event::Begin, now);
    supervisor
        .step(Event::Prepared { generation, plumbing: PlumbingDemand::NotNeeded, most_reloads: None }, now);
    supervisor.step(Event::Started { generation, pid: 10 }, now);
    let proved = Event::Proved { generation, proof: proof(11) };
    assert_eq!(supervisor.step(proved.clone(), now), [Action::Carry(generation)]);
    assert_eq!(supervisor.step(proved, now), [], "asked twice");
    let carried = Carried { set: vec!["b/s: down".into()], ..Carried::default() };
    let done = supervisor.step(Event::Carried { generation, carried: carried.clone() }, now);
    assert_eq!(done.first(), Some(&Action::Report(Report::Carried { generation, carried: carried.clone() })));
    assert!(done.contains(&Action::Commit(generation)));
    assert_eq!(supervisor.status(now).last_attempt.unwrap().carried, carried);
    // A shell that does not answer does not hold up a reload for ever.
    let generation = generation.next();
    supervisor.step(Event::ReloadAsked(Asker::Signal("SIGHUP")), now);
    supervisor
        .step(Event::Prepared { generation, plumbing: PlumbingDemand::NotNeeded, most_reloads: None }, now);
    supervisor.step(Event::Started { generation, pid: 20 }, now);
    supervisor.step(Event::Proved { generation, proof: proof(21) }, now);
    now += CARRY_DEADLINE;
    assert_eq!(supervisor.due(), Some(now));
    assert!(supervisor.step(Event::TimePassed, now).contains(&Action::Commit(generation)));
    assert!(!supervisor.status(now).last_attempt.unwrap().carried.left.is_empty());
}

#[test]
fn a_crash_while_the_next_one_is_given_the_state_waits_for_that() {
    let mut stage = Stage::new();
    stage.step(Event::Begin);
    stage.launch(1, PlumbingDemand::NotNeeded);
    stage.prove(1);
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(2, PlumbingDemand::NotNeeded);
    let (supervisor, now) = (&mut stage.supervisor, stage.now);
    let generation = generation(2);
    let proved = supervisor.step(Event::Proved { generation, proof: proof(21) }, now);
    assert_eq!(proved, [Action::Carry(generation)]);
    let crashed =
        supervisor.step(Event::Exited { generation: Generation::FIRST, end: end("killed by SIGKILL") }, now);
    assert!(!crashed.contains(&Action::Commit(generation)), "{crashed:?}");
    let carried = supervisor.step(Event::Carried { generation, carried: Carried::default() }, now);
    assert!(carried.contains(&Action::Commit(generation)), "{carried:?}");
}

#[test]
fn a_worker_that_its_master_has_replaced_gives_way_to_a_generation() {
    let mut stage = Stage::serving();
    let (first, second) = (generation(1), generation(2));
    let actions = stage.step(Event::Replaced { generation: first, worker: 77 });
    assert_eq!(actions, [Action::Prepare(second, Source::Disk)]);
    assert_eq!(stage.supervisor.status(stage.now).generations[0].worker, Some(77));
    // Once more meanwhile: one more reload follows.
    assert_eq!(stage.step(Event::Replaced { generation: first, worker: 78 }), []);
    stage.launch(2, PlumbingDemand::NotNeeded);
    let committed = stage.prove(2);
    assert!(committed.contains(&Action::Drain(first)), "{committed:?}");
    assert!(committed.contains(&Action::Prepare(generation(3), Source::Disk)), "{committed:?}");
    // One that drains is told again, and asks for nothing.
    assert_eq!(stage.step(Event::Replaced { generation: first, worker: 79 }), [Action::Drain(first)]);
    // One that is unknown has ended meanwhile.
    assert_eq!(stage.step(Event::Replaced { generation: generation(9), worker: 80 }), []);
}

#[test]
fn what_lacks_only_the_descriptors_of_clearway_is_started_once_more_without_them() {
    let mut stage = Stage::new();
    stage.step(Event::Begin);
    stage.launch(1, PlumbingDemand::NotNeeded);
    stage.gone(1, "exit code 1");
    let lacks = Failure { lacks_only_ours: true, ..failure(ExitCode::ConfigurationRefused) };
    let told = Event::LastWords { generation: generation(1), failure: lacks.clone() };
    let first = [Action::Abandon(generation(1)), Action::Prepare(generation(2), Source::Disk)];
    assert_eq!(stage.step(told), first);
    stage.launch_so(2, PlumbingDemand::NotNeeded, Strictness::Lenient);
    stage.gone(2, "exit code 1");
    let second = stage.step(Event::LastWords { generation: generation(2), failure: lacks });
    assert_eq!(second.last(), Some(&Action::Exit(ExitCode::ConfigurationRefused)));
}

#[test]
fn what_follows_a_lenient_start_is_strict_again() {
    let mut stage = Stage::serving();
    let lacks = Failure { lacks_only_ours: true, ..failure(ExitCode::ConfigurationRefused) };
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.gone(2, "exit code 1");
    stage.step(Event::LastWords { generation: generation(2), failure: lacks.clone() });
    stage.launch_so(3, PlumbingDemand::NotNeeded, Strictness::Lenient);
    stage.gone(3, "exit code 1");
    stage.step(Event::LastWords { generation: generation(3), failure: lacks });
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(4, PlumbingDemand::NotNeeded);
}

/// One that serves generation 2 beside generation 1, which drains.
fn draining() -> Stage {
    let mut stage = Stage::serving();
    stage.step(Event::ReloadAsked(Asker::Signal("SIGHUP")));
    stage.launch(2, PlumbingDemand::NotNeeded);
    stage.prove(2);
    stage
}

#[test]
fn a_generation_that_drains_is_ended_by_hand() {
    for stops in [false, true] {
        let mut stage = draining();
        if stops {
            stage.step(Event::StopAsked(Asker::Signal("SIGTERM")));
        }
        let ended = stage.step(Event::EndAsked(generation(1)));
        assert_eq!(ended, [Action::End(generation(1), How::Terminate)], "in a stop: {stops}");
        // It does not follow.
        let killed = stage.later(GRACE);
        assert!(killed.contains(&Action::End(generation(1), How::Kill)), "in a stop {stops}: {killed:?}");
        stage.exit(1, "killed by SIGKILL");
        assert!(stage.supervisor.cuts.deadline().is_none(), "nothing more is due");
    }
}

#[test]
fn only_what_drains_is_ended_by_hand() {
    let mut stage = draining();
    for other in [2, 3] {
        assert_eq!(stage.step(Event::EndAsked(generation(other))), []);
    }
}
