use super::{Count, sessions};

#[test]
fn one_is_singular_and_everything_else_plural() {
    let said = |number: u64, noun| Count(number, noun).to_string();
    assert_eq!(said(0, "session"), "0 sessions");
    assert_eq!(said(1, "listening socket"), "1 listening socket");
    assert_eq!(said(2, "bind line"), "2 bind lines");
    assert_eq!(said(1, "process"), "1 process");
    assert_eq!(said(3, "process"), "3 processes");
    assert_eq!(said(3, "try"), "3 tries");
}

#[test]
fn what_is_not_known_is_said_so() {
    assert_eq!(sessions(Some(1)), "1 session");
    assert_eq!(sessions(None), "an unknown number of sessions");
}
