use super::*;

/// Written by another process: our own descriptor for writing could be in a child that another test forks at this very
/// moment, and what is open for writing cannot be executed (`ETXTBSY`).
fn script(directory: &Path, text: &str) -> Executable {
    let path = directory.join("haproxy");
    let mut writer = std::process::Command::new("sh");
    writer
        .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#, "sh"])
        .arg(&path)
        .arg(text);
    assert!(writer.status().unwrap().success());
    Executable::new(path.into())
}

#[test]
fn a_missing_haproxy_is_named_with_the_package_to_install() {
    let failure = Executable::new("no-such-haproxy-here".into()).version().unwrap_err();
    assert_eq!(failure.code, ExitCode::NoHaproxy);
    assert!(failure.hints[0].contains("apt-get install haproxy"));
}

#[test]
fn an_old_haproxy_is_refused_by_its_version() {
    let directory = tempfile::tempdir().unwrap();
    let old = script(directory.path(), "echo 'HA-Proxy version 2.2.9-2+deb11u6 2023/12/14'");
    let failure = old.version().unwrap_err();
    assert_eq!(failure.code, ExitCode::NoHaproxy);
    assert!(failure.message.contains("is HAProxy 2.2.9; Clearway needs 2.4 or later"), "{}", failure.message);
}

#[test]
fn the_version_is_asked_for_again_only_when_the_file_changes() {
    let directory = tempfile::tempdir().unwrap();
    let count = directory.path().join("count");
    let text = format!("echo x >> {}; echo 'HAProxy version 3.0.11-1 2026/05/20'", count.display());
    let program = script(directory.path(), &text);
    for _ in 0..3 {
        assert_eq!(program.version().unwrap(), Version::release(3, 0, 11));
    }
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
    script(directory.path(), "echo 'HAProxy version 3.2.26-1 2026/10/14' # a new one");
    assert_eq!(program.version().unwrap(), Version::release(3, 2, 26));
}

#[test]
fn clones_that_ask_at_the_same_time_ask_once() {
    let directory = tempfile::tempdir().unwrap();
    let count = directory.path().join("count");
    let text =
        format!("echo x >> {}; sleep 0.1; echo 'HAProxy version 3.0.11-1 2026/05/20'", count.display());
    let program = script(directory.path(), &text);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(program.clone().version().unwrap(), Version::release(3, 0, 11)));
        }
    });
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
    assert_eq!(program.known_version(), Some(Version::release(3, 0, 11)));
}

#[test]
fn what_is_no_haproxy_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let failure = script(directory.path(), "echo hello").version().unwrap_err();
    assert_eq!(failure.code, ExitCode::NoHaproxy);
    let condition = script(directory.path(), "exit 1").holds("version_atleast(9)", Instant::now() + PATIENCE);
    assert_eq!(condition, Some(false));
}

#[test]
fn one_that_does_not_answer_is_not_said_to_be_missing() {
    let failure = unanswered(Path::new("/usr/sbin/haproxy"), &std::io::ErrorKind::TimedOut.into());
    assert_eq!(failure.code, ExitCode::NoHaproxy);
    assert!(failure.message.ends_with("timed out after 5 s"), "{}", failure.message);
    assert!(failure.hints[0].contains("starved of processor time"), "{:?}", failure.hints);
    let failure = unanswered(Path::new("/usr/sbin/haproxy"), &std::io::ErrorKind::PermissionDenied.into());
    assert!(failure.hints[0].contains("apt-get install haproxy"), "{:?}", failure.hints);
}

#[test]
fn one_that_says_something_and_does_not_end_is_not_waited_for_longer() {
    let directory = tempfile::tempdir().unwrap();
    let silent = script(directory.path(), "exec >&-; while :; do sleep 1; done");
    let condition = silent.holds("version_atleast(9)", Instant::now() + Duration::from_millis(200));
    assert_eq!(condition, None);
}
