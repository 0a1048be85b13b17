//! Servers on this host behind a transparent proxy: real packets, to loopback and to own addresses.

use std::io::Read;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clearway_core::names::Mark;
use clearway_kernel::nft::NftLimits;
use clearway_kernel::plumbing::{Plumbing, PlumbingNeeds, PlumbingNotice};
use clearway_lab::inside::{self, Named, run, same, state};
use clearway_lab::namespace::Namespace;
use clearway_lab::session::foreign;
use clearway_lab::wait::{eventually, until};
use serde_json::Value;

#[path = "transparent/changes.rs"]
mod changes;
#[path = "transparent/rig.rs"]
mod rig;

use changes::{
    a_change_that_fails_changes_nothing, a_killed_process_does_not_hurt_local_clients,
    a_plain_table_gets_its_output_chain_back, needs_change_while_connections_are_open,
    repair_puts_back_every_rule, two_of_one_instance_have_the_union_of_their_needs,
};
use rig::{ask, astray, client_host, direct_clients_are_served, nft, seen, serve, stage, strict, tracked};

const TESTS: &[Named] = &[
    ("servers_on_loopback_see_the_client", servers_on_loopback_see_the_client),
    ("servers_on_own_addresses_see_the_client", servers_on_own_addresses_see_the_client),
    ("all_at_once_under_the_strictest_settings", all_at_once_under_the_strictest_settings),
    ("the_rules_are_those_of_the_documentation", the_rules_are_those_of_the_documentation),
    ("needs_change_while_connections_are_open", needs_change_while_connections_are_open),
    ("a_change_that_fails_changes_nothing", a_change_that_fails_changes_nothing),
    ("two_of_one_instance_have_the_union_of_their_needs", two_of_one_instance_have_the_union_of_their_needs),
    ("a_killed_process_does_not_hurt_local_clients", a_killed_process_does_not_hurt_local_clients),
    ("repair_puts_back_every_rule", repair_puts_back_every_rule),
    ("a_late_answer_is_reset", a_late_answer_is_reset),
    ("without_reject_the_rest_works", without_reject_the_rest_works),
    ("foreign_rules_move_the_second_mark", foreign_rules_move_the_second_mark),
    ("a_plain_table_gets_its_output_chain_back", a_plain_table_gets_its_output_chain_back),
];

const HELPERS: &[Named] = &[("hold", hold)];

/// The addresses of the client, IPv4 and IPv6.
const CLIENT: [&str; 2] = ["10.1.0.2", "fd01::2"];
/// How long nothing must come for an answer to count as gone astray.
const SILENCE: Duration = Duration::from_millis(1500);
const LOOPBACK: [&str; 3] = ["127.0.0.1:81", "127.0.0.9:81", "[::1]:81"];
const OWN: [&str; 3] = ["10.1.0.1:82", "192.0.2.1:82", "[fd01::1]:82"];

fn main() -> ExitCode {
    inside::main(TESTS, HELPERS)
}

