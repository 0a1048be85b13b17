use std::path::Path;

use super::{CarryOutcome, CarryPlan, in_advance, plan};
use crate::configuration::{Configuration, StatedServers};
use crate::runtime::state::{Remembered, ServersState};

const HEADING: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
    srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
    srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
    srv_check_addr srv_agent_addr srv_agent_port\n";

/// A server that is up: its address, its three states, its two weights, its health.
fn row(address: &str, operation: u8, admin: u8, weights: &str, health: u8) -> String {
    format!("3 b 1 s1 {address} {operation} {admin} {weights} 4 6 3 {health} 6 0 0 0 - 80 - 0 0 - - 0\n")
}

/// What such a server is known as, with that file.
fn remembered(row: &str, file: &StatedServers) -> Remembered {
    Remembered::of(ServersState::of(&format!("{HEADING}{row}")).unwrap(), file)
}

fn planned(old: &Remembered, file: &StatedServers, now: &str) -> CarryPlan {
    plan(old, file, ServersState::of(&format!("{HEADING}{now}")).unwrap())
}

fn up() -> String {
    row("10.0.0.1", 2, 0, "1 1", 4)
}

fn file(server: &str) -> Configuration {
    let text = format!("backend b\n server s1 {server}\n");
    Configuration::of_text(Path::new("f.cfg"), &text)
}

const PLAIN: &str = "10.0.0.1:80 check";

fn between(old: &str, before: &str, after: &str, new: &str) -> CarryPlan {
    planned(&remembered(old, &file(before).stated), &file(after).stated, new)
}

fn commands(plan: &CarryPlan) -> Vec<&str> {
    plan.orders.iter().map(|order| order.command.as_str()).collect()
}

#[test]
fn what_was_seen_and_set_passes() {
    let set = |old: String| commands(&between(&old, PLAIN, PLAIN, &up())).join("; ");
    assert_eq!(set(up()), "");
    assert_eq!(set(row("10.0.0.1", 0, 0, "1 1", 0)), "set server b/s1 health down");
    assert_eq!(set(row("10.0.0.1", 3, 0, "1 1", 4)), "set server b/s1 health stopping");
    assert_eq!(set(row("10.0.0.1", 0, 1, "1 1", 4)), "set server b/s1 state maint");
    assert_eq!(set(row("10.0.0.1", 2, 8, "0 1", 4)), "set server b/s1 weight 0; set server b/s1 state drain");
    assert_eq!(set(row("10.0.0.9", 2, 0, "1 1", 4)), "set server b/s1 addr 10.0.0.9 port 80");
}

#[test]
fn where_the_file_says_something_else_it_counts_and_is_named() {
    let left = |old: String, before, after| between(&old, before, after, &up());
    let down = || row("10.0.0.1", 0, 0, "1 1", 0);
    for after in ["10.0.0.1:80 check port 81", "10.0.0.2:80 check", "10.0.0.1:80"] {
        let plan = left(down(), PLAIN, after);
        assert_eq!((plan.orders.len(), plan.left.len()), (0, 1), "{plan:?}");
    }
    // Another weight does not raise the dead.
    assert_eq!(
        commands(&left(down(), PLAIN, "10.0.0.1:80 check weight 7 inter 9s")),
        ["set server b/s1 health down"]
    );
    let plan = left(row("10.0.0.1", 2, 0, "5 1", 4), PLAIN, "10.0.0.1:80 check weight 7");
    assert_eq!(plan.left, ["b/s1: weight 5, and the file says something else now"]);
    let plan = left(row("10.0.0.9", 2, 0, "1 1", 4), PLAIN, "10.0.0.2:80 check");
    assert_eq!((plan.orders.len(), plan.left.len()), (0, 1), "{plan:?}");
    let plan = left(row("10.0.0.1", 0, 1, "1 1", 4), PLAIN, "10.0.0.1:80 check disabled");
    assert_eq!((plan.orders.len(), plan.left.len()), (0, 1), "{plan:?}");
}

#[test]
fn a_server_that_the_file_disables_and_an_operator_has_made_ready_stays_ready() {
    let disabled = "10.0.0.1:80 check disabled";
    let plan =
        between(&row("10.0.0.1", 2, 4, "1 1", 4), disabled, disabled, &row("10.0.0.1", 0, 5, "1 1", 4));
    assert_eq!(commands(&plan), ["set server b/s1 state ready"]);
}

#[test]
fn the_users_own_means_keep_their_meaning() {
    let down = || row("10.0.0.1", 0, 0, "1 1", 0);
    let init = "10.0.0.1:80 check init-state up";
    assert_eq!(between(&down(), init, init, &up()), CarryPlan::default());
    let text = "backend b\n load-server-state-from-file global\n server s1 10.0.0.1:80 check\n";
    let file = Configuration::of_text(Path::new("f.cfg"), text).stated;
    let old = remembered(&down(), &file);
    assert_eq!(planned(&old, &file, &up()), CarryPlan::default());
    assert!(in_advance(&old, &file).is_empty());
}

