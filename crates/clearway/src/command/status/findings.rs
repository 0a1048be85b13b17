//! `clearway status --check`: for monitoring, one line and an exit code.

use clearway_core::exit::ExitCode;
use clearway_core::supervisor::Phase;
use clearway_kernel::canary::Verdict;

use crate::admin::api::Status;

/// Prints whether anything is wrong, and tells how to exit.
pub fn say(status: &Status, json: bool) -> ExitCode {
    let serves = matches!(status.state, Phase::Serving | Phase::Reloading);
    let found = of(status);
    let code = match (serves, found.is_empty()) {
        (false, _) => ExitCode::NotServing,
        (true, true) => ExitCode::Done,
        (true, false) => ExitCode::Findings,
    };
    if json {
        let told = serde_json::json!({ "state": status.state, "serving": serves, "findings": found });
        crate::say!("{told}");
    } else if found.is_empty() {
        crate::say!("{}", status.state);
    } else {
        crate::say!("{}: {}", status.state, found.join("; "));
    }
    code
}

/// What somebody should look at.
fn of(status: &Status) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(last) = &status.last_attempt
        && last.failure.is_some()
    {
        found.push(super::attempted(last));
    }
    if let (1.., Some(last)) = (status.crashes_since_reload, &status.last_crash) {
        found.push(format!(
            "{} crash(es) since a reload was asked for, the last one {} s ago ({}): generation {} ({})",
            status.crashes_since_reload, last.seconds_ago, last.at, last.generation, last.how
        ));
    }
    if let Some(configuration) = status.configuration.as_ref().filter(|configuration| !configuration.same) {
        found.push(format!("configuration: {}", configuration.words));
    }
    found.extend(status.strangers.iter().map(|stranger| format!("stranger: {stranger}")));
    found.extend(status.obstacles.iter().map(|one| format!("in the way: {}", one.saw)));
    let broken = status.canary.iter().filter(|one| one.verdict == Verdict::Broken);
    found.extend(broken.map(|one| format!("canary: the server {}: {}", one.address, one.words)));
    found.extend(status.incomplete.iter().map(|why| format!("incomplete: {why}")));
    // One line, whatever was found.
    found.iter().map(|one| one.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
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
    fn each_thing_that_somebody_should_look_at_is_a_finding() {
        let canary = |verdict: &str| serde_json::json!([{"address": "10.2.0.3:80", "verdict": verdict, "words": "no way"}]);
        let crash = serde_json::json!({"generation": 3, "how": "signal 11", "seconds_ago": 9, "at": "T"});
        let obstacle = serde_json::json!({"kind": "masquerade", "severity": "problem", "saw": "it", "matters": "", "remedy": ""});
        let refused =
            serde_json::json!({"code": 65, "message": "refused\nby HAProxy", "words": [], "hints": []});
        let cases = [
            serde_json::json!({"last_attempt": {"generation": 2, "failure": refused, "seconds_ago": 1, "cause": "reload"}}),
            serde_json::json!({"crashes": 4, "crashes_since_reload": 1, "last_crash": crash}),
            serde_json::json!({"configuration": {"same": false, "words": "h.cfg has changed"}}),
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
    fn what_is_over_or_seen_by_health_checks_is_none() {
        let canary = serde_json::json!([{"address": "10.2.0.3:80", "verdict": "down", "words": "refused"}]);
        let quiet = status(&serde_json::json!({
            "crashes": 4, "crashes_since_reload": 0, "canary": canary,
            "last_crash": {"generation": 3, "how": "signal 11", "seconds_ago": 9, "at": "T"},
            "configuration": {"same": true, "words": ""},
            "last_attempt": {"generation": 5, "failure": null, "seconds_ago": 1, "cause": "crash"},
        }));
        assert_eq!((of(&quiet).len(), say(&quiet, false)), (0, ExitCode::Done));
        assert_eq!(say(&status(&serde_json::json!({"state": "restarting"})), true), ExitCode::NotServing);
    }
}
