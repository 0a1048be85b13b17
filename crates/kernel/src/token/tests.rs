use super::*;

#[test]
fn a_name_has_one_holder_at_a_time() {
    let name = format!("clearway-kernel-test-{}", std::process::id());
    let first = Token::claim(&name).unwrap();
    assert!(first.is_some());
    assert!(Token::claim(&name).unwrap().is_none());
    drop(first);
    assert!(Token::claim(&name).unwrap().is_some());
}

#[test]
fn a_name_that_is_too_long_is_an_error() {
    assert!(Token::claim(&"x".repeat(200)).is_err());
}
