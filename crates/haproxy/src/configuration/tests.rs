use super::*;
use crate::command_line::Invocation;
use proptest::prelude::*;
use std::ffi::OsString;
use std::net::IpAddr;

fn variables(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8080".into()),
        "ADDRESSES" => Some("10.0.0.1:80,10.0.0.2:80".into()),
        "TWO" => Some("a b".into()),
        _ => None,
    }
}

fn scan(text: &str) -> Configuration {
    let file = SourceFile { name: "h.cfg".into(), path: "/h.cfg".into(), bytes: text.as_bytes().to_vec() };
    Configuration::scan(vec![file], &variables)
}

fn cut(line: &str) -> Vec<String> {
    words::words(line.as_bytes(), &environment::Variables::new(&variables))
}

#[test]
fn cuts_words_as_haproxy_does() {
    for (line, want) in [
        ("  bind  :80\tname web # comment", vec!["bind", ":80", "name", "web"]),
        ("a#b c", vec!["a"]),
        (r"a\ b c\#d e\\f \'g\'", vec!["a b", "c#d", r"e\f", "'g'"]),
        (r#""a b" 'c "d" \n $PORT' e"f"g"#, vec!["a b", r#"c "d" \n $PORT"#, "efg"]),
        (r#""" '' x"#, vec!["", "", "x"]),
        (r#":"$PORT" "${PORT}x" :$PORT"#, vec![":8080", "8080x", ":$PORT"]),
        (r#""${NONE-80}" "${PORT-80}" "$NONE""#, vec!["80", "8080", ""]),
        (r#"x "${TWO[*]}" "${NONE[*]}" y"#, vec!["x", "a", "b", "y"]),
        (r"\x41\x62 \q \t", vec!["Ab", r"\q", "\t"]),
        (r#"a "open b"#, vec!["a", "open b"]),
        (r#"a "${PORT b"#, vec!["a", ""]),
        ("a\\", vec!["a\\"]),
        ("", vec![]),
    ] {
        assert_eq!(cut(line), want, "{line}");
    }
}

#[test]
fn reads_addresses_as_haproxy_does() {
    let addresses = |text: &str| -> Vec<String> {
        scan(&format!("listen a\n bind {text}\n"))
            .tcp_addresses()
            .map(|(_, address)| address.to_string())
            .collect()
    };
    for (text, want) in [
        ("*:80", vec!["0.0.0.0:80"]),
        (":80", vec!["0.0.0.0:80"]),
        (":::80", vec!["[::]:80"]),
        ("[::]:80", vec!["[::]:80"]),
        ("ipv6@:80", vec!["[::]:80"]),
        ("ipv4@*:80,tcp6@[2001:db8::1]:443", vec!["0.0.0.0:80", "[2001:db8::1]:443"]),
        ("2001:db8::1:443", vec!["[2001:db8::1]:443"]),
        ("127.0.0.1:80-82", vec!["127.0.0.1:80", "127.0.0.1:81", "127.0.0.1:82"]),
        ("fe80::1%eth0:80", vec!["[fe80::1]:80"]),
        ("$ADDRESSES", vec!["10.0.0.1:80", "10.0.0.2:80"]),
        ("127.0.0.1:${PORT}", vec!["127.0.0.1:8080"]),
        ("mptcp@127.0.0.1:1", vec!["127.0.0.1:1"]),
        ("quic4@:443,/run/a.sock,unix@b.sock,abns@c,fd@3,sockpair@4,rhttp@b/s,udp@:53,localhost:80", vec![]),
        (":,1.2.3.4,1.2.3.4:99999,:9-8,:0,what@ever,,", vec![]),
    ] {
        assert_eq!(addresses(text), want, "{text}");
    }
    let all = scan("listen a\n bind quic4@:443,/run/a.sock,abns@c,fd@3,rhttp@b/s,localhost:80,x\n");
    assert_eq!(
        all.binds[0].endpoints,
        [
            Endpoint::Ip {
                transport: Transport::Quic,
                address: IpAddr::from([0, 0, 0, 0]),
                ports: 443..=443
            },
            Endpoint::Unix("/run/a.sock".into()),
            Endpoint::Abstract("c".into()),
            Endpoint::Inherited("3".into()),
            Endpoint::Reverse("b/s".into()),
            Endpoint::Host { transport: Transport::Tcp, name: "localhost".into(), ports: 80..=80 },
            Endpoint::Unknown("x".into()),
        ]
    );
}

#[test]
fn keeps_the_options_of_a_bind() {
    let found = scan(
        "frontend web\n bind :::443 v6only interface eth0 ssl crt a.pem transparent namespace blue\n bind :1\n",
    );
    let bind = &found.binds[0];
    assert_eq!(bind.section.to_string(), "frontend web");
    assert_eq!(bind.span.to_string(), "h.cfg:2");
    assert!(bind.transparent);
    assert_eq!(bind.v6, V6::Only);
    assert_eq!(bind.interface.as_deref(), Some("eth0"));
    assert_eq!(bind.namespace.as_deref(), Some("blue"));
    assert_eq!(found.binds[1].v6, V6::Unsaid);
}

#[test]
fn finds_transparency_wherever_it_can_stand() {
    let found = scan(
        "defaults\n source 0.0.0.0 usesrc clientip\nbackend usesrc\n source 0.0.0.0\n server usesrc 1.2.3.4:80\n \
         server source source:80 source ipv6@ interface eth0 usesrc clientip weight 1\n default-server source :: \
         usesrc hdr_ip(x-forwarded-for,-1)\n # source 0.0.0.0 usesrc clientip\n http-request set-src usesrc\n",
    );
    let lines: Vec<_> =
        found.transparent.iter().map(|t| (t.span.line, t.source.as_str(), t.uses.as_str())).collect();
    assert_eq!(
        lines,
        [(2, "0.0.0.0", "clientip"), (6, "ipv6@", "clientip"), (7, "::", "hdr_ip(x-forwarded-for,-1)")]
    );
    assert_eq!(found.transparent[0].text, "source 0.0.0.0 usesrc clientip");
    assert_eq!(found.transparent[1].section.name, "usesrc");
}

#[test]
fn conditions_stay_with_the_lines_they_guard() {
    let found = scan(
        "listen a\n.if defined(A) && streq(\"$PORT\",8080)\n bind :1\n .if feature(QUIC)\n bind :2\n .endif\n.elif \
         version_atleast(3.0)\n bind :3\n.else\n bind :4\n.endif\n bind :5\n.endif\n bind :6\n",
    );
    let guards: Vec<String> = found
        .binds
        .iter()
        .map(|bind| bind.guards.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "))
        .collect();
    let first = "`defined(A) && streq(8080,8080)`";
    assert_eq!(
        guards,
        [
            first.to_owned(),
            format!("{first} and `feature(QUIC)`"),
            format!("not {first} and `version_atleast(3.0)`"),
            format!("not {first} and not `version_atleast(3.0)`"),
            String::new(),
            String::new(),
        ]
    );
    let guard = Guard { condition: r#"streq("a\b",'c')"#.into(), holds: Holds::True };
    assert_eq!(guard.argument(), r#"streq(\"a\\b\",\'c\')"#);
}

#[test]
fn reads_global() {
    let found = scan(
        "global\n daemon\n user haproxy\n group haproxy\n uid 0\n chroot /var/lib/haproxy\n pidfile /run/h.pid\n \
         master-worker no-exit-on-failure\n stats socket /run/h.sock mode 660 level admin expose-fd listeners\n \
         stats socket ipv4@127.0.0.1:9999\n stats maxconn 40\n setcap cap_net_raw\n hard-stop-after 30s\n \
         default-path config\n zero-warning\n stats-file a\nlisten daemon\n daemon\n",
    );
    let global = &found.global;
    let value = |setting: &Option<GlobalSetting>| setting.as_ref().map(|s| (s.value.clone(), s.span.line));
    assert_eq!(value(&global.user), Some(("haproxy".into(), 3)));
    assert_eq!(value(&global.chroot), Some(("/var/lib/haproxy".into(), 6)));
    assert_eq!(value(&global.zero_warning), Some((String::new(), 15)));
    assert_eq!(global.stats_maxconn(), Some(40));
    assert_eq!(global.stats_files[0].value, "a");
    assert!(global.pid_files.len() == 1 && global.pid_files[0].value == "/run/h.pid");
    assert!(global.changes_user() && !Global::default().changes_user());
    assert!(!scan("global\n user root\n uid 0\n").global.changes_user());
    assert_eq!(found.stats_sockets.len(), 2);
    assert!(found.stats_sockets[0].exposes_listeners && !found.stats_sockets[1].exposes_listeners);
    assert_eq!(found.stats_sockets[0].endpoints, [Endpoint::Unix("/run/h.sock".into())]);
    let lines =
        |found: &Configuration| -> Vec<String> { found.fighting.iter().map(ToString::to_string).collect() };
    assert_eq!(
        lines(&scan("global\n master-worker\n")),
        ["`master-worker` (h.cfg:2) has no effect: each generation is one master and one worker anyway"]
    );
    assert_eq!(
        lines(&found),
        [
            "`daemon` (h.cfg:2) has no effect: Clearway supervises HAProxy in the foreground",
            "`master-worker no-exit-on-failure` (h.cfg:8): the program of a `program` section that dies is not started \
             again before the next reload; there is no other effect, each generation is one master and one worker \
             anyway",
        ]
    );
}

#[test]
fn the_file_can_change_the_environment() {
    let found = scan(
        "global\n setenv PORT 1\n presetenv PORT 2\n presetenv NEW 3\n unsetenv TWO\n.if x\n setenv PORT 9\n \
         .endif\nlisten a\n bind :\"$PORT\"\n bind :$NEW\n bind \"${TWO-:7}\"\nglobal\n resetenv NEW\nlisten b\n \
         bind :\"$PORT\"\n bind :$NEW\n",
    );
    let ports: Vec<u16> = found.tcp_addresses().map(|(_, address)| address.port()).collect();
    assert_eq!(ports, [1, 3, 7, 3]);
    assert_eq!(found.environment.get("NEW"), Some(&Some("3".into())));
}

fn invocation(line: &str) -> Invocation {
    Invocation::parse(line.split_whitespace().map(OsString::from)).unwrap()
}

#[test]
fn reads_files_and_directories_in_haproxys_order() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir_all(folder.path().join("conf.d/dir.cfg")).unwrap();
    write("first.cfg", "listen a\n");
    for name in ["b.cfg", "B.cfg", "a.cfg", ".hidden.cfg", "a.cfg.cfg", "a.cfg~", "readme"] {
        write(&format!("conf.d/{name}"), &format!("listen {name}\n bind :1\n"));
    }
    let line = format!("haproxy -C {} -f conf.d -f first.cfg", folder.path().display());
    let found = Configuration::read(&invocation(&line), &variables).unwrap();
    let names: Vec<_> = found.files.iter().map(|file| file.name.to_str().unwrap()).collect();
    assert_eq!(names, ["conf.d/B.cfg", "conf.d/a.cfg", "conf.d/b.cfg", "first.cfg"]);
    assert_eq!(found.files[3].bytes, b"listen a\n");
    assert_eq!(found.binds[0].span.to_string(), "conf.d/B.cfg:2");
    assert!(found.files[0].path.is_absolute());
}

#[test]
fn says_which_file_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let read = |name: &str| {
        let line = format!("haproxy -f {}", at(name).display());
        Configuration::read(&invocation(&line), &variables).unwrap_err()
    };
    std::fs::create_dir(at("empty")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), 0o600.into()).unwrap();
    std::fs::File::create(at("huge")).unwrap().set_len(LIMIT + 1).unwrap();
    assert_eq!(
        read("missing").to_string(),
        format!(
            "reading the configuration `{}`: No such file or directory (os error 2)",
            at("missing").display()
        )
    );
    assert!(matches!(read("empty"), ConfigurationError::NoFiles { .. }));
    assert!(matches!(read("pipe"), ConfigurationError::Special { kind: "a pipe", .. }));
    assert!(matches!(read("huge"), ConfigurationError::TooLarge { .. }));
    assert!(Configuration::read(&invocation("haproxy -f /dev/null"), &variables).is_ok());
    let error = Configuration::read(&invocation("haproxy -f /dev/zero"), &variables).unwrap_err();
    assert_eq!(
        error.to_string(),
        "reading the configuration `/dev/zero`: it is a device, and a configuration is read again at each reload; \
         use a file"
    );
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = SourceFile { name: "a".into(), path: "a".into(), bytes };
        Configuration::scan(vec![file], &variables);
    }

    #[test]
    fn likely_lines_never_panic(line in r#"[ \t"'\\#${}\[*\]@:,+0-9a-f%.-]{0,60}"#) {
        cut(&line);
        let found = scan(&format!("global\n setenv A {line}\n{line}\n stats socket {line}\nlisten a\n bind {line}\n \
                                   server a b {line} source {line}\n.if {line}\n.elif {line}\n bind {line}\n"));
        for bind in &found.binds {
            for endpoint in &bind.endpoints {
                prop_assert!(endpoint.socket_addresses().count() <= 65_536);
            }
        }
    }
}

#[test]
fn stick_tables_have_the_names_that_haproxy_gives_them() {
    let text = "backend a\n stick-table type string len 64 size 1k store gpc0\nbackend b\n stick-table type ip size 1k peers p\n\
                peers p\n peer me 127.0.0.1:1\n table t type ip size 1k\nfrontend f\n.if a\n stick-table type ip size 1k peers p\n.else\n \
                stick-table type ip size 1k\n.endif\n";
    let tables = Configuration::of_text(std::path::Path::new("f"), text).tables;
    let table = |name| tables.find(name).map(|table| (table.length.as_str(), table.is_shared));
    assert_eq!(table("a"), Some(("64", false)));
    assert_eq!(
        [table("b"), table("p/t"), table("f"), table("t")],
        [Some(("", true)), Some(("", true)), Some(("", true)), None]
    );
    assert!(tables.has_unshared());
}

#[test]
fn a_file_cannot_make_more_of_itself_than_so_much() {
    let doubled = "global\n setenv A 0123456789abcdef\n".to_owned() + &" setenv A \"$A$A\"\n".repeat(16);
    let found = scan(&(doubled.clone() + " chroot \"$A\"\n" + &" pidfile \"$A\"\n".repeat(100)));
    let longest = found.global.chroot.unwrap().value.len();
    assert!((16 << 10..=64 << 10).contains(&longest), "{longest}");
    let all: usize = found.global.pid_files.iter().map(|file| file.value.len()).sum();
    assert!(all < 2 << 20, "{all}");
    // Of many servers each inherits the same lines.
    let servers =
        doubled + "backend b\n default-server id \"$A\"\n" + &" server s x:80 weight 3\n".repeat(100);
    let stated = scan(&servers).stated.find("b", "s").unwrap().clone();
    assert_eq!(stated, scan("backend b\n server s x:80 weight 3\n").stated.find("b", "s").unwrap().clone());
}

#[test]
fn what_a_large_file_is_used_with_finds_room() {
    let servers: Vec<String> = (0..20_000).map(|n| format!(" server s{n} \"10.0.0.1:$PORT\"\n")).collect();
    let servers = servers.concat();
    let found = scan(&format!("backend b\n{servers}"));
    let last = found.servers.find("b", "s19999").unwrap().address();
    assert_eq!(last, Some("10.0.0.1:8080".parse().unwrap()));
}
