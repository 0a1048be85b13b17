use super::*;
use proptest::prelude::*;
use std::os::unix::ffi::OsStringExt;

fn parse(line: &str) -> Result<Invocation, CommandLineError> {
    Invocation::parse(line.split_whitespace().map(OsString::from))
}

fn files() -> GenerationFiles {
    GenerationFiles {
        overlay: ChildFd(9).path(),
        master_cli: Some(ChildFd(7)),
        sockets_from: Some(ChildFd(8)),
        told: None,
        copies: None,
        pid_file: None,
    }
}

fn supervised(line: &str) -> String {
    let words: Vec<String> = parse(line)
        .unwrap()
        .supervised_arguments(&files())
        .into_iter()
        .map(|word| word.into_string().unwrap())
        .collect();
    words.join(" ")
}

#[test]
fn passes_on_what_does_not_fight() {
    let line = "haproxy -f a.cfg -C /etc/haproxy -L me -m 100 -n 2000 -N 10 -V -de -dMtag -dr -f conf.d -4";
    let got = parse(line).unwrap();
    assert_eq!(got.purpose, InvocationPurpose::Supervise);
    assert_eq!(got.configuration, [PathBuf::from("a.cfg"), PathBuf::from("conf.d")]);
    assert_eq!(got.working_directory, Some(PathBuf::from("/etc/haproxy")));
    assert_eq!(got.local_peer, Some("me".into()));
    assert!(got.handled.is_empty());
    assert_eq!(
        supervised(line),
        "-W -db -f a.cfg -C /etc/haproxy -L me -m 100 -n 2000 -N 10 -V -de -dMtag -dr -f conf.d -4 \
         -S sockpair@7 -x sockpair@8 -f /proc/self/fd/9"
    );
}

#[test]
fn a_relative_working_directory_is_made_absolute() {
    let got = parse("haproxy -C conf -f h.cfg").unwrap();
    let directory = std::env::current_dir().unwrap().join("conf");
    assert_eq!(got.working_directory, Some(directory.clone()));
    assert_eq!(got.passed, ["-C".into(), directory.into_os_string(), "-f".into(), OsString::from("h.cfg")]);
    assert_eq!(got.arguments, ["-C", "conf", "-f", "h.cfg"].map(OsString::from));
}

#[test]
fn takes_out_what_fights() {
    let got =
        parse("-D -W -Ws -db -q -p /run/h.pid -S /run/m.sock,mode,600 -sf 12 13 -st 14 -x /run/h.sock -f a")
            .unwrap();
    assert_eq!(got.program, "haproxy");
    assert_eq!(
        got.handled,
        [
            Handled::Daemon,
            Handled::MasterWorker,
            Handled::MasterWorkerNotify,
            Handled::Foreground,
            Handled::Quiet,
            Handled::Finish(vec!["12".into(), "13".into()]),
            Handled::Terminate(vec!["14".into()]),
            Handled::SocketsFrom("/run/h.sock".into()),
        ]
    );
    assert_eq!(got.pid_file, Some("/run/h.pid".into()));
    assert_eq!(got.master_cli, ["/run/m.sock,mode,600"]);
    assert_eq!(got.passed, ["-f", "a"]);
    for handled in &got.handled {
        let line = handled.to_string();
        assert!(line.starts_with('`') && !line.contains('\n') && !line.ends_with('.'), "{line}");
    }
    assert_eq!(got.handled[0].to_string(), "`-D` is left out: Clearway supervises HAProxy in the foreground");
}

#[test]
fn the_overlay_is_last_also_behind_dashes() {
    assert_eq!(
        supervised("haproxy -f a -q -- b -c"),
        "-W -db -f a -S sockpair@7 -x sockpair@8 -- b -c /proc/self/fd/9"
    );
    let got = parse("haproxy -f a -- b -c").unwrap();
    assert_eq!(got.configuration, [PathBuf::from("a"), PathBuf::from("b"), PathBuf::from("-c")]);
    assert_eq!(got.purpose, InvocationPurpose::Supervise);
}

#[test]
fn knows_a_question() {
    for line in [
        "haproxy -c -f a",
        "haproxy -f a -c",
        "haproxy -cc feature(QUIC)",
        "haproxy -v",
        "haproxy -vv",
        "haproxy -vq foo",
        "haproxy -h",
        "haproxy -dKall -f a",
        "haproxy -dC -f a",
        "haproxy -dMhelp -f a",
        "haproxy -W -db",
        "haproxy",
        "",
        "-v",
        "haproxy -W -c -f a -Z",
    ] {
        assert_eq!(parse(line).unwrap().purpose, InvocationPurpose::AskOnly, "{line}");
    }
    assert_eq!(parse("haproxy -W -c -f a").unwrap().arguments, ["-W", "-c", "-f", "a"]);
}

#[test]
fn reads_letters_as_haproxy_does() {
    assert_eq!(parse("-file a").unwrap().configuration, [PathBuf::from("a")]);
    // `-f` takes the next word even if it looks like an option.
    assert_eq!(parse("-f -c").unwrap().configuration, [PathBuf::from("-c")]);
    assert_eq!(parse("-f a -dt quic:level=3 -q").unwrap().passed, ["-f", "a", "-dt", "quic:level=3"]);
    let limited = parse("-f a -N 50").unwrap();
    assert_eq!(
        (limited.frontend_maxconn, limited.passed),
        (Some(50), ["-f", "a", "-N", "50"].map(OsString::from).to_vec())
    );
    // An option of some future HAProxy goes through with its words.
    assert_eq!(parse("-f a -Y 3 -q").unwrap().passed, ["-f", "a", "-Y", "3"]);
}

#[test]
fn bad_input_gets_words_that_help() {
    assert_eq!(
        parse("haproxy -f").unwrap_err().to_string(),
        "reading HAProxy's arguments: `-f` needs a value (a configuration file or directory)"
    );
    assert_eq!(
        parse("haproxy -f a.cfg b.cfg").unwrap_err().to_string(),
        "reading HAProxy's arguments: `b.cfg` belongs to no option; name a configuration with `-f b.cfg` or after \
         `--`"
    );
    for line in ["haproxy -S", "haproxy -x", "haproxy -p", "haproxy -cc", "haproxy -C"] {
        assert!(matches!(parse(line), Err(CommandLineError::ValueMissing { .. })), "{line}");
    }
    assert!(Invocation::parse([OsString::new()]).is_err());
}

proptest! {
    #[test]
    fn never_panics(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..12)) {
        let words = words.into_iter().map(OsString::from_vec);
        if let Ok(invocation) = Invocation::parse(words) {
            let arguments = invocation.supervised_arguments(&files());
            prop_assert_eq!(arguments.last().unwrap(), "/proc/self/fd/9");
        }
    }

    #[test]
    fn never_panics_on_likely_words(line in "(-[a-zA-Z0-9-]{0,3}|[a-z0-9]{0,2})( (-[a-zA-Z0-9-]{0,3}|[a-z0-9]{0,2})){0,8}") {
        let _ = parse(&line);
    }
}
