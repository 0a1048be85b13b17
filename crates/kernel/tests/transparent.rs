//! Servers on this host behind a transparent proxy: real packets, to loopback and to own addresses.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::SocketAddr;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clearway_core::names::{InstanceName, Mark};
use clearway_kernel::nft::NftLimits;
use clearway_kernel::plumbing::{Plumbing, PlumbingNeeds, PlumbingNotice, residue, sweep};
use clearway_lab::inside::{self, Named, helper, run, same, state};
use clearway_lab::namespace::Namespace;
use clearway_lab::server::{Mode, Server};
use clearway_lab::session::{Session, State, foreign};
use clearway_lab::sockets::DEADLINE;
use clearway_lab::topology::{Gateway, beside};
use clearway_lab::wait::{eventually, until};
use serde_json::Value;

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

/// The host of the client beside this one, 10.1.0.1 and `fd01::1`, which is also 192.0.2.1.
fn client_host() -> Result<Namespace> {
    run("ip addr add 192.0.2.1/32 dev lo")?;
    beside(&Namespace::host()?, 1, Gateway::Here)
}

fn serve(host: &Namespace, addresses: &[&str]) -> Result<Server> {
    let listen = addresses.iter().map(|address| address.parse()).collect::<Result<Vec<_>, _>>()?;
    Server::start(host, "server", &listen, Mode::Line)
}

/// A connection that stays open.
fn open(target: &str, source: &str) -> Result<Session> {
    let session =
        Session::open_foreign(&Namespace::host()?, target.parse()?, Some(source.parse()?), DEADLINE)?;
    session.set_patience(SILENCE)?;
    Ok(session)
}

/// Connects, from that address, foreign (as HAProxy with `usesrc clientip` does) or not, and says what the server sees:
/// that address, `refused`, or `silence`.
fn ask_from(host: &Namespace, target: &str, source: Option<&str>) -> Result<String> {
    let source = source.map(str::parse).transpose()?;
    match Session::open_foreign(host, target.parse()?, source, SILENCE) {
        Ok(session) => Ok(session.peer_seen().to_owned()),
        Err(error) => match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            Some(ErrorKind::ConnectionRefused) => Ok("refused".to_owned()),
            Some(
                ErrorKind::TimedOut
                | ErrorKind::WouldBlock
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable,
            ) => Ok("silence".to_owned()),
            _ => Err(error),
        },
    }
}

/// The same from this host.
fn ask(target: &str, source: Option<&str>) -> Result<String> {
    ask_from(&Namespace::host()?, target, source)
}

/// The client's address in the family of a server.
fn client_of(server: &str) -> Result<&'static str> {
    let [v4, v6] = CLIENT;
    Ok(if server.parse::<SocketAddr>()?.is_ipv4() { v4 } else { v6 })
}

/// Each server sees the client of a transparent connection.
fn seen(servers: &[&str]) -> Result<()> {
    for server in servers {
        let client = client_of(server)?;
        let told = ask(server, Some(client))?;
        ensure!(told == client, "{server} from {client}: {told}");
    }
    Ok(())
}

/// None of the servers can be reached transparently.
fn astray(servers: &[&str]) -> Result<()> {
    for server in servers {
        let told = ask(server, Some(client_of(server)?))?;
        ensure!(told == "silence", "{server}: {told}");
    }
    Ok(())
}

/// Clients that come by themselves, from this host and, to own addresses, from the other one.
fn direct_clients_are_served(host: &Namespace) -> Result<()> {
    for (server, from) in [
        ("127.0.0.1:81", "127.0.0.1"),
        ("127.0.0.1:81", "10.1.0.1"),
        ("127.0.0.9:81", "127.0.0.1"),
        ("[::1]:81", "::1"),
        ("[::1]:81", "fd01::1"),
        ("10.1.0.1:82", "10.1.0.1"),
        ("10.1.0.1:82", "127.0.0.1"),
        ("192.0.2.1:82", "10.1.0.1"),
        ("[fd01::1]:82", "fd01::1"),
    ] {
        let told = ask(server, Some(from))?;
        ensure!(told == from, "{server} directly from {from}: {told}");
    }
    for server in OWN {
        let told = ask_from(host, server, None)?;
        ensure!(told == client_of(server)?, "{server} directly from the other host: {told}");
    }
    Ok(())
}

/// The host of the client, and the servers on this one.
struct Stage {
    client: Namespace,
    _servers: Server,
}

fn stage() -> Result<Stage> {
    let client = client_host()?;
    let here = Namespace::host()?;
    Ok(Stage { client, _servers: serve(&here, &[LOOPBACK, OWN].concat())? })
}

