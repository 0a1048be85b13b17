use std::collections::VecDeque;

use super::*;
use crate::change::plan::StepKind;

/// Answers in this order, and remembers what it was asked.
#[derive(Default)]
struct ToldRows {
    answers: VecDeque<&'static str>,
    asked: Vec<String>,
}

impl Wire for ToldRows {
    fn ask(&mut self, commands: &[&str], _: Duration) -> Result<Vec<String>, String> {
        self.asked.push(commands.join("; "));
        let answers = commands.iter().map(|_| self.answers.pop_front().ok_or("no answer".to_owned()));
        answers.map(|answer| answer.map(str::to_owned)).collect()
    }

    fn give(&mut self, command: &str, payload: &str, _: Duration) -> Result<String, String> {
        self.asked.push(format!("{command} <<{payload}"));
        self.answers.pop_front().map(str::to_owned).ok_or("no answer".to_owned())
    }
}

fn order(command: &str, payload: Option<&str>, expect: Expect) -> PlanOrder {
    PlanOrder { payload: payload.map(str::to_owned), ..PlanOrder::new(command.to_owned(), expect) }
}

fn plan(orders: Vec<PlanOrder>) -> Plan {
    let step = PlanStep { kind: StepKind::Map, object: "a.map".to_owned(), why: String::new(), orders };
    Plan { steps: vec![step], excerpt: None }
}

fn run(plan: &Plan, answers: &[&'static str]) -> (Result<(), BrokenOff>, Vec<String>) {
    let mut told = ToldRows { answers: answers.iter().copied().collect(), asked: Vec::new() };
    let outcome = carry_out(plan, &mut told, Duration::from_secs(1), &mut |_| {});
    (outcome, told.asked)
}

fn map() -> Plan {
    plan(vec![
        order("prepare map a.map", None, Expect::Version),
        order("add map @{version} a.map", Some("a b\n"), Expect::Silence),
        order("commit map @{version} a.map", None, Expect::Silence),
    ])
}

#[test]
fn a_version_is_read_and_used() {
    let (outcome, asked) = run(&map(), &["New version created: 7\n\n", "\n", "\n"]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(asked, ["prepare map a.map", "add map @7 a.map <<a b\n", "commit map @7 a.map"]);
}

#[test]
fn what_was_prepared_is_given_back_when_it_breaks_off() {
    let (outcome, asked) = run(&map(), &["New version created: 7\n", "malformed value\n", "\n"]);
    let broken = outcome.unwrap_err();
    assert_eq!(broken.to_string(), "a.map: `add map @{version} a.map`: HAProxy said `malformed value`");
    assert_eq!(asked.last().map(String::as_str), Some("clear map @7 a.map"));
    let certificate = plan(vec![
        order("set ssl cert a.pem", Some("secret\n"), Expect::Words(&["CarryingOut created"])),
        order("commit ssl cert a.pem", None, Expect::Words(&["Success"])),
    ]);
    let (outcome, asked) = run(&certificate, &["unable to load certificate\n", "\n"]);
    let broken = outcome.unwrap_err();
    assert!(!format!("{broken} {broken:?}").contains("secret"));
    assert_eq!(asked.last().map(String::as_str), Some("abort ssl cert a.pem"));
}

#[test]
fn orders_of_a_step_go_in_one_line_and_the_first_refusal_counts() {
    let orders = ["a", "b", "c"].map(|command| order(command, None, Expect::Silence)).to_vec();
    let (outcome, asked) = run(&plan(orders.clone()), &["", "", ""]);
    assert_eq!((outcome, asked.len()), (Ok(()), 1));
    let (outcome, _) = run(&plan(orders), &["", "No such server.\n", "no\n"]);
    assert_eq!(outcome.unwrap_err().command, "b");
}

#[test]
fn what_waits_is_given_again_until_its_time_is_over() {
    let waits = |within| {
        let expect = Expect::Eventually { done: &["deleted"], not_yet: &["still has"], within };
        plan(vec![order("del server b/s", None, expect)])
    };
    let (outcome, asked) = run(&waits(Duration::from_secs(1)), &["still has\n", "Server deleted.\n"]);
    assert_eq!((outcome, asked.len()), (Ok(()), 2));
    let broken = run(&waits(Duration::ZERO), &["still has\n"]).0.unwrap_err();
    assert_eq!(broken.why, "HAProxy said `still has`");
    assert!(run(&waits(Duration::from_secs(1)), &["refused\n"]).0.is_err());
}

#[test]
fn silence_of_haproxy_is_an_error() {
    let (outcome, _) = run(&plan(vec![order("a", None, Expect::Silence)]), &[]);
    assert_eq!(outcome.unwrap_err().why, "no answer");
}