#[test]
fn what_keeps_clients_away_is_said_in_advance() {
    let file = file(PLAIN).stated;
    let advance = |old: String| {
        in_advance(&remembered(&old, &file), &file).into_iter().map(|order| order.command).collect::<Vec<_>>()
    };
    assert_eq!(advance(row("10.0.0.1", 0, 0, "1 1", 0)), ["set server b/s1 health down"]);
    assert_eq!(advance(row("10.0.0.1", 0, 1, "5 1", 4)), ["set server b/s1 state maint"]);
    assert!(advance(up()).is_empty());
}

#[test]
fn one_that_was_added_at_run_time_is_named() {
    let old = remembered(&up(), &Configuration::of_text(Path::new("f"), "backend b\n").stated);
    let plan = planned(&old, &Configuration::default().stated, "");
    assert_eq!(plan.left, ["b/s1: added at run time, and not in the new file"]);
}

#[test]
fn what_haproxy_did_and_refused_is_told() {
    let old = row("10.0.0.9", 0, 0, "5 1", 0);
    let advance = in_advance(&remembered(&old, &file(PLAIN).stated), &file(PLAIN).stated);
    // It was down already when it was asked, so that is in no order any more.
    let planned = || between(&old, PLAIN, PLAIN, &row("10.0.0.1", 0, 0, "1 1", 0));
    let answers =
        ["b/s1: IP changed from '10.0.0.1' to '10.0.0.9'\n", "Backend is using a static LB algorithm\n"];
    let told = |answers: Result<Vec<String>, &str>| planned().outcome(&advance, answers);
    assert_eq!(
        told(Ok(answers.map(str::to_owned).to_vec())),
        CarryOutcome {
            set: vec!["b/s1: down".to_owned(), "b/s1: address 10.0.0.9 port 80".to_owned()],
            left: vec!["b/s1: weight 5: HAProxy said `Backend is using a static LB algorithm`".to_owned()],
        }
    );
    let failed = told(Err("no answer"));
    assert_eq!((failed.set.len(), failed.left), (1, vec!["2 settings of servers: no answer".to_owned()]));
}

#[test]
fn an_address_for_a_server_that_has_none_yet_is_for_later() {
    let planned = between(&row("10.0.0.9", 0, 0, "1 1", 0), PLAIN, PLAIN, &up());
    let waits = |answer: &str| planned.orders[0].waits_for_an_address(answer);
    let family =
        "Update for the current server address family is only supported through configuration file\n";
    assert!(waits(family) && !waits("no need to change the addr\n") && !waits(""));
}

#[test]
fn an_agent_at_an_ipv6_address_passes() {
    let agent = |address: &str, port: u16, flags: u8| {
        format!("3 b 1 s1 10.0.0.1 2 0 1 1 4 6 3 4 6 {flags} 0 0 - 80 - 0 0 - {address} {port}\n")
    };
    let server = "10.0.0.1:80 check agent-check agent-port 9";
    let set = |old: String, new: &str| commands(&between(&old, server, server, new)).join("; ");
    let new = agent("-", 9, 6);
    assert_eq!(set(agent("fd02::7", 9, 6), &new), "set server b/s1 agent-addr fd02::7 port 9");
    assert_eq!(set(agent("-", 99, 6), &new), "set server b/s1 agent-port 99");
    assert_eq!(
        set(agent("::ffff:10.0.0.7", 9, 2), &new),
        "set server b/s1 agent-addr ::ffff:10.0.0.7 port 9; disable agent b/s1"
    );
}

#[test]
fn a_name_passes_where_resolvers_follow_it() {
    let named = |name: &str, address: &str, health: u8| {
        format!("3 b 1 s1 {address} 2 0 1 1 4 6 3 {health} 6 0 0 0 {name} 80 - 0 0 - - 0\n")
    };
    let set = |server, old: String, new: &str| commands(&between(&old, server, server, new)).join("; ");
    let followed = "a.lab:80 check resolvers lab init-addr none";
    let renamed = named("b.lab", "10.0.0.7", 4);
    // With its address, which has to be looked up otherwise.
    assert_eq!(
        set(followed, renamed.clone(), &named("a.lab", "-", 4)),
        "set server b/s1 fqdn b.lab; set server b/s1 addr 10.0.0.7 port 80"
    );
    assert_eq!(
        set(followed, renamed.clone(), &named("a.lab", "10.0.0.1", 4)),
        set(followed, renamed, &named("a.lab", "-", 4))
    );
    assert_eq!(
        set(followed, named("a.lab", "10.0.0.7", 4), &named("a.lab", "-", 4)),
        "set server b/s1 addr 10.0.0.7 port 80"
    );
    // What the new one has found itself counts.
    assert_eq!(set(followed, named("a.lab", "10.0.0.7", 4), &named("a.lab", "10.0.0.8", 4)), "");
    assert_eq!(set("a.lab:80 check", named("a.lab", "10.0.0.7", 4), &named("a.lab", "10.0.0.8", 4)), "");
    // Of a server that a record names, the record says where it is.
    let of_record = |old: &str| old.replace(" 80 - 0 0", " 80 _web._tcp.lab 0 0");
    assert_eq!(set(followed, of_record(&named("b.lab", "10.0.0.7", 4)), &named("a.lab", "10.0.0.8", 4)), "");
}
