use super::*;

fn of(line: &str) -> Failure {
    of_an_end("exit code 1", vec![line.to_owned()], &[], None, None)
}

#[test]
fn haproxys_words_lead_and_decide_the_code() {
    let refused = of("[ALERT]    (7) : config : parsing [a.cfg:3] : unknown keyword 'x' in 'global' section");
    assert_eq!(refused.code, ExitCode::ConfigurationRefused);
    assert!(refused.message.contains("unknown keyword 'x'"), "{}", refused.message);
    assert_eq!(refused.words.len(), 1);

    let rights =
        of("[ALERT]    (7) : Starting frontend f: cannot bind socket (Permission denied) [0.0.0.0:80]");
    assert_eq!(rights.code, ExitCode::Rights);
    assert!(rights.hints[0].contains("--cap-add=NET_BIND_SERVICE"), "{:?}", rights.hints);
}

#[test]
fn a_silent_end_is_still_told() {
    let failure = of_an_end("killed by SIGKILL", Vec::new(), &[], None, None);
    assert_eq!(failure.message, "HAProxy did not start (killed by SIGKILL)");
}

#[test]
fn hints_of_an_error_are_those_of_the_failure() {
    let error = NotDerivable::DefaultPath {
        span: clearway_haproxy::configuration::Span { file: std::sync::Arc::new("h.cfg".into()), line: 3 },
        policy: "config",
    };
    let failure = copy(&error);
    assert!(
        failure.message.starts_with("the strategy `tableflip`: copying the configuration: "),
        "{failure:?}"
    );
    assert_eq!(failure.hints, [error.remedy(), WITHOUT]);
    let unavailable =
        Unavailable { strategy: Strategy::Plug, code: ExitCode::Kernel, why: "it".into(), hints: Vec::new() };
    assert_eq!(Failure::from(unavailable).message, "the strategy `plug`: it");
}
