//! Pairs of files, and what becomes of them. What HAProxy makes of the commands, `tests/real_haproxy` tries.

use std::path::Path;

use super::*;
use crate::configuration::SourceFile;
use crate::runtime::state::ServersState;
use crate::version::Version;

mod hostile;

const HELP: &str = "  add server : x\n  del server : x\n  set server <b>/<s> [opts] : x\n";

fn scan(text: &str) -> Configuration {
    let bytes = text.as_bytes().to_vec();
    let path = Path::new("h.cfg").to_path_buf();
    let lookup = |name: &str| (name == "NET").then(|| "10.9.9".to_owned());
    Configuration::scan(vec![SourceFile { name: path.clone(), path, bytes }], &lookup)
}

fn against(minor: (u16, u16), old: &str, new: &str) -> ChangeComparison {
    let can = Capabilities::new(Version::release(minor.0, minor.1, 0), HELP);
    comparison(&scan(old), &scan(new), &can)
}

fn commands(old: &str, new: &str) -> Vec<String> {
    match against((3, 2), old, new).verdict {
        ChangeVerdict::RunTime(plan) => {
            plan.steps.into_iter().flat_map(|step| step.orders).map(|order| order.command).collect()
        }
        other => vec![format!("{other:?}")],
    }
}

fn reasons(old: &str, new: &str) -> Vec<String> {
    match against((3, 2), old, new).verdict {
        ChangeVerdict::Reload(reasons) => reasons.iter().map(ToString::to_string).collect(),
        other => vec![format!("{other:?}")],
    }
}

const HEAD: &str =
    "global\n maxconn 1000\ndefaults\n mode http\n default-server check inter 1s weight 10\nbackend b\n";

fn both(old: &str, new: &str) -> (String, String) {
    (format!("{HEAD}{old}"), format!("{HEAD}{new}"))
}

fn planned(old: &str, new: &str) -> Vec<String> {
    let (old, new) = both(old, new);
    commands(&old, &new)
}

fn refused(old: &str, new: &str) -> Vec<String> {
    let (old, new) = both(old, new);
    reasons(&old, &new)
}

const ONE: &str = " server s1 10.0.0.1:80\n";

#[test]
fn comments_blanks_and_quotes_change_nothing() {
    let (old, new) = both(ONE, "\n # a comment\n   server  \"s1\"   10.0.0.1:80 # here\n\n");
    assert_eq!(against((3, 2), &old, &new).verdict, ChangeVerdict::Same);
    let moved = format!("# above all\n{old}");
    assert_eq!(against((3, 2), &old, &moved).verdict, ChangeVerdict::Same);
    assert_eq!(against((3, 2), &old, &old).verdict, ChangeVerdict::Same);
}

#[test]
fn an_added_server_has_every_option_spelled_out() {
    let added = planned(ONE, &format!("{ONE} server s2 10.0.0.2:80 weight 5 maxconn 7\n"));
    assert_eq!(added.len(), 3, "{added:?}");
    let id: u32 = added[0].split(' ').nth(5).unwrap().parse().unwrap();
    assert!((1 << 19..1 << 20).contains(&id));
    assert_eq!(added[0], format!("add server b/s2 10.0.0.2:80 id {id} check inter 1s maxconn 7 weight 5"));
    assert_eq!(added[1..], ["enable health b/s2", "set server b/s2 state ready"]);
}

#[test]
fn before_3_0_what_haproxy_leaves_at_zero_is_said() {
    let (old, new) = both(ONE, &format!("{ONE} server s2 10.0.0.2:80 no-check disabled\n"));
    let ChangeVerdict::RunTime(plan) = against((2, 6), &old, &new).verdict else { panic!() };
    let orders = &plan.steps[0].orders;
    assert!(orders[0].command.ends_with(
        "disabled error-limit 10 inter 1s on-error fail-check pool-max-conn -1 pool-purge-delay 5s weight 10"
    ));
    assert_eq!(orders.len(), 1, "it is disabled, and not checked");
    let excerpt = plan.excerpt.unwrap();
    assert_eq!(
        excerpt,
        "global\nlisten clearway-excerpt\n mode tcp\n bind abns@clearway-excerpt\nbackend b\n mode http\n \
         default-server check inter 1s weight 10\n server s2 10.0.0.2:80 no-check disabled\n"
    );
}

#[test]
fn a_check_inherits_tls_and_the_proxy_protocol_as_in_a_file() {
    let of = |options: &str| planned(ONE, &format!("{ONE} server s2 10.0.0.2:80 {options}\n")).remove(0);
    assert!(of("ssl verify none").contains("check check-ssl inter"));
    assert!(!of("ssl verify none port 81").contains("check-ssl"));
    assert!(of("send-proxy-v2").contains("check check-send-proxy inter"));
}

#[test]
fn a_removed_server_comes_after_an_added_one() {
    let renamed = planned(ONE, " server new 10.0.0.1:80\n");
    let last: Vec<&str> = renamed.iter().skip(3).map(String::as_str).collect();
    assert!(renamed[0].starts_with("add server b/new 10.0.0.1:80 id "));
    assert_eq!(last, ["set server b/s1 state maint", "del server b/s1"]);
}

