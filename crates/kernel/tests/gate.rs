//! A gate that is closed, as real clients meet it and as the kernel shows it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clearway_core::hints::Hints;
use clearway_kernel::gate::{BoundAddress, Gate, GateError, GateLimits, Manner};
use clearway_lab::inside::{self, Named, helper, run, same, state};
use clearway_lab::sockets::{DEADLINE, begin, connected, listen};
use clearway_lab::wait::until;
use socket2::Socket;

#[path = "gate/held.rs"]
mod held;

use held::{
    held_here, held_outside, hundreds_are_held_and_let_go_in_order, iptables_target_holds_as_well,
    what_does_not_fit_into_the_queue_passes,
};

const TESTS: &[Named] = &[
    ("a_probe_changes_nothing", a_probe_changes_nothing),
    ("without_net_admin_the_error_names_it", without_net_admin_the_error_names_it),
    ("dropped_clients_connect_after_their_own_retransmission", dropped),
    ("held_clients_on_this_host_connect_without_a_retransmission", held_here),
    ("held_clients_from_outside_connect_without_a_retransmission", held_outside),
    ("iptables_target_holds_as_well", iptables_target_holds_as_well),
    ("hundreds_are_held_and_let_go_in_order", hundreds_are_held_and_let_go_in_order),
    ("what_does_not_fit_into_the_queue_passes", what_does_not_fit_into_the_queue_passes),
    ("established_connections_flow_on", established_connections_flow_on),
    ("other_addresses_and_ports_are_not_affected", other_addresses_and_ports_are_not_affected),
    ("a_gate_stays_closed_longer_than_its_elements_live", a_gate_stays_closed),
    ("a_gate_that_is_not_opened_opens_by_itself", a_gate_that_is_not_opened_opens_by_itself),
    ("a_hook_that_goes_meanwhile_costs_a_retransmission", a_hook_that_goes_meanwhile_costs_a_retransmission),
    ("closing_and_opening_twice_leaves_nothing", closing_and_opening_twice_leaves_nothing),
    ("thousands_of_addresses_fit", thousands_of_addresses_fit),
    ("rules_of_others_stay_as_they_are", rules_of_others_stay_as_they_are),
];

const HELPERS: &[Named] = &[("probe", probe)];

const MANNERS: [Manner; 2] = [Manner::Drop, Manner::Hold];

fn main() -> ExitCode {
    inside::main(TESTS, HELPERS)
}

/// How many packets wait in the queues of this network namespace.
fn waiting() -> Result<u64> {
    let queues = std::fs::read_to_string("/proc/self/net/netfilter/nfnetlink_queue")?;
    let total = |line: &str| line.split_whitespace().nth(2).and_then(|total| total.parse::<u64>().ok());
    queues.lines().map(|line| total(line).context("no total")).sum()
}

/// How often TCP has sent something again, by the text of /proc/net/snmp.
fn retransmissions(snmp: &str) -> Result<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (lines.next().context("no names")?, lines.next().context("no values")?);
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    Ok(both.find(|(name, _)| *name == "RetransSegs").context("no RetransSegs")?.1.parse()?)
}

fn retransmissions_here() -> Result<u64> {
    retransmissions(&std::fs::read_to_string("/proc/self/net/snmp")?)
}

fn all_connected(clients: &[Socket]) -> Result<bool> {
    clients.iter().try_fold(true, |all, client| Ok(connected(client)? && all))
}

/// Whether a first SYN comes through at once: one that did not will do so only after a second.
fn passes(target: &str) -> Result<bool> {
    let client = begin(target)?;
    let deadline = Instant::now() + Duration::from_millis(300);
    while Instant::now() < deadline {
        if connected(&client)? {
            return Ok(true);
        }
        sleep(Duration::from_millis(2));
    }
    Ok(false)
}

