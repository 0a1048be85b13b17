use super::*;

fn of(line: &str) -> Failure {
    of_an_end("exit code 1", vec![line.to_owned()], &[], None)
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
    let failure = of_an_end("killed by SIGKILL", Vec::new(), &[], None);
    assert_eq!(failure.message, "HAProxy did not start (killed by SIGKILL)");
}

#[test]
fn hints_inside_an_error_become_hints() {
    let failure = split(ExitCode::Kernel, "doing", "it failed\nhint: do that");
    assert_eq!((failure.message.as_str(), failure.hints), ("doing: it failed", vec!["do that".to_owned()]));
}