/// Installs for all that there may be, and lives until it is killed.
fn hold() -> Result<()> {
    let _plumbing = Plumbing::install(None, None, &needs(&LOOPBACK, true)?)?;
    println!("!");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn needs(loopback: &[&str], own: bool) -> Result<PlumbingNeeds> {
    let loopback = loopback.iter().map(|server| server.parse()).collect::<Result<_, _>>()?;
    Ok(PlumbingNeeds { loopback, own, ..PlumbingNeeds::default() })
}

fn install(needs: &PlumbingNeeds) -> Result<Plumbing> {
    Ok(Plumbing::install(None, None, needs)?.0)
}

fn servers_on_loopback_see_the_client() -> Result<()> {
    let stage = stage()?;
    let host = &stage.client;
    let before = state()?;
    astray(&LOOPBACK)?;
    let mut plumbing =
        install(&needs(&["127.0.0.1:81", "127.0.0.9:81", "[::1]:81", "127.0.0.1:83"], false)?)?;
    seen(&LOOPBACK)?;
    ensure!(ask("127.0.0.1:83", Some("10.1.0.2"))? == "refused", "a server that is down");
    strict()?;
    seen(&LOOPBACK)?;
    direct_clients_are_served(host)?;
    // Only what was asked for.
    astray(&OWN)?;
    ensure!(tracked()? == 0, "conntrack is on");
    plumbing.remove()?;
    same(&before, &state()?, "after the removal")?;
    astray(&LOOPBACK)
}

fn servers_on_own_addresses_see_the_client() -> Result<()> {
    let stage = stage()?;
    let host = &stage.client;
    let before = state()?;
    astray(&OWN)?;
    let mut plumbing = install(&needs(&[], true)?)?;
    seen(&OWN)?;
    ensure!(ask("10.1.0.1:83", Some("10.1.0.2"))? == "refused", "a server that is down");
    ensure!(ask("[fd01::1]:83", Some("fd01::2"))? == "refused", "a server that is down");
    strict()?;
    seen(&OWN)?;
    direct_clients_are_served(host)?;
    ensure!(tracked()? > 0, "conntrack is off");
    plumbing.remove()?;
    same(&before, &state()?, "after the removal")?;
    direct_clients_are_served(host)
}

fn all_at_once_under_the_strictest_settings() -> Result<()> {
    let stage = stage()?;
    let host = &stage.client;
    let remote = serve(host, &["10.1.0.2:84", "[fd01::2]:84"])?;
    let mut plumbing = install(&needs(&LOOPBACK, true)?)?;
    strict()?;
    // firewalld's reverse-path filter for IPv6.
    nft("table inet firewalld {
  chain prerouting { type filter hook prerouting priority filter + 10
    meta nfproto ipv6 icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
    meta nfproto ipv6 fib saddr . mark . iif oif missing drop
  }
}
")?;
    seen(&LOOPBACK)?;
    seen(&OWN)?;
    direct_clients_are_served(host)?;
    for (server, client) in [("10.1.0.2:84", "198.51.100.7"), ("[fd01::2]:84", "2001:db8::7")] {
        let told = ask(server, Some(client))?;
        ensure!(told == client, "{server}: {told}");
    }
    // A program that marks what is sent makes the kernel route it again, without ports: the second mark helps.
    nft("table inet marker {
  chain output { type route hook output priority filter
    meta mark set meta mark | 0x1
  }
}
")?;
    seen(&LOOPBACK)?;
    seen(&OWN)?;
    // A MASQUERADE of another program hides the client; the answers are not taken for late ones.
    nft("table ip nat {
  chain postrouting { type nat hook postrouting priority srcnat
    oifname eth1 masquerade
  }
}
")?;
    ensure!(ask("10.1.0.2:84", Some("198.51.100.7"))? == "10.1.0.1");
    drop(remote);
    Ok(plumbing.remove()?)
}

fn the_rules_are_those_of_the_documentation() -> Result<()> {
    let plumbing = install(&needs(&["127.0.0.1:81", "[::1]:82"], true)?)?;
    let described = plumbing.describe();
    ensure!(described.reply_mark == Mark::bit(30) && described.own && described.late_reset, "{described:?}");
    let json = serde_json::to_value(&described)?;
    ensure!(json["loopback"] == serde_json::json!(["127.0.0.1:81", "[::1]:82"]), "{json}");
    ensure!(json["reply_mark"] == 0x4000_0000 && json["preferences"][0] == 901, "{json}");
    let ruleset = run("nft list ruleset")?;
    let wanted = "\t\tmeta l4proto ipv6-icmp socket transparent 1 goto divert
\t\tmeta l4proto tcp ct direction reply ct mark & 0x20000000 == 0x20000000 reject with tcp reset
\t}

\tchain divert {
\t\tsocket wildcard 1 return
\t\tmeta mark set meta mark | 0x20000000 accept
\t}

\tchain output {
\t\ttype route hook output priority mangle; policy accept;
\t\tmeta l4proto tcp ct direction original socket transparent 1 ct mark set ct mark | 0x20000000
\t\tct direction reply ct mark & 0x20000000 == 0x20000000 meta mark set meta mark | 0x40000000
\t}

\tchain forward {
\t\ttype filter hook forward priority raw; policy accept;
\t\tmeta mark & 0x20000000 == 0x20000000 drop
\t}

\tchain postrouting {
\t\ttype filter hook postrouting priority raw; policy accept;
\t\toif != \"lo\" meta mark & 0x40000000 == 0x40000000 drop
\t}
}
";
    ensure!(ruleset.ends_with(wanted), "{ruleset}");
    for (family, source, port) in [("-4", "127.0.0.1", 81), ("-6", "::1", 82)] {
        let mut rules: Value = serde_json::from_str(&run(&format!("ip {family} -j rule"))?)?;
        rules.as_array_mut().context("no list")?.retain(|rule| {
            rule["protocol"] == "179" && [Some(900), Some(904)].contains(&rule["priority"].as_u64())
        });
        // Newer ones (seen on 7.3) tell that the whole port counts.
        for rule in rules.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            rule.remove("sport_mask");
        }
        let wanted = serde_json::json!([
            {"priority": 900, "src": "all", "fwmark": "0x40000000", "fwmask": "0x40000000", "iif": "lo",
             "table": "3253338112", "protocol": "179"},
            {"priority": 904, "src": source, "iif": "lo", "ipproto": "tcp", "sport": port,
             "table": "3253338112", "protocol": "179"},
        ]);
        ensure!(rules == wanted, "{rules:#}");
    }
    Ok(())
}

