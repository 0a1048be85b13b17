use clearway_core::cost::{Cost, CostBefore, CostFigures, CostGate, NetworkCounters};
use clearway_core::strategy::Means;

use super::*;
use crate::command::tests::names;
use crate::tell::history::{PastEvent, PastMoved, PastResult, PastSteps};

fn excerpt(first: &[&str], number: usize) -> Excerpt {
    Excerpt { number, first: first.iter().map(ToString::to_string).collect() }
}

fn cost() -> Cost {
    let network = |resets| NetworkCounters { resets_sent: Some(resets), ..NetworkCounters::default() };
    let window = CostFigures {
        seconds: Duration::from_millis(410),
        refused: Some(0),
        reset: Some(0),
        dropped: Some(3),
        waited: Some(Duration::ZERO),
        waited_at_most: Some(Duration::from_millis(11)),
        network: network(2),
    };
    let before = CostBefore { seconds: Duration::from_millis(9800), network: network(1) };
    let after = CostFigures { seconds: Duration::from_secs(1), ..window };
    let gate = CostGate { by: Means::Plug, seconds: Duration::from_millis(43), held: Some(5), dropped: None };
    Cost { before: Some(before), window, after: Some(after), gate: Some(gate) }
}

/// Every field has something in it.
fn full() -> Reloads {
    let at = "2026-11-29T12:24:58.123456Z".to_owned();
    let moved = vec![PastMoved { by: Means::Handoff, addresses: excerpt(&["10.0.0.1:80"], 3) }];
    let took = PastEntry {
        id: 21,
        at: at.clone(),
        by: vec!["SIGHUP".to_owned()],
        generation: Some(2),
        seconds: Some(0.4129),
        steps: Some(PastSteps { prepare: 0.021, prove: 0.19, settle: 0.2, ..PastSteps::default() }),
        sockets: Some(PastSockets { moved, new: excerpt(&["[::]:81"], 1), ..PastSockets::default() }),
        carried: Some(PastCarried { set: excerpt(&["web/s1: down"], 1), ..PastCarried::default() }),
        cost: Some(cost()),
        ..PastEntry::new(PastEvent::Reload, PastResult::Took)
    };
    let refused = PastEntry {
        id: 22,
        at: at.clone(),
        by: vec!["admin-socket".to_owned()],
        generation: Some(3),
        ended: Some("exit code 1".to_owned()),
        not_applied: Some(excerpt(&["h.cfg:2: the bind line has changed"], 2)),
        failure: Some(PastFailure {
            code: 65,
            message: "HAProxy did not start (exit code 1): no".to_owned(),
            words: excerpt(&["[ALERT] no"], 4),
            lines: excerpt(&["h.cfg:5: bind nonsense"], 1),
            hints: excerpt(&["mend it"], 1),
        }),
        seconds: Some(0.1),
        steps: Some(PastSteps::default()),
        ..PastEntry::new(PastEvent::Reload, PastResult::Refused)
    };
    let crash = PastEntry {
        id: 23,
        at,
        generation: Some(2),
        ended: Some("killed by SIGKILL".to_owned()),
        ..PastEntry::new(PastEvent::Crash, PastResult::Crashed)
    };
    let applied = PastEntry {
        id: 24,
        at: "2026-11-29T12:24:59.5Z".to_owned(),
        by: vec!["apply".to_owned()],
        generation: Some(4),
        applied: Some("3 servers added, 1 certificate".to_owned()),
        seconds: Some(0.004),
        steps: Some(PastSteps { plan: 0.003, apply: 0.001, ..PastSteps::default() }),
        ..PastEntry::new(PastEvent::Reload, PastResult::Applied)
    };
    Reloads { reloads: vec![took, refused, crash, applied], forgotten: 20 }
}

#[test]
fn a_row_for_each_entry_and_below_it_what_there_is_to_say() {
    let expected = "\
WHEN                  WHAT    BY            GENERATION  RESULT   TOOK
2026-11-29T12:24:58Z  reload  SIGHUP        2           took     412 ms
    prepare 21 ms, prove 190 ms, settle 200 ms
    moved by handoff: 10.0.0.1:80 and 2 more
    newly bound: [::]:81
    carried over: web/s1: down
    cost: 0 refused, 0 reset, 3 dropped (resets sent namespace-wide: 2, before 1 in 9.8 s), longest wait in queue under 12 ms; \
in the 1.0 s after: 0 refused, 0 reset, 3 dropped (resets sent namespace-wide: 2), longest wait in queue under 12 ms; 5 SYNs held for 43 ms at most (plug)
2026-11-29T12:24:58Z  reload  admin-socket  3           refused  100 ms
    not applied at run time: h.cfg:2: the bind line has changed and 1 more
    exit code 65: HAProxy did not start (exit code 1): no
      [ALERT] no
      and 3 more lines, which are in the log
      h.cfg:5: bind nonsense
    hint: mend it
2026-11-29T12:24:58Z  crash   -             2           crashed  -
    killed by SIGKILL
2026-11-29T12:24:59Z  reload  apply         4           applied  4 ms
    applied at run time: 3 servers added, 1 certificate
    plan 3 ms, apply 1 ms
20 before these are not remembered
";
    assert_eq!(in_words(&full()), expected);
}

#[test]
fn what_a_later_version_says_is_told_as_far_as_it_is_known() {
    let later = serde_json::json!({"reloads": [
        {"id": 1, "at": "T", "event": "revision", "result": "took", "seconds": -1.5, "steps": {"fly": 1.0}}
    ]});
    let words = in_words(&serde_json::from_value(later).unwrap());
    assert!(words.ends_with("T     unknown  -   -           took    0 ms\n"), "{words}");
}

#[test]
fn the_page_about_the_json_names_every_field() {
    let page = include_str!("../../../../../docs/reference/history-json.md");
    let mut found = Vec::new();
    names(&serde_json::to_value(full()).unwrap(), &mut found);
    assert!(found.len() > 30, "{found:?}");
    for name in found {
        assert!(page.contains(&format!("`{name}`")), "docs/reference/history-json.md lacks `{name}`");
    }
}