#[test]
fn a_template_grows_and_shrinks() {
    let of = |count: u8| format!(" server-template s {count} 10.0.0.1:80\n");
    let grown = planned(&of(2), &of(4));
    assert!(
        grown[0].starts_with("add server b/s3 ") && grown[3].starts_with("add server b/s4 "),
        "{grown:?}"
    );
    assert_eq!(planned(&of(2), &of(1)), ["set server b/s2 state maint", "del server b/s2"]);
    let named = |count: u8| format!(" server-template s {count} web.example:80\n");
    assert_eq!(planned(&named(2), &named(1)).len(), 2);
    assert_eq!(
        refused(&named(1), &named(2)),
        ["h.cfg:7: the server `s2` is new: `web.example:80` is not an IP address with a port"]
    );
}

#[test]
fn what_changes_about_a_server_is_set_in_order() {
    let changed = planned(ONE, " server s1 10.0.0.2:81 maxconn 9 weight 3\n");
    assert_eq!(
        changed,
        [
            "set maxconn server b/s1 9",
            "set server b/s1 weight 3",
            "set server b/s1 addr 10.0.0.2 port 81",
            "set server b/s1 health up"
        ]
    );
    let disabled = " server s1 10.0.0.2:80 disabled\n";
    assert_eq!(
        planned(ONE, disabled),
        ["set server b/s1 state maint", "set server b/s1 addr 10.0.0.2 port 80"]
    );
    assert_eq!(
        planned(disabled, ONE),
        ["set server b/s1 addr 10.0.0.1 port 80", "set server b/s1 state ready"]
    );
    let (old, new) = both(ONE, " server s1 10.0.0.1:80 weight 3\n");
    let ChangeVerdict::RunTime(plan) = against((2, 6), &old, &new).verdict else { panic!() };
    assert_eq!((plan.excerpt, plan.steps[0].why.as_str()), (None, "weight 3 instead of 10"));
}

#[test]
fn what_cannot_be_set_is_a_reload() {
    let with = |options: &str| format!(" server s1 10.0.0.1:80 {options}\n");
    for (new, why) in [
        (with("cookie x"), "h.cfg:7: `cookie` of the server `s1` has changed"),
        (with("rise 5"), "h.cfg:7: `rise` of the server `s1` has changed"),
        (
            with("frobnicate"),
            "h.cfg:7: the server `s1` has changed, and what `frobnicate` means for it is not understood",
        ),
        (with("weight 300"), "h.cfg:7: `weight` of the server `s1` has changed"),
        (with("maxconn \"a;b\""), "h.cfg:7: `maxconn` of the server `s1` has changed"),
        (with("port 81"), "h.cfg:7: `port` of the server `s1` has changed"),
        (
            " server s1 web:80\n".to_owned(),
            "h.cfg:7: the address, which is no IP address with a port, of the server `s1` has changed",
        ),
        (with("maxconn \"5"), "h.cfg:7: it is not a line that HAProxy takes: a quote or an escape is wrong"),
    ] {
        assert_eq!(refused(ONE, &new), [why], "{new}");
    }
}

#[test]
fn lines_beside_servers_are_a_reload() {
    let old = format!(" balance leastconn\n http-request deny\n{ONE}");
    for (new, why) in [
        (old.replace("deny", "return"), "h.cfg:8: the `http-request` line has changed"),
        (
            old.replace(" http-request deny\n", ""),
            "h.cfg:8: the `http-request` line, which the former file has here, is gone",
        ),
        (old.replace(" http", " retries 3\n http"), "h.cfg:8: the `retries` line is new"),
        (
            format!(" http-request deny\n balance leastconn\n{ONE}"),
            "h.cfg:7: lines stand in another order from here on",
        ),
        (format!("{old}backend c\n"), "h.cfg:10: the section `backend c` is new"),
        (
            old.replace(ONE, &format!(".if feature(X)\n{ONE}.endif\n")),
            "h.cfg:9: the `.if` line is new, and conditions (`.if`) decide about lines of `backend b`",
        ),
        (
            format!("{old} server s2 10.0.0.1:80"),
            "h.cfg:10: the last line has no end, so the file may be cut off",
        ),
    ] {
        assert_eq!(refused(&old, &new), [why], "{new}");
    }
    let (old, _) = both(ONE, ONE);
    assert_eq!(
        reasons(&old, &old.replace("inter 1s", "inter 2s")),
        ["h.cfg:5: the `default-server` line has changed (in `defaults`)"]
    );
    assert_eq!(
        reasons(&old, &old.replace(" maxconn 1000", " maxconn 2000")),
        ["h.cfg:2: the global `maxconn` has been raised, and HAProxy has room for the former one only"]
    );
}

