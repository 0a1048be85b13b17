//! `clearway status --check`: for monitoring, one line and an exit code.

use clearway_core::exit::ExitCode;
use clearway_core::supervisor::Phase;

use crate::front::api::{Holding, Status};
use crate::front::findings::of;
use crate::front::request::Health;

/// Prints whether anything is wrong, and tells how to exit.
pub fn say(status: &Status, json: bool) -> ExitCode {
    let (told, code) = told(status, json);
    crate::say!("{told}");
    code
}

pub(super) fn told(status: &Status, json: bool) -> (String, ExitCode) {
    let serves = matches!(status.state, Phase::Serving | Phase::Reloading);
    let drains_as_planned = status.state == Phase::Superseded;
    // What is to be looked at after a takeover, its successor says: that one has the addresses and the newest files.
    let found = if drains_as_planned { Vec::new() } else { of(status) };
    let code = match (serves, found.is_empty()) {
        (false, _) if drains_as_planned => ExitCode::Done,
        (false, _) => ExitCode::NotServing,
        (true, true) => ExitCode::Done,
        (true, false) => ExitCode::Findings,
    };
    let told = if json {
        serde_json::json!({ "state": status.state, "serving": serves, "findings": found }).to_string()
    } else if drains_as_planned {
        Health::Superseded.to_string()
    } else if found.is_empty() {
        status.state.to_string()
    } else {
        format!("{}: {}", status.state, found.join("; "))
    };
    (told, code)
}

/// The same of a holder, where no balancer was found: what matters is whether one serves from what it holds.
pub fn say_of_a_holder(holding: &Holding, json: bool) -> ExitCode {
    let (told, code) = told_of_a_holder(holding, json);
    crate::say!("{told}");
    code
}

fn told_of_a_holder(holding: &Holding, json: bool) -> (String, ExitCode) {
    let serves = holding.balancer_serves;
    let code = if serves { ExitCode::Done } else { ExitCode::NotServing };
    let mut found = Vec::new();
    if !serves {
        found.push(holding.balancer());
        found.extend(holding.failures());
    }
    let told = if json {
        serde_json::json!({ "state": holding.state, "serving": serves, "findings": found }).to_string()
    } else if serves {
        format!("{}: {}", holding.state, holding.balancer())
    } else {
        format!("{}: {}", holding.state, found.join("; "))
    };
    (told, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(more: &serde_json::Value) -> Status {
        let mut status = serde_json::json!({
            "version": "0.1.0", "pid": 7, "instance": null, "state": "serving", "haproxy": null, "crashes_in_a_row": 0,
            "generations": [], "last_attempt": null, "custody": [], "plumbing": null,
        });
        for (name, value) in more.as_object().unwrap() {
            status[name] = value.clone();
        }
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn each_thing_that_should_be_looked_at_is_a_finding() {
        let canary = |verdict: &str| serde_json::json!([{"address": "10.2.0.3:80", "verdict": verdict, "words": "no way"}]);
        let crash = serde_json::json!({"generation": 3, "how": "signal 11", "seconds_ago": 9, "at": "T"});
        let obstacle = serde_json::json!({"kind": "masquerade", "severity": "problem", "saw": "it", "matters": "", "remedy": ""});
        let refused =
            serde_json::json!({"code": 65, "message": "refused\nby HAProxy", "words": [], "hints": []});
        let cases = [
            serde_json::json!({"last_attempt": {"generation": 2, "failure": refused, "seconds_ago": 1, "cause": "reload"}}),
            serde_json::json!({"crashes": 4, "crashes_since_reload": 1, "last_crash": crash}),
            serde_json::json!({"configuration": {"same": false, "words": "h.cfg has changed"}}),
            serde_json::json!({"rolled_back": {"to": 1, "from": 2, "at": "T", "seconds_ago": 9}}),
            serde_json::json!({"network_gone": true}),
            serde_json::json!({"strangers": ["0.0.0.0:80 held by nginx"]}),
            serde_json::json!({"obstacles": [obstacle]}),
            serde_json::json!({"canary": canary("broken")}),
            serde_json::json!({"incomplete": "no thread"}),
        ];
        for case in cases {
            let status = status(&case);
            let found = of(&status);
            assert_eq!(found.len(), 1, "{case}: {found:?}");
            assert!(!found[0].contains('\n'), "{found:?}");
            assert_eq!(say(&status, false), ExitCode::Findings);
        }
    }

    #[test]
    fn one_that_was_superseded_is_well_whatever_has_become_of_its_files() {
        let changed = serde_json::json!({
            "state": "superseded", "configuration": {"same": false, "words": "h.cfg has changed"},
        });
        let (words, code) = told(&status(&changed), false);
        assert_eq!(code, ExitCode::Done);
        assert!(words.starts_with("superseded: ") && !words.contains('\n'), "{words}");
        let (json, code) = told(&status(&changed), true);
        assert_eq!(code, ExitCode::Done);
        assert_eq!(json, r#"{"findings":[],"serving":false,"state":"superseded"}"#);
        assert_eq!(say(&status(&serde_json::json!({"state": "stopping"})), false), ExitCode::NotServing);
    }

    #[test]
    fn a_holder_is_well_while_a_balancer_serves() {
        let mut holding: Holding = serde_json::from_value(serde_json::json!({
            "version": "0.1.0", "pid": 7, "instance": "web", "state": "holding", "balancer_serves": true,
            "failed_starts": 0, "sockets": ["0.0.0.0:80"], "seconds_left": null,
        }))
        .unwrap();
        assert_eq!(say_of_a_holder(&holding, false), ExitCode::Done);
        holding.balancer_serves = false;
        for (seconds, says) in [(Some(290), "NO BALANCER serves"), (None, "no balancer has come yet")] {
            holding.seconds_left = seconds;
            holding.failed_starts = 2;
            let (words, code) = told_of_a_holder(&holding, false);
            assert_eq!(code, ExitCode::NotServing, "{words}");
            assert!(
                words.starts_with("holding: ") && words.contains(says) && words.contains("2 starts"),
                "{words}"
            );
            assert!(!words.contains('\n'), "{words}");
            let (json, code) = told_of_a_holder(&holding, true);
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!((code, &json["serving"]), (ExitCode::NotServing, &serde_json::json!(false)));
            assert_eq!(json["findings"].as_array().map(Vec::len), Some(2), "{json}");
        }
    }

    #[test]
    fn what_is_over_or_seen_by_health_checks_is_none() {
        let canary = serde_json::json!([{"address": "10.2.0.3:80", "verdict": "down", "words": "refused"}]);
        let quiet = status(&serde_json::json!({
            "crashes": 4, "crashes_since_reload": 0, "canary": canary,
            "last_crash": {"generation": 3, "how": "signal 11", "seconds_ago": 9, "at": "T"},
            "configuration": {"same": true, "words": ""},
            "rolled_back": {"to": 1, "from": 2, "at": "T", "seconds_ago": 9},
            "last_attempt": {"generation": 5, "failure": null, "seconds_ago": 1, "cause": "crash"},
        }));
        assert_eq!((of(&quiet).len(), say(&quiet, false)), (0, ExitCode::Done));
        assert_eq!(say(&status(&serde_json::json!({"state": "restarting"})), true), ExitCode::NotServing);
    }
}
