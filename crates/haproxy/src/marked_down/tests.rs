use std::path::Path;

use super::*;
use crate::configuration::Configuration;

const HEADING: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_port\n";

fn stated(text: &str) -> StatedServers {
    Configuration::of_text(Path::new("f.cfg"), text).stated
}

/// `show servers state` of servers of a backend `b`: name, address, state, port.
fn answer(servers: &[(&str, &str, i64, u16)]) -> String {
    let rows =
        servers.iter().map(|(name, ip, state, port)| format!("3 b 1 {name} {ip} {state} 0 1 1 {port}\n"));
    HEADING.to_owned() + &rows.collect::<String>()
}

fn now(old: &str, new: &str, rows: &[(&str, &str, i64, u16)]) -> Vec<(String, bool, bool)> {
    let (answer, new) = (answer(rows), stated(new));
    let told = Remembered::of(ServersState::of(&answer).unwrap(), &new);
    let servers = compare([&stated(old).that_end_sessions()].into_iter(), &told, &new);
    servers.into_iter().flatten().map(|one| (one.name, one.is_down, one.may_begin_down)).collect()
}

const FILE: &str = "backend b\n server s1 10.0.0.1:80 check on-marked-down shutdown-sessions\n server s2 10.0.0.2:80 check\n";

#[test]
fn the_old_file_says_which_servers_this_is_about() {
    let rows = [("s1", "10.0.0.1", STOPPED, 80), ("s2", "10.0.0.2", STOPPED, 80)];
    let silent = FILE.replace("on-marked-down shutdown-sessions", "");
    assert_eq!(now(FILE, FILE, &rows), [("b/s1".to_owned(), true, false)]);
    assert_eq!(now(FILE, &silent, &rows), [("b/s1".to_owned(), true, false)]);
    assert_eq!(now(&silent, FILE, &rows), []);
    let up = [("s1", "10.0.0.1", 2, 80)];
    assert_eq!(now(FILE, FILE, &up), [("b/s1".to_owned(), false, false)]);
}

#[test]
fn another_server_of_the_same_name_is_another_one() {
    let rows = [("s1", "10.0.0.1", STOPPED, 80)];
    for (from, to) in [
        ("10.0.0.1:80", "10.0.0.3:80"),
        ("s1 10.0.0.1:80 check", "s1 10.0.0.1:80 check port 9"),
        ("s1 10.0.0.1:80 check", "s1 10.0.0.1:80 check disabled"),
        ("backend b", "backend c"),
    ] {
        assert_eq!(now(FILE, &FILE.replace(from, to), &rows), [], "{to}");
    }
    // What says nothing about its health may change.
    assert_eq!(now(FILE, &FILE.replace("check on", "check weight 5 maxconn 7 on"), &rows).len(), 1);
}

#[test]
fn one_that_may_begin_down_is_told_apart() {
    let rows = [("s1", "10.0.0.1", STOPPED, 80)];
    let new = FILE.replace("check on", "check init-state down on");
    assert_eq!(now(FILE, &new, &rows), [("b/s1".to_owned(), true, true)]);
}

#[test]
fn what_the_old_one_takes_for_being_up_has_sessions_to_end() {
    let place = |port| ServerPlace { address: "10.0.0.1".parse().ok(), port };
    let wanted = BTreeMap::from([("b/s1".to_owned(), place(80)), ("b/s2".to_owned(), place(80))]);
    let of = |rows: &[(&str, &str, i64, u16)]| {
        let answer = answer(rows);
        were_up(ServersState::of(&answer).unwrap(), &wanted).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(of(&[("s1", "10.0.0.1", 2, 80), ("s2", "10.0.0.1", STOPPED, 80)]), ["b/s1"]);
    assert_eq!(of(&[("s1", "10.0.0.1", 2, 80), ("s3", "10.0.0.1", 2, 80)]), ["b/s1"]);
    // Moved at run time in one of the two.
    assert_eq!(of(&[("s1", "10.0.0.9", 2, 80), ("s2", "10.0.0.1", 2, 81)]), [""; 0]);
    // It is on its way up, or gets no new clients: it may have sessions.
    assert_eq!(of(&[("s1", "10.0.0.1", 1, 80), ("s2", "10.0.0.1", 3, 80)]), ["b/s1", "b/s2"]);
}