/// Listens on every address of both families, and says on which port.
fn everywhere() -> Result<(TcpListener, u16)> {
    let listener = listen("[::]:0", false)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

fn address(text: &str, port: u16) -> Result<SocketAddr> {
    Ok(SocketAddr::new(text.parse()?, port))
}

fn a_probe_changes_nothing() -> Result<()> {
    run("nft add table inet others")?;
    let before = state()?;
    for manner in MANNERS {
        for owner in [true, false] {
            Gate::probe_within(manner, GateLimits { owner, ..GateLimits::default() })?;
        }
        Gate::probe(manner)?;
    }
    same(&before, &state()?, "a probe left something behind")?;
    ensure!(std::fs::read_to_string("/proc/self/net/netfilter/nfnetlink_queue")?.is_empty());
    Ok(())
}

/// The helper: what a probe says.
fn probe() -> Result<()> {
    for manner in MANNERS {
        let told = Gate::probe(manner).err().context("it is possible without")?;
        println!("{told}: {}", told.hints().concat());
    }
    Ok(())
}

fn without_net_admin_the_error_names_it() -> Result<()> {
    let output =
        helper("probe", &["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"])?.output()?;
    let told = String::from_utf8(output.stdout)?;
    ensure!(told.matches("--cap-add NET_ADMIN").count() == 2, "{told}");
    Ok(())
}

fn dropped() -> Result<()> {
    let sockets = (0..3).map(|_| everywhere()).collect::<Result<Vec<_>>>()?;
    let [every4, every, one] = [0, 1, 2].map(|place| sockets[place].1);
    let closed =
        [address("0.0.0.0", every4)?, address("::", every)?, address("::1", one)?].map(BoundAddress::from);
    let before = retransmissions_here()?;
    let gate = Gate::close(None, Manner::Drop, &closed, &[])?;
    let targets = [("127.0.0.1", every4), ("127.0.0.1", every), ("::1", every), ("::1", one)];
    let clients = targets
        .iter()
        .map(|(ip, port)| begin(&address(ip, *port)?.to_string()))
        .collect::<Result<Vec<_>>>()?;
    until("each client has sent again", || Ok(retransmissions_here()? >= before + 4))?;
    for (client, target) in clients.iter().zip(targets) {
        ensure!(!connected(client)?, "{target:?}: a SYN came through");
    }
    let opened = gate.open()?;
    ensure!(opened.held == 0 && !opened.lapsed, "{opened:?}");
    // Each client has sent one, and one again at least.
    ensure!(opened.dropped >= Some(8), "{opened:?}");
    until("the clients connect", || all_connected(&clients))?;
    for (counter, dropped) in [(true, Some(0)), (false, None)] {
        let limits = GateLimits { counter, ..GateLimits::default() };
        let opened = Gate::close_within(None, Manner::Drop, &closed, &[], limits)?.open()?;
        ensure!(opened.dropped == dropped, "{opened:?}");
    }
    Ok(())
}

fn established_connections_flow_on() -> Result<()> {
    let (listener, port) = everywhere()?;
    listener.set_nonblocking(false)?;
    for manner in MANNERS {
        for target in ["127.0.0.1", "::1"] {
            let mut client = TcpStream::connect(address(target, port)?)?;
            let (mut server, _) = listener.accept()?;
            let gate = Gate::close(None, manner, &[address("::", port)?.into()], &[port])?;
            for stream in [&client, &server] {
                stream.set_read_timeout(Some(DEADLINE))?;
            }
            let mut bytes = vec![0; 200_000];
            let sent = bytes.clone();
            let sender = std::thread::spawn(move || {
                client.write_all(&sent)?;
                client.read_exact(&mut [0])?;
                // A FIN and its answer pass as well.
                drop(client);
                std::io::Result::Ok(())
            });
            server.read_exact(&mut bytes)?;
            server.write_all(b"x")?;
            ensure!(server.read(&mut bytes)? == 0);
            sender.join().ok().context("the sender panicked")??;
            ensure!(gate.open()?.held == 0);
        }
    }
    Ok(())
}

fn other_addresses_and_ports_are_not_affected() -> Result<()> {
    run("ip addr add fd99::1/128 dev lo nodad")?;
    let (_listener, port) = everywhere()?;
    let (_other, second) = everywhere()?;
    let target = |ip: &str, port| -> Result<String> { Ok(address(ip, port)?.to_string()) };
    let open = |ip: &str, port| passes(&target(ip, port)?);
    for manner in MANNERS {
        let gate = Gate::close(
            None,
            manner,
            &[address("127.0.0.1", port)?.into(), address("::1", port)?.into()],
            &[],
        )?;
        ensure!(!open("127.0.0.1", port)? && !open("::1", port)?, "{manner:?}: not closed");
        ensure!(
            open("127.0.0.2", port)? && open("fd99::1", port)?,
            "{manner:?}: another address is affected"
        );
        ensure!(open("127.0.0.1", second)? && open("::1", second)?, "{manner:?}: another port is affected");
        gate.open()?;
        let gate = Gate::close(None, manner, &[address("0.0.0.0", port)?.into()], &[second])?;
        ensure!(!open("127.0.0.2", port)?, "{manner:?}: the wildcard is not closed");
        ensure!(open("::1", port)?, "{manner:?}: IPv6 is affected by an IPv4 wildcard");
        ensure!(!open("127.0.0.2", second)? && !open("fd99::1", second)?, "{manner:?}: a port is not closed");
        gate.open()?;
        let gate = Gate::close(None, manner, &[address("::ffff:127.0.0.1", port)?.into()], &[])?;
        ensure!(!open("127.0.0.1", port)? && open("127.0.0.2", port)?, "{manner:?}: a mapped address");
        drop(gate);
        ensure!(open("127.0.0.1", port)?, "{manner:?}: a gate that is dropped stays closed");
    }
    Ok(())
}

fn a_gate_stays_closed() -> Result<()> {
    let (_listener, port) = everywhere()?;
    for (owner, manner) in [(true, Manner::Drop), (false, Manner::Hold)] {
        let limits = GateLimits { owner, ..GateLimits::default() };
        let gate = Gate::close_within(None, manner, &[address("::", port)?.into()], &[], limits)?;
        let client = begin(&format!("[::1]:{port}"))?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2500) {
            if connected(&client)? {
                let opened = gate.open()?;
                ensure!(opened.lapsed, "a SYN came through, and the gate does not know: {opened:?}");
                // The machine was too slow, and the gate opened as it is to be.
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        gate.open()?;
        until("the client connects", || connected(&client))?;
    }
    Ok(())
}

fn a_gate_that_is_not_opened_opens_by_itself() -> Result<()> {
    let (_listener, port) = everywhere()?;
    let before = state()?;
    let limits = GateLimits { longest: Duration::from_millis(300), ..GateLimits::default() };
    for manner in MANNERS {
        let gate = Gate::close_within(None, manner, &[address("::", port)?.into()], &[], limits)?;
        let client = begin(&format!("127.0.0.1:{port}"))?;
        until("the client connects", || connected(&client))?;
        until("the table is gone", || Ok(state()? == before))?;
        let opened = gate.open()?;
        ensure!(opened.lapsed && (opened.held > 0) == (manner == Manner::Hold), "{opened:?}");
    }
    Ok(())
}

/// The kernel drops what waits in every queue when a hook of netfilter goes (`nf_queue_nf_hook_drop`).
fn a_hook_that_goes_meanwhile_costs_a_retransmission() -> Result<()> {
    let (_listener, port) = everywhere()?;
    run("nft add table inet others")?;
    run("nft add chain inet others late { type filter hook output priority 0 ; }")?;
    let gate = Gate::close(None, Manner::Hold, &[address("::", port)?.into()], &[])?;
    let client = begin(&format!("127.0.0.1:{port}"))?;
    until("the client is held", || Ok(waiting()? == 1))?;
    run("nft delete table inet others")?;
    until("the kernel has dropped it, or it came again", || {
        Ok(waiting()? == 0 || retransmissions_here()? > 0)
    })?;
    gate.open()?;
    until("the client connects", || connected(&client))
}

fn closing_and_opening_twice_leaves_nothing() -> Result<()> {
    let (_listener, port) = everywhere()?;
    let instance = "edge".parse()?;
    let before = state()?;
    for manner in MANNERS {
        for owner in [true, false] {
            let limits = GateLimits { owner, ..GateLimits::default() };
            let close = || {
                Gate::close_within(Some(&instance), manner, &[address("::", port)?.into()], &[port], limits)
                    .map_err(anyhow::Error::from)
            };
            for _ in 0..2 {
                close()?.open()?;
                same(&before, &state()?, "a gate left something behind")?;
            }
            // Two at once: opening one does not open the other.
            let (first, second) = (close()?, close()?);
            ensure!(run("nft list tables")?.matches("clearway_edge_gate_").count() == 2);
            first.open()?;
            ensure!(!passes(&format!("127.0.0.1:{port}"))?, "the second gate is open");
            second.open()?;
            ensure!(passes(&format!("127.0.0.1:{port}"))?);
            same(&before, &state()?, "two gates left something behind")?;
        }
    }
    ensure!(std::fs::read_to_string("/proc/self/net/netfilter/nfnetlink_queue")?.is_empty());
    Ok(())
}

/// More than fit into the send buffer of a netlink socket.
fn thousands_of_addresses_fit() -> Result<()> {
    let ports: Vec<u16> = (10_000..11_200).chain([10_000]).collect();
    let addresses: Vec<BoundAddress> =
        (0..9000).map(|port| Ok(address("192.0.2.1", 20_000 + port)?.into())).collect::<Result<_>>()?;
    let gate = Gate::close(None, Manner::Drop, &addresses, &ports)?;
    // It is refreshed meanwhile; a listing may fall into the moment at which a slow machine comes too late for that.
    sleep(Duration::from_millis(900));
    until("all elements to be listed", || {
        let json: serde_json::Value = serde_json::from_str(&run("nft -j list ruleset")?)?;
        let objects = json["nftables"].as_array().context("no array")?;
        let count = |name: &str| {
            let set = objects.iter().find(|object| object["set"]["name"] == name);
            set.and_then(|set| set["set"]["elem"].as_array()).map_or(0, Vec::len)
        };
        Ok(count("ports") == 1200 && count("addresses4") == 9000)
    })?;
    gate.open()?;
    Ok(())
}

fn rules_of_others_stay_as_they_are() -> Result<()> {
    for line in [
        "add table inet others",
        "add chain inet others input { type filter hook input priority 0 ; policy accept ; }",
        "add rule inet others input tcp dport 8080 counter accept",
        "add table ip more",
        "add chain ip more input { type filter hook input priority 299 ; policy accept ; }",
        "add set ip more ports { type inet_service ; flags timeout ; }",
        "add rule ip more input tcp dport @ports drop",
    ] {
        run(&format!("nft {line}"))?;
    }
    let others =
        || Ok::<_, anyhow::Error>(run("nft -s list table inet others")? + &run("nft -s list table ip more")?);
    let (before, all) = (others()?, state()?);
    for manner in MANNERS {
        let gate = Gate::close(None, manner, &[address("::", 8080)?.into()], &[80])?;
        same(&before, &others()?, "while closed")?;
        let ours = run("nft list ruleset")?;
        ensure!(ours.contains("_gate_") && ours.contains("tcp dport @ports"), "{ours}");
        ensure!((manner == Manner::Drop) != ours.to_lowercase().contains("queue"), "{ours}");
        gate.open()?;
        same(&before, &others()?, "after")?;
    }
    same(&all, &state()?, "something is left")?;
    match Gate::close(None, Manner::Drop, &[], &[]) {
        Ok(gate) => gate.open().map(drop).map_err(anyhow::Error::from),
        Err(GateError::Nft(error)) => bail!("a gate for nothing: {error}"),
        Err(error) => Err(error.into()),
    }
}
