use super::*;
use proptest::prelude::*;

#[test]
fn reads_the_first_lines_of_the_world() {
    for (line, want) in [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12"),
        ("HAProxy version 3.0.11-1+deb13u3 2026/05/20 - https://haproxy.org/", "3.0.11"),
        ("HAProxy version 3.2.26-1 2026/10/14 - https://haproxy.org/", "3.2.26"),
        ("HAProxy version 2.4.24-0ubuntu0.22.04.1 2023/10/31 - https://haproxy.org/", "2.4.24"),
        ("HAProxy version 2.8.5-1ubuntu3 2024/04/01 - https://haproxy.org/", "2.8.5"),
        ("HAProxy version 3.1.2-1ppa1~noble 2025/01/09 - https://haproxy.org/", "3.1.2"),
        ("HAProxy version 3.5-dev5 2026/08/20 - https://haproxy.org/", "3.5-dev5"),
        ("HAProxy version 3.5-dev5-50872d-71 2026/08/21 - https://haproxy.org/", "3.5-dev5"),
        ("HAProxy version 2.4-dev19 2021/05/10 - https://haproxy.org/", "2.4-dev19"),
        ("HA-Proxy version 2.2.9-2+deb11u6 2023/11/12 - https://haproxy.org/", "2.2.9"),
        ("HA-Proxy version 1.8.8-1ubuntu0.13 2022/01/01", "1.8.8"),
        ("HAProxy version 3.3.0\n", "3.3.0"),
    ] {
        assert_eq!(Version::parse(line).unwrap().to_string(), want, "{line}");
    }
    let warned = "[NOTICE] something\nHAProxy version 3.0.0-1 2024/05/29\nStatus: x\n";
    assert_eq!(Version::parse(warned).unwrap(), Version::release(3, 0, 0));
}

#[test]
fn says_what_it_saw() {
    let error = Version::parse("nginx version: nginx/1.22.1\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "reading the output of `haproxy -v`: no `HAProxy version` in `nginx version: nginx/1.22.1`"
    );
    assert!(Version::parse("").is_err());
    assert!(Version::parse("HAProxy version 99999999999.1").is_err());
}

#[test]
fn answers_by_age() {
    let v = |text| Version::from_text(text).unwrap();
    assert!(v("2.4.0").supported() && v("3.5-dev5").supported());
    assert!(!v("2.2.9").supported() && !v("2.4-dev19").supported());
    assert!(!v("2.8.12").has_setcap() && !v("2.9-dev4").has_setcap());
    assert!(v("2.9-dev5").has_setcap() && v("2.9.0").has_setcap() && v("3.2.26").has_setcap());
    assert_eq!(v("2.9.1").user_with_transparency(), UserWithTransparency::Refused);
    assert_eq!(v("3.0.11").user_with_transparency(), UserWithTransparency::NeedsSetcap);
    assert!(v("3.0-dev7") < v("3.0.0") && v("3.0.0") < v("3.0.1") && v("3.0.9") < v("3.1-dev0"));
}

proptest! {
    #[test]
    fn never_panics(text in ".{0,40}") {
        let _ = Version::parse(&format!("HAProxy version {text}"));
        let _ = Version::from_text(&text);
    }
}
