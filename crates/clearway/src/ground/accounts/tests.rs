use super::*;

#[test]
fn accounts_are_found_by_name() {
    let text = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
    assert_eq!(find(text, "nobody"), Some(65534));
    assert_eq!(find(text, "1000"), Some(1000));
    assert_eq!(find(text, "nobod"), None);
}