#[test]
fn numbers_that_count_are_those_of_a_fresh_start() {
    let two = " balance first\n server s1 10.0.0.1:80\n server s2 10.0.0.2:80\n";
    let added = planned(two, &format!("{two} server s3 10.0.0.3:80\n"));
    assert!(added[0].starts_with("add server b/s3 10.0.0.3:80 id 3 "), "{added:?}");
    assert_eq!(
        refused(two, " balance first\n server s2 10.0.0.2:80\n"),
        ["h.cfg:8: the number (`id`) of the server `s2` would be 1, not 2, and `balance first` counts on it"]
    );
    assert_eq!(planned(two, " balance first\n server s1 10.0.0.1:80\n").len(), 2);
    let fixed = |more: &str| format!(" balance source\n{ONE}{more}");
    assert_eq!(
        refused(&fixed(""), &fixed(" server s2 10.0.0.2:80\n")),
        [
            "h.cfg:9: the server `s2` is new: HAProxy adds no server at run time where `balance source` is made from all of them"
        ]
    );
    let two = two.replace("first", "roundrobin");
    assert_eq!(
        refused(&two, " balance roundrobin\n server s2 10.0.0.2:80\n server s1 10.0.0.1:80\n"),
        ["h.cfg:8: the servers stand in another order from `s2` on"]
    );
}

#[test]
fn a_server_that_a_line_names_is_not_deleted() {
    let old = format!(" use-server s1 if TRUE\n{ONE} server s2 10.0.0.2:80\n");
    let why = ["h.cfg:8: the server `b/s1` is gone, and a line like `use-server` or `track` names it"];
    assert_eq!(refused(&old, &old.replace(ONE, "")), why);
    assert_eq!(planned(&old, &old.replace(" server s2 10.0.0.2:80\n", "")).len(), 2);
}

#[test]
fn inheritance_is_followed() {
    let text = "defaults base\n default-server weight 7\ndefaults top from base\n default-server rise 4\n\
                defaults other\n mode tcp\nbackend b from top\n default-server fall 9\n server s1 10.0.0.1:80\n";
    let new = format!("{text} server s2 \"${{NET}}.2:80\" no-check\n");
    assert!(commands(text, &new)[0].ends_with(" fall 9 rise 4 weight 7"), "{:?}", commands(text, &new));
    assert!(commands(text, &new)[0].starts_with("add server b/s2 10.9.9.2:80 id "));
    assert_eq!(
        reasons(text, &text.replace("10.0.0.1", "\"${HAPROXY_X}\"")),
        ["h.cfg:9: it uses a variable whose value is not known here"]
    );
}

#[test]
fn limits_of_frontends_and_of_all() {
    let text = |all: u32, one: u32| {
        format!(
            "global\n maxconn {all}\ndefaults\n mode http\nfrontend f\n maxconn {one}\n bind :80\nbackend b\n{ONE}"
        )
    };
    assert_eq!(commands(&text(100, 50), &text(100, 60)), ["set maxconn frontend f 60"]);
    assert_eq!(commands(&text(100, 50), &text(90, 50)), ["set maxconn global 90"]);
    let derived = |text: String| format!("{text} fullconn 20\n");
    assert_eq!(reasons(&derived(text(100, 50)), &derived(text(100, 60))).len(), 1);
    let without = text(100, 50).replace(" maxconn 50\n", "");
    assert_eq!(
        reasons(&without, &without.replace("maxconn 100", "maxconn 90")),
        ["h.cfg:2: the global `maxconn` has changed, and `frontend f` takes its own from it"]
    );
}

const HEADING: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_port\n";

#[test]
fn what_another_program_has_changed_is_seen() {
    let (old, new) = both(ONE, &format!("{} server s2 10.0.0.3:80\n", ONE.replace(".1:", ".2:")));
    let expected = against((3, 2), &old, &new).expected;
    assert_eq!(expected.questions(), ["show servers state b"]);
    let row = |name: &str, address: &str, weight: u8| format!("3 b 1 {name} {address} 2 0 {weight} 10 80\n");
    let seen = |rows: String, after: bool| {
        let text = format!("{HEADING}{rows}");
        let told = ServersState::of(&text);
        let reasons = if after { expected.after(told) } else { expected.before(told) };
        reasons.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(seen(row("s1", "10.0.0.1", 10), false).is_empty());
    assert!(seen(row("s1", "10.0.0.2", 10) + &row("s2", "10.0.0.3", 10), true).is_empty());
    for (rows, after, what) in [
        (
            row("s1", "10.0.0.9", 10),
            false,
            "b/s1: its address is 10.0.0.9:80, not 10.0.0.1:80: another program has changed something",
        ),
        (
            row("s1", "10.0.0.1", 9),
            false,
            "b/s1: its weight is 9, not 10: another program has changed something",
        ),
        (
            String::new(),
            false,
            "b/s1: HAProxy does not have this server: another program has changed something",
        ),
        (
            row("s1", "10.0.0.1", 10) + &row("x", "10.0.0.1", 10),
            false,
            "b/x: HAProxy has this server, and the file does not: another program has changed something",
        ),
        (
            row("s1", "10.0.0.2", 10),
            true,
            "b/s2: HAProxy does not have this server: another program has changed something",
        ),
    ] {
        assert_eq!(seen(rows, after), [what]);
    }
}
