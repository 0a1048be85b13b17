use std::path::Path;

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