/// Connections that conntrack has in its table; none where it is not switched on.
fn tracked() -> Result<usize> {
    match std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        text => Ok(text?.trim().parse()?),
    }
}

/// Of the test's own namespace: Clearway itself writes no sysctl.
fn strict() -> Result<()> {
    for name in ["all", "default", "lo", "eth1"] {
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "1")?;
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/src_valid_mark"), "1")?;
    }
    Ok(())
}

fn nft(script: &str) -> Result<()> {
    Namespace::host()?.nft(script)
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

fn needs_change_while_connections_are_open() -> Result<()> {
    let stage = stage()?;
    let host = &stage.client;
    let remote = serve(host, &["10.1.0.2:84"])?;
    let before = state()?;
    let mut plumbing = install(&PlumbingNeeds::default())?;
    let bare = state()?;
    let mut to_remote = open("10.1.0.2:84", "198.51.100.7")?;
    ensure!(to_remote.peer_seen() == "198.51.100.7" && to_remote.beat() == State::Alive);

    let changed = plumbing.follow(&needs(&LOOPBACK, false)?)?;
    ensure!(changed.len() == 3 && changed[0].contains("904: from 127.0.0.1"), "{changed:?}");
    let mut to_loopback = open("127.0.0.1:81", "10.1.0.2")?;
    ensure!(to_loopback.peer_seen() == "10.1.0.2" && to_loopback.beat() == State::Alive);

    let changed = plumbing.follow(&needs(&LOOPBACK, true)?)?;
    ensure!(changed.len() == 3, "{changed:?}");
    ensure!(plumbing.follow(&needs(&LOOPBACK, true)?)?.is_empty(), "not idempotent");
    ensure!(plumbing.repair()?.is_empty(), "not idempotent");
    seen(&OWN)?;
    let mut to_own = open("10.1.0.1:82", "10.1.0.2")?;
    ensure!(to_own.peer_seen() == "10.1.0.2" && to_own.beat() == State::Alive);
    for connection in [&mut to_remote, &mut to_loopback] {
        ensure!(connection.beat() == State::Alive, "conntrack has hurt an open connection");
    }

    let changed = plumbing.follow(&needs(&["127.0.0.1:81"], true)?)?;
    ensure!(changed.len() == 2 && changed.iter().all(|line| line.starts_with("removed ")), "{changed:?}");
    for connection in [&mut to_remote, &mut to_loopback, &mut to_own] {
        ensure!(connection.beat() == State::Alive, "a connection to a server that is still needed");
    }
    let changed = plumbing.follow(&needs(&["127.0.0.1:81"], false)?)?;
    ensure!(changed.len() == 3, "{changed:?}");
    ensure!(plumbing.describe().reply_mark.is_none() && !plumbing.describe().own);
    for connection in [&mut to_remote, &mut to_loopback] {
        ensure!(connection.beat() == State::Alive, "a connection that needs no conntrack");
    }
    direct_clients_are_served(host)?;
    plumbing.follow(&PlumbingNeeds::default())?;
    same(&bare, &state()?, "after all needs have gone")?;
    ensure!(to_remote.peer_seen() == "198.51.100.7" && to_remote.beat() == State::Alive);
    drop(remote);
    plumbing.remove()?;
    same(&before, &state()?, "after the removal")
}

fn a_change_that_fails_changes_nothing() -> Result<()> {
    let mut plumbing = install(&needs(&["127.0.0.1:81"], false)?)?;
    // Every bit but ours.
    run("ip rule add pref 100 fwmark 0x1/0xdfffffff lookup 100")?;
    let whole = state()?;
    let Err(error) = plumbing.follow(&needs(&["[::1]:81"], true)?) else { bail!("there was no bit") };
    ensure!(error.to_string().contains("every bit") && !error.is_without_conntrack(), "{error}");
    same(&whole, &state()?, "after the failure")?;
    ensure!(plumbing.describe().loopback.len() == 1, "{:?}", plumbing.describe());
    let Err(error) = plumbing.follow(&needs(&["10.1.0.1:81"], false)?) else { bail!("no loopback server") };
    ensure!(error.to_string().contains("10.1.0.1:81"), "{error}");
    same(&whole, &state()?, "after the second failure")?;
    ensure!(plumbing.repair()?.is_empty());
    Ok(())
}

fn two_of_one_instance_have_the_union_of_their_needs() -> Result<()> {
    let _stage = stage()?;
    let before = state()?;
    let edge: InstanceName = "edge".parse()?;
    let (mut old, _) = Plumbing::install(Some(&edge), None, &needs(&["127.0.0.1:81"], true)?)?;
    let (mut new, _) = Plumbing::install(Some(&edge), None, &needs(&["[::1]:81"], false)?)?;
    let union = ["127.0.0.1:81", "[::1]:81"];
    seen(&union)?;
    seen(&OWN)?;
    // Neither takes anything from the other, whatever it needs no longer.
    ensure!(new.repair()?.is_empty() && old.repair()?.is_empty(), "a repair of what is whole");
    new.follow(&PlumbingNeeds::default())?;
    new.follow(&needs(&["[::1]:81"], false)?)?;
    seen(&union)?;
    seen(&OWN)?;
    old.follow(&needs(&[], true)?)?;
    seen(&union)?;
    // The second bit is shared.
    new.follow(&needs(&["[::1]:81"], true)?)?;
    ensure!(new.describe().reply_mark == old.describe().reply_mark, "two second marks");
    new.follow(&needs(&["[::1]:81"], false)?)?;
    seen(&OWN)?;
    old.remove()?;
    seen(&["[::1]:81"])?;
    ensure!(
        residue()?.iter().any(|line| line.contains("904: from 127.0.0.1")),
        "the last one to leave trims"
    );
    let repaired = new.repair()?;
    ensure!(repaired.removed.len() == 3 && repaired.put_back.is_empty(), "{repaired:?}");
    seen(&["[::1]:81"])?;
    astray(&["127.0.0.1:81"])?;
    ensure!(new.repair()?.is_empty(), "not idempotent");
    new.remove()?;
    same(&before, &state()?, "after both have gone")
}

fn a_killed_process_does_not_hurt_local_clients() -> Result<()> {
    let stage = stage()?;
    let host = &stage.client;
    // Another program redirects clients to a loopback address.
    std::fs::write("/proc/sys/net/ipv4/conf/eth1/route_localnet", "1")?;
    nft("table ip to_loopback {
  chain prerouting { type nat hook prerouting priority dstnat
    tcp dport 8081 dnat to 127.0.0.1:81
  }
}
")?;
    let before = state()?;
    ensure!(ask_from(host, "10.1.0.1:8081", None)? == "10.1.0.2", "the redirection does not work");
    let mut holder = helper("hold", &[])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    BufReader::new(holder.stdout.take().context("no output")?).read_line(&mut String::new())?;
    seen(&LOOPBACK)?;
    seen(&OWN)?;
    direct_clients_are_served(host)?;
    // Documented: a client that is redirected to a server that is to be reached transparently.
    ensure!(ask_from(host, "10.1.0.1:8081", None)? == "silence", "better than documented");
    holder.kill()?;
    holder.wait()?;
    ensure!(residue()?.iter().any(|line| line.contains("904: from ::1")), "{:?}", residue()?);
    direct_clients_are_served(host)?;
    ensure!(ask_from(host, "10.1.0.1:8081", None)? == "silence", "better than documented");
    // A plain table (Linux before 5.12) goes on marking until the sweep.
    if residue()?.iter().all(|line| !line.starts_with("table")) {
        astray(&OWN)?;
    }
    sweep()?;
    same(&before, &state()?, "after the sweep")?;
    ensure!(ask_from(host, "10.1.0.1:8081", None)? == "10.1.0.2", "the sweep has not helped");
    direct_clients_are_served(host)
}

fn repair_puts_back_every_rule() -> Result<()> {
    let _stage = stage()?;
    let mut plumbing = install(&needs(&LOOPBACK, true)?)?;
    let whole = state()?;
    let mut connections = [open("127.0.0.1:81", "10.1.0.2")?, open("10.1.0.1:82", "10.1.0.2")?];
    run("ip rule flush protocol 179")?;
    run("ip -6 rule flush protocol 179")?;
    ensure!(ask("127.0.0.1:81", Some("10.1.0.2"))? == "silence", "nothing was flushed");
    let made = plumbing.repair()?.put_back;
    ensure!(made.len() == 8 + LOOPBACK.len(), "{made:?}");
    same(&whole, &state()?, "after the repair")?;
    for connection in &mut connections {
        ensure!(connection.beat() == State::Alive, "a connection did not survive");
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

fn a_plain_table_gets_its_output_chain_back() -> Result<()> {
    let _stage = stage()?;
    let limits = NftLimits { owner: false, ..NftLimits::default() };
    let (mut plumbing, _) = Plumbing::install_within(None, None, &needs(&[], true)?, limits)?;
    let whole = state()?;
    run("nft flush ruleset")?;
    astray(&["10.1.0.1:82"])?;
    plumbing.repair()?;
    same(&whole, &state()?, "after the repair")?;
    seen(&OWN)?;
    run("nft flush ruleset")?;
    plumbing.follow(&PlumbingNeeds::default())?;
    ensure!(!run("nft list ruleset")?.contains("output"));
    Ok(())
}
