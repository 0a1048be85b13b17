use std::path::Path;

use super::super::Configuration;
use super::super::scan::Scanner;
use super::{InitialHealth, Stated};

fn of(text: &str) -> Stated {
    let mut scanner = Scanner::new(&|_| None, None);
    scanner.file(Path::new("f.cfg"), text.as_bytes());
    scanner.finish().stated.find("b", "s1").cloned().unwrap()
}

#[test]
fn what_says_nothing_about_being_up_does_not_count() {
    let one = of("backend b\n server s1 10.0.0.1:80 check inter 2s maxconn 10 cookie x\n");
    let two = of("backend b\n default-server inter 5s\n server s1 10.0.0.1:80 check backup rise 5\n");
    assert_eq!(one.facts, two.facts);
    assert_eq!((one.rise, two.rise), (2, 5));
}

#[test]
fn checks_count_wherever_they_are_described() {
    let plain = of("backend b\n server s1 10.0.0.1:80 check\n");
    for other in [
        "backend b\n server s1 10.0.0.1:80\n",
        "backend b\n server s1 10.0.0.1:80 check port 81\n",
        "backend b\n default-server agent-check agent-port 9\n server s1 10.0.0.1:80 check\n",
        "backend b\n server s1 10.0.0.1:80 check\n option httpchk GET /\n",
        "defaults\n option httpchk GET /\nbackend b\n server s1 10.0.0.1:80 check\n",
        "defaults d\n default-server check-ssl\nbackend b from d\n server s1 10.0.0.1:80 check\n",
    ] {
        let other = of(other);
        assert_ne!(plain.facts.checks, other.facts.checks);
        assert_eq!(plain.facts.address, other.facts.address);
    }
    assert_eq!(
        plain.facts,
        of("defaults d\n option httpchk\ndefaults\nbackend b\n server s1 10.0.0.1:80 check\n").facts
    );
}

#[test]
fn addresses_weights_and_disabled_are_told_apart() {
    let plain = of("backend b\n server s1 10.0.0.1:80 check weight 10\n");
    assert_ne!(plain.facts.address, of("backend b\n server s1 10.0.0.1:81 check weight 10\n").facts.address);
    assert_ne!(plain.facts.weight, of("backend b\n server s1 10.0.0.1:80 check weight 11\n").facts.weight);
    assert!(of("backend b\n default-server disabled\n server s1 x:80\n").facts.disabled);
    assert!(!of("backend b\n default-server disabled\n server s1 x:80 enabled\n").facts.disabled);
    assert!(of("backend b\n load-server-state-from-file global\n server s1 x:80\n").from_file);
    assert_eq!(
        of("backend b\n server-template s 3 x:80 init-state down resolvers r\n").health,
        InitialHealth::File
    );
}

#[test]
fn sessions_end_where_the_line_or_its_defaults_say_so() {
    for (text, ends) in [
        ("backend b\n server s1 x:80 check on-marked-down shutdown-sessions\n", true),
        ("backend b\n server s1 x:80 check\n server s2 x:80 on-marked-down shutdown-sessions\n", false),
        ("backend b\n default-server on-marked-down shutdown-sessions\n server s1 x:80 check\n", true),
        ("backend b\n server s1 x:80 check\n default-server on-marked-down shutdown-sessions\n", false),
        ("backend b\n server-template s 2 x:80 on-marked-down shutdown-sessions\n", true),
        ("defaults\n default-server on-marked-down shutdown-sessions\nlisten b\n server s1 x:80\n", true),
        (
            "defaults d\n default-server on-marked-down shutdown-sessions\ndefaults e\n\
             backend b from d\n server s1 x:80\n",
            true,
        ),
        (
            "defaults d\n default-server on-marked-down shutdown-sessions\ndefaults e\n\
             backend b\n server s1 x:80\n",
            false,
        ),
        ("backend b\n server s1 x:80 on-marked-up shutdown-backup-sessions\n", false),
    ] {
        assert_eq!(of(text).ends_sessions, ends, "{text}");
    }
}

#[test]
fn what_a_condition_leaves_open_ends_no_session() {
    let ends = "on-marked-down shutdown-sessions";
    for (text, want) in [
        (format!("backend b\n.if X\n default-server {ends}\n.endif\n server s1 x:80\n"), false),
        (format!(".if X\nbackend b\n default-server {ends}\n server s1 x:80\n.endif\n"), true),
        (format!(".if X\ndefaults\n default-server {ends}\n.endif\nbackend b\n server s1 x:80\n"), false),
        // If there is such a server, it is that of the line.
        (format!("backend b\n.if X\n server s1 x:80 {ends}\n.endif\n"), true),
        (format!("backend b\n.if X\n server s1 x:80 {ends}\n.else\n server s1 x:80\n.endif\n"), false),
        (format!("backend b\n.if X\n server s1 x:80\n.else\n server s1 x:80 {ends}\n.endif\n"), false),
        (format!("backend b\n.if X\n server s1 x:80 {ends}\n.else\n server s1 x:81 {ends}\n.endif\n"), true),
    ] {
        assert_eq!(of(&text).ends_sessions, want, "{text}");
    }
}

#[test]
fn the_servers_whose_sessions_end_are_few() {
    let text = "backend b\n server s1 x:80\n server s2 x:80 on-marked-down shutdown-sessions\n";
    let stated = Configuration::of_text(Path::new("f.cfg"), text).stated.that_end_sessions();
    assert!(stated.find("b", "s1").is_none() && stated.find("b", "s2").is_some());
    assert!(Configuration::of_text(Path::new("f.cfg"), "").stated.that_end_sessions().is_empty());
}