/// A connection that the proxy gives up while the answer is on its way, and what the server is left with.
fn half_open(host: &Namespace) -> Result<usize> {
    nft("table ip delay {
  chain prerouting { type filter hook prerouting priority raw
    tcp sport 84 drop
  }
}
")?;
    let socket = foreign("10.1.0.2:84".parse()?, Some("198.51.100.7".parse()?))?;
    socket.set_nonblocking(true)?;
    let _ = socket.connect(&"10.1.0.2:84".parse::<SocketAddr>()?.into());
    let waiting = || -> Result<usize> { Ok(host.run("ss -Htn state syn-recv")?.lines().count()) };
    until("the server to get a SYN", || Ok(waiting()? > 0))?;
    drop(socket);
    run("nft delete table ip delay")?;
    // The server repeats its SYN-ACK after one second and after two more.
    let gone = || waiting().is_ok_and(|waiting| waiting == 0).then_some(());
    let _ = eventually(Duration::from_millis(4500), "the server to give up", gone);
    waiting()
}

fn a_late_answer_is_reset() -> Result<()> {
    let host = client_host()?;
    let _server = serve(&host, &["10.1.0.2:84"])?;
    // A router would tell the server that there is no way to the client.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "0")?;
    let mut plumbing = install(&needs(&[], true)?)?;
    ensure!(half_open(&host)? == 0, "the server waits for a client that is gone");
    ensure!(ask("10.1.0.2:84", Some("198.51.100.7"))? == "198.51.100.7", "the rule hurts others");
    plumbing.follow(&PlumbingNeeds::default())?;
    let left = half_open(&host)?;
    ensure!(left == 1, "not as documented: {left}");
    Ok(())
}

fn without_reject_the_rest_works() -> Result<()> {
    let _stage = stage()?;
    let limits = NftLimits { reset: false, ..NftLimits::default() };
    let (plumbing, notices) = Plumbing::install_within(None, None, &needs(&[], true)?, limits)?;
    ensure!(notices.contains(&PlumbingNotice::NoReset) && !plumbing.describe().late_reset, "{notices:?}");
    ensure!(!run("nft list ruleset")?.contains("reject"));
    seen(&OWN)
}

fn foreign_rules_move_the_second_mark() -> Result<()> {
    let _stage = stage()?;
    run("ip -6 rule add pref 101 fwmark 0x40000000/0x40000000 lookup 100")?;
    let plumbing = install(&needs(&[], true)?)?;
    ensure!(plumbing.describe().mark == Mark::DEFAULT, "{:?}", plumbing.describe());
    ensure!(plumbing.describe().reply_mark == Mark::bit(28), "{:?}", plumbing.describe());
    seen(&OWN)?;
    // Another one takes neither for the other purpose.
    let Err(error) = Plumbing::install(None, Mark::bit(28), &PlumbingNeeds::default()) else {
        bail!("28 is taken")
    };
    ensure!(error.to_string().contains("900: from all fwmark 0x10000000/0x10000000"), "{error}");
    let (second, _) = Plumbing::install(None, Mark::bit(27), &needs(&[], true)?)?;
    ensure!(second.describe().reply_mark == Mark::bit(28), "{:?}", second.describe());
    seen(&OWN)
}
