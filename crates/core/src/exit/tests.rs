use super::ExitCode;

#[test]
fn numbers_are_distinct_and_in_order() {
    let numbers: Vec<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn numbers_that_others_use_are_left_to_them() {
    for code in ExitCode::ALL {
        // 1 means to `diff` what it means to diff(1).
        if code == ExitCode::Different {
            continue;
        }
        // 130 is what HAProxy's master ends with as well.
        assert!(!matches!(code.number(), 1 | 125 | 128..=129 | 131..), "{code:?}");
    }
}
