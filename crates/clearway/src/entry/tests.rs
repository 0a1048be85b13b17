use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[test]
fn haproxys_arguments_mean_supervision() {
    for line in ["haproxy -f /usr/local/etc/haproxy/haproxy.cfg", "-f a.cfg", "-h", "-v", "--", "haproxy"] {
        assert_eq!(route(words(line)), Entry::Supervise(words(line)), "{line}");
    }
}

#[test]
fn clearways_own_words_are_its_own() {
    for line in ["", "--help", "--version", "run -- haproxy -f a", "reload", "status --json", "cleanup"] {
        assert_eq!(route(words(line)), Entry::Own(words(line)), "{line}");
    }
}

#[test]
fn anything_else_is_executed_in_place() {
    for line in ["bash", "sh -c true", "/usr/sbin/haproxy -f a", "haproxyctl", "Run"] {
        assert_eq!(route(words(line)), Entry::Execute(words(line)), "{line}");
    }
}

#[test]
fn under_the_name_haproxy_only_the_first_process_is_supervised() {
    let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    let serve = words("-W -db -f /x.cfg");
    assert_eq!(route_as_haproxy(serve.clone(), true), Entry::Supervise(words("haproxy -W -db -f /x.cfg")));
    assert_eq!(route_as_haproxy(serve, false), Entry::StepAside(words("haproxy -W -db -f /x.cfg"), true));
    for line in ["-v", "-c -f /x.cfg", "reload"] {
        let expected = Entry::StepAside(words(&format!("haproxy {line}")), false);
        assert_eq!(route_as_haproxy(words(line), false), expected, "{line}");
    }
}
