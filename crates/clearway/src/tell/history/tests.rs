use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::strategy::{Means, Moved};
use clearway_core::supervisor::{Asker, Carried, End, Next, Peer, RequestId, Unclean};

use super::*;

fn attempted() -> Attempted {
    Attempted {
        generation: Generation::FIRST,
        cause: Cause::Reload,
        by: vec![Asker::Admin(RequestId(1)), Asker::Signal("SIGHUP"), Asker::Admin(RequestId(2))],
        takes_over: false,
        result: AttemptResult::Took,
        end: None,
        failure: None,
        moved: Vec::new(),
        applied: None,
        proof: None,
        carried: Carried::default(),
        steps: Steps { prove: Duration::from_millis(250), ..Steps::default() },
        took: Duration::from_millis(500),
        at: Duration::from_secs(7),
    }
}

fn heard(actions: impl IntoIterator<Item = Action>) -> History {
    let mut history = History::default();
    actions.into_iter().for_each(|action| history.hear(&action));
    history
}

fn only(action: Action) -> PastEntry {
    let entries = heard([action]).entries();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    entry.clone()
}

fn addresses(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn a_hundred_are_kept_and_the_others_counted() {
    let history = heard((0..120).map(|_| Action::Attempted(Box::new(attempted()))));
    let entries = history.entries();
    assert_eq!((entries.len(), history.forgotten()), (100, 20));
    assert_eq!((entries[0].id, entries[99].id), (21, 120));
}

#[test]
fn an_attempt_is_told_with_what_asked_for_it_and_what_moved() {
    let moved = |address: &str, by| Moved { address: address.to_owned(), by };
    let proof = Proof {
        worker: 7,
        adopted: addresses(&["a"]),
        fresh: addresses(&["b", "new"]),
        unclaimed: addresses(&["b", "gone"]),
    };
    let carried = Carried { set: addresses(&["web/s1: down"]), ..Carried::default() };
    let moved = vec![moved("a", Means::Handoff), moved("b", Means::Reuseport)];
    let entry =
        only(Action::Attempted(Box::new(Attempted { proof: Some(proof), moved, carried, ..attempted() })));
    assert_eq!((entry.event, entry.result, entry.generation), (PastEvent::Reload, PastResult::Took, Some(1)));
    assert_eq!(entry.by, ["SIGHUP", "admin-socket"]);
    assert_eq!((entry.seconds, entry.steps.unwrap().prove), (Some(0.5), 0.25));
    let PastSockets { moved, new, gone, twice } = entry.sockets.unwrap();
    let moved: Vec<_> = moved.into_iter().map(|one| (one.by, one.addresses.first)).collect();
    assert_eq!(moved, [(Means::Handoff, addresses(&["a"])), (Means::Reuseport, addresses(&["b"]))]);
    assert_eq!((new.first, gone.first, twice.number), (addresses(&["new"]), addresses(&["gone"]), 0));
    assert_eq!(entry.carried.unwrap().set.first, ["web/s1: down"]);
    assert_eq!(entry.at.len(), "2026-11-29T12:24:58.123456Z".len(), "{}", entry.at);
}

#[test]
fn one_that_was_refused_has_haproxys_words_and_they_are_cut() {
    let mut failure = Failure::new(ExitCode::ConfigurationRefused, "é".repeat(1000)).hint("mend it");
    failure.lines = vec!["h.cfg:5: bind nonsense".to_owned()];
    failure.words = (0..50).map(|number| format!("{number} {}", "x".repeat(300))).collect();
    let end = Some(End::Unclean(Unclean::Code(1)));
    let refused = Attempted {
        result: AttemptResult::Refused,
        end,
        failure: Some(failure),
        cause: Cause::Crash,
        by: Vec::new(),
        ..attempted()
    };
    let entry = only(Action::Attempted(Box::new(refused)));
    assert_eq!((entry.event, entry.result), (PastEvent::Restart, PastResult::Refused));
    assert_eq!(entry.ended.as_deref(), Some("exit code 1"));
    let PastFailure { code, message, words, lines, hints } = entry.failure.unwrap();
    assert_eq!((code, hints.first), (65, addresses(&["mend it"])));
    assert!(message.len() < 1100 && message.ends_with("é... (976 more bytes)"), "{message}");
    assert_eq!((words.number, lines.first), (50, addresses(&["h.cfg:5: bind nonsense"])));
    assert!(words.left_out() > 40 && words.first.concat().len() < 2100, "{words:?}");
    assert!(words.first[0].starts_with("0 x") && words.first.last().unwrap().ends_with(" more bytes)"));
    assert_eq!(entry.sockets, None);
}

#[test]
fn crashes_and_the_ends_of_takeovers_are_entries_and_their_beginnings_are_not() {
    let how = "killed by SIGSEGV".to_owned();
    let crash = Report::Crashed { generation: Generation::FIRST, how, next: Next::Leaving };
    let entry = only(Action::Report(crash));
    assert_eq!(
        (entry.event, entry.result, entry.generation),
        (PastEvent::Crash, PastResult::Crashed, Some(1))
    );
    assert_eq!(entry.ended.as_deref(), Some("killed by SIGSEGV"));
    let takeover = Peer(3);
    let turns = [
        Turn::HandingOver { takeover },
        Turn::Superseded { takeover },
        Turn::TakenOver { generations: 1, limit: Duration::ZERO },
    ];
    let history = heard(turns.map(|turn| Action::Report(Report::Takeover(turn))));
    let told: Vec<_> = history.entries().iter().map(|one| (one.event, one.result)).collect();
    assert_eq!(told, [PastResult::Superseded, PastResult::Settled].map(|how| (PastEvent::Takeover, how)));
    let successor =
        only(Action::Attempted(Box::new(Attempted { cause: Cause::Start, takes_over: true, ..attempted() })));
    assert_eq!((successor.event, successor.result), (PastEvent::Takeover, PastResult::Took));
}

#[test]
fn what_an_entry_has_cost_is_told_with_it_as_long_as_it_is_kept() {
    let mut history =
        heard([Action::Attempted(Box::new(attempted())), Action::Attempted(Box::new(attempted()))]);
    assert_eq!(history.newest(), 2);
    history.note(1, &Cost::default());
    history.note(7, &Cost::default());
    let costs: Vec<_> = history.entries().into_iter().map(|entry| entry.cost).collect();
    assert_eq!(costs, [Some(Cost::default()), None]);
}

#[test]
fn a_word_of_a_later_version_is_read() {
    let entry = serde_json::json!({"id": 1, "at": "T", "event": "revision", "result": "revised", "more": 7});
    let entry: PastEntry = serde_json::from_value(entry).unwrap();
    assert_eq!((entry.event, entry.result), (PastEvent::Unknown, PastResult::Unknown));
}

#[test]
fn what_was_planned_is_told_whether_it_was_applied_or_not() {
    let told = |result, applied| {
        only(Action::Attempted(Box::new(Attempted { result, applied: Some(applied), ..attempted() })))
    };
    let tally = "3 servers added".to_owned();
    let entry = told(AttemptResult::Applied, Applied::AtRunTime { tally: tally.clone(), commands: 9 });
    assert_eq!((entry.result, entry.applied, entry.not_applied), (PastResult::Applied, Some(tally), None));
    let entry = told(AttemptResult::Took, Applied::Not { reasons: addresses(&["a.cfg:1: no", "more"]) });
    assert_eq!((entry.result, entry.applied), (PastResult::Took, None));
    assert_eq!(entry.not_applied.unwrap().first, ["a.cfg:1: no", "more"]);
    let broken = Applied::Broken { steps_done: 1, why: "no such server".to_owned() };
    assert_eq!(
        told(AttemptResult::Failed, broken).not_applied.unwrap().first,
        ["it broke off: no such server"]
    );
}
