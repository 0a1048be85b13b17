use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::configuration::SourceFile;

fn scan(texts: &[&[u8]]) -> Configuration {
    let file = |(number, text): (usize, &&[u8])| {
        let name = PathBuf::from(format!("{number}.cfg"));
        SourceFile { name: name.clone(), path: name, bytes: text.to_vec() }
    };
    let lookup = |name: &str| match name {
        "PORT" => Some("80".to_owned()),
        "ADDRESS" => Some("10.0.0.1".to_owned()),
        _ => None,
    };
    Configuration::scan(texts.iter().enumerate().map(file).collect(), &lookup)
}

/// Ports from 20000 on.
fn of(text: &str) -> Derived {
    let mut next = 20_000;
    let mut private = |_| {
        next += 1;
        Some(next - 1)
    };
    derive(&scan(&[text.as_bytes()]), &mut private).unwrap()
}

#[test]
fn addresses_get_private_ports() {
    for (line, expected) in [
        ("bind :80", "bind ipv4@0.0.0.0:20000"),
        ("  bind *:80 name web # comment", "  bind ipv4@0.0.0.0:20000 name web # comment"),
        ("bind\t:::80 v4v6", "bind\tipv6@:::20000 v4v6"),
        ("bind [::1]:80", "bind ipv6@::1:20000"),
        ("bind ipv4@10.0.0.1:80 ssl crt a.pem", "bind ipv4@10.0.0.1:20000 ssl crt a.pem"),
        ("bind ipv6@fd00::1:80", "bind ipv6@fd00::1:20000"),
        ("bind ipv6@:80", "bind ipv6@:::20000"),
        ("bind 127.0.0.1:80,127.0.0.1:81", "bind ipv4@127.0.0.1:20000,ipv4@127.0.0.1:20001"),
        ("bind 127.0.0.1:80,127.0.0.1:80", "bind ipv4@127.0.0.1:20000,ipv4@127.0.0.1:20000"),
        ("bind :8000-8002", "bind ipv4@0.0.0.0:20000,ipv4@0.0.0.0:20001,ipv4@0.0.0.0:20002"),
        ("bind \":80\"", "bind ipv4@0.0.0.0:20000"),
        ("bind '127.0.0.1':80", "bind ipv4@127.0.0.1:20000"),
        ("bind \"${ADDRESS}:$PORT\" name a", "bind ipv4@10.0.0.1:20000 name a"),
        ("bind ${ADDRESS}:${PORT}", "bind ipv4@10.0.0.1:20000"),
        ("bind :80\r", "bind ipv4@0.0.0.0:20000\r"),
        ("bind stream+ipv4@:80", "bind ipv4@0.0.0.0:20000"),
        ("bind tcp4@127.0.0.1:80 proto h2", "bind ipv4@127.0.0.1:20000 proto h2"),
    ] {
        let derived = of(&format!("frontend f\n{line}\n mode http\n"));
        let text = String::from_utf8(derived.files[0].clone()).unwrap();
        assert_eq!(text, format!("frontend f\n{expected}\n mode http\n"), "{line}");
        assert!(derived.left.is_empty() && derived.moved.iter().all(|moved| moved.span.line == 2), "{line}");
        // What HAProxy will read is what we say.
        let again = scan(&[text.as_bytes()]);
        let bound: Vec<SocketAddr> = again.tcp_addresses().map(|(_, address)| address).collect();
        let said: Vec<SocketAddr> =
            derived.moved.iter().map(|moved| SocketAddr::new(moved.public.ip(), moved.private)).collect();
        assert_eq!(bound, said, "{line}");
    }
}

#[test]
fn what_cannot_be_redirected_stays() {
    for (line, why) in [
        ("bind /run/a.sock", Why::NoIp),
        ("bind abns@a", Why::NoIp),
        ("bind fd@5", Why::NoIp),
        ("bind :80,/run/a.sock", Why::NoIp),
        ("bind quic4@:443", Why::NoTcp),
        ("bind udp@:443", Why::NoTcp),
        ("dgram-bind :514", Why::NoTcp),
        ("bind mptcp@:80", Why::Mptcp),
        ("bind localhost:80", Why::Name),
        ("bind :80 interface eth0", Why::Interface),
        ("bind fe80::1%eth0:80", Why::Interface),
        ("bind fd00::1%eth0:80", Why::Interface),
        ("bind :80 namespace blue", Why::Namespace),
        ("bind :80 transparent", Why::Transparent),
        ("bind ::ffff:10.0.0.1:80", Why::Mapped),
        ("bind \"${MANY[*]}\" :80", Why::Unknown),
        ("bind :nothing", Why::Unknown),
        ("bind", Why::Unknown),
        ("bind :1-5000", Why::TooLong),
    ] {
        let text = format!("frontend f\n{line}\n bind :81\n");
        let derived = of(&text);
        assert_eq!(derived.left.iter().map(|left| left.why).collect::<Vec<_>>(), [why], "{line}");
        assert_eq!(derived.left[0].span.to_string(), "0.cfg:2");
        let private = derived.moved.last().unwrap().private;
        let expected = text.replace(" bind :81", &format!(" bind ipv4@0.0.0.0:{private}"));
        assert_eq!(String::from_utf8(derived.files[0].clone()).unwrap(), expected, "{line}");
    }
}

