//! `clearway plan`: what `clearway apply` would do, and why.

use std::fmt::Write;

use clearway_core::count::Count;
use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use hyper::{Method, StatusCode};

use crate::command::print::code;
use crate::front::api::{PlanVerdict, PlannedChange, Refused};
use crate::front::client::{self, Wait};
use crate::front::find::{self, Target};

const PATH: &str = "/v1/apply?dry-run";
/// What stands in a command for an answer that is not known yet.
const VERSION: &str = "{version}";

/// Asks, and says it in words or as JSON.
pub async fn plan(target: Target) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    let name = found.name.clone();
    let (status, body) = client::request(found.stream, Method::POST, PATH, Wait::AsLongAsItTakes).await?;
    match status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(client::too_early(&name, "/v1/apply")),
        StatusCode::CONFLICT => {
            let Refused { code: number, message, hints, .. } = client::understand(&body)?;
            return Err(hints.into_iter().fold(Failure::new(code(number), message), Failure::hint));
        }
        _ => return Err(client::refused(PATH, status, &body)),
    }
    let answer: PlannedChange = client::understand(&body)?;
    if target.json {
        crate::say!("{}", String::from_utf8_lossy(&body));
    } else {
        crate::say!("{}", in_words(&answer).trim_end());
    }
    match answer.verdict {
        PlanVerdict::Nothing => Ok(ExitCode::Done),
        PlanVerdict::AtRunTime => Ok(ExitCode::AT_RUN_TIME),
        PlanVerdict::Reload => Ok(ExitCode::NeedsReload),
        PlanVerdict::Unknown => {
            let message = format!("{name} is a Clearway of another version, whose answer is not understood");
            Err(Failure::new(ExitCode::Usage, message))
        }
    }
}

/// For one that has never seen a plan.
fn in_words(answer: &PlannedChange) -> String {
    let PlannedChange { serving, verdict, changes, commands, steps, reasons } = answer;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match verdict {
        PlanVerdict::Reload => writeln!(text, "this needs a reload:"),
        PlanVerdict::AtRunTime => {
            let changes = changes.as_deref().unwrap_or_default();
            writeln!(
                text,
                "this can be changed in the HAProxy that serves (generation {serving}), without a reload: {changes}\n\
                 in this order, {} in all:",
                Count(*commands, "command")
            )
        }
        _ => writeln!(text, "nothing to do: generation {serving} has what is on disk"),
    };
    for (number, step) in (1..).zip(steps) {
        let _ = writeln!(text, "\n{number}. {} {}: {}", step.kind, step.object, step.why);
        for command in &step.commands {
            let _ = writeln!(text, "     {command}");
        }
    }
    for reason in reasons {
        let _ = writeln!(text, "  {reason}");
    }
    if steps.iter().flat_map(|step| &step.commands).any(|command| command.contains(VERSION)) {
        let _ = writeln!(text, "\n{VERSION} is the number that HAProxy answers to the `prepare` before");
    }
    text += match verdict {
        PlanVerdict::Reload => {
            "\nnothing was changed; `clearway apply` reloads, as `clearway reload` does: the new HAProxy takes over the \
             listening sockets, and the former one finishes its sessions; whether it accepts the files, `clearway check` tells\n"
        }
        PlanVerdict::AtRunTime => {
            "\nnothing was changed; `clearway apply` gives these commands, asks HAProxy afterwards whether all is as it should \
             be, and reloads if it is not\n"
        }
        _ => "",
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: serde_json::Value) -> PlannedChange {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn each_step_is_told_with_its_commands() {
        let steps = serde_json::json!([{
            "kind": "server changed", "object": "b/s", "why": "weight 20 instead of 10", "commands": ["set server b/s weight 20"]
        }]);
        let text = in_words(&answer(serde_json::json!({
            "serving": 3, "verdict": "at-run-time", "changes": "1 server changed", "commands": 1, "steps": steps, "reasons": []
        })));
        let begins = "this can be changed in the HAProxy that serves (generation 3), without a reload: 1 server changed\nin this order, \
                      1 command in all:\n\n1. server changed b/s: weight 20 instead of 10\n     set server b/s weight 20\n\nnothing was \
                      changed; ";
        assert!(text.starts_with(begins), "{text}");
    }

    #[test]
    fn what_stands_for_an_answer_is_explained() {
        let commands = ["prepare map /a.map", "commit map @{version} /a.map"];
        let steps = serde_json::json!([{"kind": "map", "object": "/a.map", "why": "another content", "commands": commands}]);
        let text = in_words(&answer(serde_json::json!({
            "serving": 3, "verdict": "at-run-time", "changes": "1 map", "commands": 2, "steps": steps, "reasons": []
        })));
        assert!(text.contains("\n     commit map @{version} /a.map\n\n{version} is the number"), "{text}");
    }

    #[test]
    fn reasons_are_told_for_a_reload() {
        let reasons = ["haproxy.cfg:4: the bind line has changed"];
        let text = in_words(&answer(serde_json::json!({
            "serving": 3, "verdict": "reload", "changes": null, "steps": [], "reasons": reasons
        })));
        assert!(
            text.starts_with("this needs a reload:\n  haproxy.cfg:4: the bind line has changed\n\nnothing"),
            "{text}"
        );
    }
}
