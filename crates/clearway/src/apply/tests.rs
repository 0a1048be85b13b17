use clearway_haproxy::change::{Plan, PlanStep, ReloadReason, StepKind};

use super::*;

#[test]
fn the_core_is_told_in_words() {
    let step = |kind| PlanStep { kind, object: String::new(), why: String::new(), orders: Vec::new() };
    let steps = vec![step(StepKind::ServerAdded), step(StepKind::Map)];
    let planned = in_words(&ChangeVerdict::RunTime(Plan { steps, excerpt: None }));
    assert_eq!(planned, Planned::RunTime { tally: "1 server added, 1 map".to_owned(), commands: 0 });
    let reason = ReloadReason { place: "a.cfg:3".to_owned(), what: "the bind line has changed".to_owned() };
    let reasons = vec!["a.cfg:3: the bind line has changed".to_owned()];
    assert_eq!(in_words(&ChangeVerdict::Reload(vec![reason])), Planned::Reload { reasons });
    assert_eq!(in_words(&ChangeVerdict::Same), Planned::Same);
}

#[test]
fn what_is_given_up_is_not_heard_of() {
    let mut apply = Apply::new();
    let number = Generation::FIRST;
    apply.under_way = Some(ApplyUnderWay { generation: number, given_up: GivenUp::default(), planned: None });
    let given_up = apply.under_way.as_ref().map(|one| one.given_up.clone()).unwrap();
    apply.give_up(number);
    assert!(given_up.is_set());
    let planned = Box::new(PlannedHere::from(ChangeVerdict::Same));
    assert_eq!(apply.hear(News::Planned { generation: number, planned }), Event::TimePassed);
    let broken = apply.carry_out(number, None);
    assert!(matches!(
        broken,
        Some(Event::Applied { outcome: ApplyOutcome::Broken { steps_done: 0, .. }, .. })
    ));
}