#[test]
fn peers_and_guarded_lines_with_variables_stay() {
    let derived = of("peers p\n bind :1024\n.if defined(X)\nfrontend f\n bind :$PORT\n bind :81\n.endif\n");
    assert_eq!(derived.left.iter().map(|left| left.why).collect::<Vec<_>>(), [Why::Peers, Why::Unknown]);
    assert!(derived.moved.len() == 1 && derived.moved[0].guarded);
}

#[test]
fn an_address_has_one_private_port_in_all_files() {
    let configuration = scan(&[b"frontend f\n bind :80", b" bind :80\nfrontend g\n bind :81\n"]);
    let mut asked = Vec::new();
    let mut private = |public: SocketAddr| {
        asked.push(public);
        (public.port() == 80).then_some(20_000)
    };
    let derived = derive(&configuration, &mut private).unwrap();
    assert_eq!(derived.files[0], b"frontend f\n bind ipv4@0.0.0.0:20000");
    assert_eq!(derived.files[1], b" bind ipv4@0.0.0.0:20000\nfrontend g\n bind :81\n");
    assert_eq!(asked.len(), 2);
    assert_eq!(derived.left[0].why, Why::NoPort);
}

#[test]
fn what_a_copy_breaks_is_refused_with_its_line() {
    let refused = |text: &str| derive(&scan(&[text.as_bytes()]), &mut |_| None).unwrap_err();
    let refused = |text: &str| format!("{0}: {1}", refused(text), refused(text).remedy());
    for policy in ["config", "parent"] {
        let error = refused(&format!("global\n default-path {policy}\n"));
        assert!(error.contains("0.cfg:2") && error.contains("origin"), "{error}");
    }
    assert!(refused("global\n \"default-path\" 'config'\n").contains("0.cfg:2"));
    assert!(refused("global\n\n setenv A \"$HAPROXY_CFGFILES\"\n").contains("0.cfg:3"));
    let fine = "global\n default-path origin /etc\n # default-path config, HAPROXY_CFGFILES\n";
    assert!(derive(&scan(&[fine.as_bytes()]), &mut |_| None).is_ok());
}

proptest! {
    #[test]
    fn nothing_panics_and_other_lines_stay(
        lines in proptest::collection::vec(
            prop_oneof![
                "[ \\t]{0,2}bind [ -~]{0,40}",
                "[ \\t]{0,2}bind (\"|')?[*.:0-9@a-z,$\\[\\]{}%-]{0,24}(\"|')?( name x)?",
                "[ -~]{0,40}",
                "(frontend|global|peers|.if|.endif|.else)[ a-z]{0,8}",
            ], 0..12),
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut text = format!("frontend f\n{}\n", lines.join("\n")).into_bytes();
        text.extend(bytes);
        let configuration = scan(&[&text]);
        if let Ok(derived) = derive(&configuration, &mut |_| Some(20_000)) {
            let before: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
            let after: Vec<&[u8]> = derived.files[0].split(|byte| *byte == b'\n').collect();
            prop_assert_eq!(before.len(), after.len());
            for (index, (before, after)) in before.iter().zip(&after).enumerate() {
                if !derived.moved.iter().any(|moved| moved.span.line == index + 1) {
                    prop_assert_eq!(before, after);
                }
            }
            let told = derived.moved.iter().map(|moved| &moved.span).chain(derived.left.iter().map(|left| &left.span));
            let told: std::collections::HashSet<usize> = told.map(|span| span.line).collect();
            for bind in &configuration.binds {
                prop_assert!(told.contains(&bind.span.line), "{} is not told of", bind.span);
            }
        }
    }
}

/// HAProxy knows which block counts, the scanner guesses: a copy with a number in it would hide that.
#[test]
fn what_a_block_may_have_set_is_left() {
    let text = "global\n.if defined(NO)\n.else\n setenv PORT 29009\n.endif\nfrontend f\n bind 127.0.0.1:\"$PORT\"\n bind :81\n";
    let derived = of(text);
    assert_eq!(
        derived.left.iter().map(|left| (left.span.line, left.why)).collect::<Vec<_>>(),
        [(7, Why::Unknown)]
    );
    assert_eq!(derived.moved.iter().map(|moved| moved.public.port()).collect::<Vec<_>>(), [81]);
    let outside = text.replace(".if defined(NO)\n.else\n", "").replace(".endif\n", "");
    assert!(of(&outside).left.is_empty(), "it is known there");
}
