use std::path::PathBuf;

use super::super::{Configuration, SourceFile};

fn scan(text: &str) -> Configuration {
    let name = PathBuf::from("t.cfg");
    let file = SourceFile { name: name.clone(), path: name, bytes: text.as_bytes().to_vec() };
    Configuration::scan(vec![file], &|_| None)
}

/// The transparent ones, as `proxy/server`.
fn transparent(text: &str) -> Vec<String> {
    let found = scan(text).servers;
    found.transparent().map(|server| format!("{}/{}", server.section.name, server.name)).collect()
}

const YES: &str = "source 0.0.0.0 usesrc clientip";

#[test]
fn a_section_counts_for_its_servers_wherever_it_says_so() {
    let text = format!(
        "backend a\n server s1 1.1.1.1:1\n {YES}\n server s2 1.1.1.1:2\nbackend b\n server s 1.1.1.1:1\n"
    );
    assert_eq!(transparent(&text), ["a/s1", "a/s2"]);
}

#[test]
fn a_server_counts_before_its_defaults_and_these_before_the_section() {
    let text = format!(
        "backend a\n {YES}\n server s1 1.1.1.1:1 source 10.0.0.1\n default-server source 10.0.0.1\n \
         server s2 1.1.1.1:2\n server s3 1.1.1.1:2 {YES}\n"
    );
    assert_eq!(transparent(&text), ["a/s3"]);
}

#[test]
fn defaults_are_inherited_the_last_ones_or_those_that_are_named() {
    let text = format!(
        "defaults yes\n {YES}\nbackend a\n server s 1.1.1.1:1\ndefaults no\nbackend b\n server s 1.1.1.1:1\n\
         listen c from yes\n server s 1.1.1.1:1\ndefaults more from yes\nbackend d\n server s 1.1.1.1:1\n"
    );
    assert_eq!(transparent(&text), ["a/s", "c/s", "d/s"]);
}

#[test]
fn only_proxies_have_servers() {
    let text = format!("defaults\n {YES}\npeers p\n server s 1.1.1.1:1\nfrontend f\n server s 1.1.1.1:1\n");
    assert!(transparent(&text).is_empty());
}

#[test]
fn a_condition_may_hold() {
    let text = format!(
        "backend a\n .if defined(X)\n {YES}\n .else\n source 10.0.0.1\n .endif\n server s 1.1.1.1:1\n"
    );
    assert_eq!(transparent(&text), ["a/s"]);
}

#[test]
fn templates_and_servers_of_later_are_known_by_name() {
    let text =
        format!("backend a\n {YES}\n server-template web 3 example.org:80\n server one 127.0.0.1:80\n");
    let servers = scan(&text).servers;
    assert!(servers.find("a", "web2").is_some_and(|server| server.template));
    assert!(servers.find("a", "one2").is_none());
    assert!(servers.is_transparent("a", "web2") && servers.is_transparent("a", "added"));
    assert!(!servers.is_transparent("b", "added"));
}

#[test]
fn an_address_without_a_port_is_none() {
    let servers = scan("backend a\n server s 127.0.0.1\n server t 127.0.0.1:80\n").servers;
    let known: Vec<bool> = servers.iter().map(|server| server.endpoint.is_some()).collect();
    assert_eq!(known, [false, true]);
}
