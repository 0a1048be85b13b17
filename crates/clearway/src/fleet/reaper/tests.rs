use super::*;

#[test]
fn ends_are_said_in_words() {
    for (raw, words) in [
        (0, "exit code 0"),
        (1 << 8, "exit code 1"),
        (11, "killed by SIGSEGV"),
        (9, "killed by SIGKILL"),
        (15, "killed by SIGTERM"),
        (6, "killed by SIGABRT"),
    ] {
        assert_eq!(end(ExitStatus::from_raw(raw)).to_string(), words);
    }
}
