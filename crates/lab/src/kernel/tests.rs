//! Normalising and comparing.

use super::{Snapshot, differing_lines, normalise};

#[test]
fn only_what_changes_by_itself_is_taken_out() {
    assert_eq!(
        normalise("fe80::/64 proto ra expires 1786sec pref medium"),
        "fe80::/64 proto ra expires N pref medium"
    );
    assert_eq!(normalise("\tcounter packets 12 bytes 720 accept"), "\tcounter packets N bytes N accept");
    assert_eq!(
        normalise("elements = { 10.0.0.1 expires 9s998ms, a }"),
        "elements = { 10.0.0.1 expires N, a }"
    );
    let rule = "902:\tfrom all fwmark 0x20000000/0x20000000 lookup 7212 proto 179 ";
    assert_eq!(normalise(rule), rule.trim_end());
}

#[test]
fn order_means_nothing_and_number_does() {
    assert!(differing_lines("a\nb", "b\na").is_empty());
    assert_eq!(differing_lines("a\nb", "a\nc\nc"), ["- b", "+ c"]);
}

#[test]
fn a_difference_names_its_command() {
    let before = Snapshot { outputs: vec![("ip rule", "0: from all lookup local".into())] };
    let after = Snapshot { outputs: vec![("ip rule", "0: from all lookup local\n902: x".into())] };
    assert_eq!(before.diff(&after), ["ip rule: + 902: x"]);
    assert_eq!(after.diff(&before), ["ip rule: - 902: x"]);
}
