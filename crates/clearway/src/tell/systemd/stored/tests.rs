use super::*;

fn names(interface: &str, namespace: &str) -> Names {
    Names { interface: interface.to_owned(), namespace: namespace.to_owned() }
}

#[test]
fn a_name_brings_back_what_went_into_it() {
    for about in [names("", ""), names("eth0.5", ""), names("", "blue"), names("a:b/c%d", "ü \n\u{7f}")] {
        let name = name(17, &about).unwrap();
        assert!(name.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b':'), "{name}");
        assert_eq!(parse(&name), Some(about), "{name}");
    }
    assert_eq!(name(17, &names("eth0", "")).unwrap(), "clearway/1/17/eth0/");
}

#[test]
fn what_systemd_would_not_take_has_no_name() {
    assert_eq!(name(17, &names("eth0", &"n".repeat(250))), None);
}

#[test]
fn other_names_are_not_ours() {
    let others = [
        "",
        "stored",
        "http",
        "clearway",
        "clearway/1",
        "clearway/1/",
        "clearway/1//eth0/",
        "clearway/1/x//",
        "clearway/1/17/eth0",
        "clearway/1/17///",
        "clearway/2/17//",
        "clearway/1/17/%/",
        "clearway/1/17/%4/",
        "clearway/1/17/%zz/",
        "clearway/1/17/%ff/",
        "clearway/1/17/%ü/",
    ];
    for other in others {
        assert_eq!(parse(other), None, "{other}");
    }
}

#[test]
fn what_is_meant_for_another_process_is_left_alone() {
    let pid = std::process::id();
    for listen_pid in [String::new(), "x".to_owned(), (pid + 1).to_string()] {
        let stored = Stored::take(|name| match name {
            "LISTEN_PID" => Some(listen_pid.clone().into()),
            "LISTEN_FDS" => Some("1".into()),
            "LISTEN_FDNAMES" => Some("clearway/1/17//".into()),
            _ => None,
        });
        assert!(stored.names.is_empty() && stored.numbers.is_empty(), "{listen_pid}");
    }
}
