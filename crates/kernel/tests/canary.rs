//! What the canary says of servers in other network namespaces, with real packets, and what it leaves there.

use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clearway_kernel::canary::{
    CanaryVerdict, IcmpKind, LIMIT, ProbeAddresses, ProbeAnswer, ProbeOutcome, ServerLocation, probe,
    probe_all,
};
use clearway_kernel::plumbing::{Plumbing, PlumbingNeeds};
use clearway_lab::inside::{self, Named, run, same, state};
use clearway_lab::kernel::counters;
use clearway_lab::namespace::Namespace;
use clearway_lab::server::{Mode, Server};
use clearway_lab::topology::{Gateway, beside};
use clearway_lab::wait::until;

#[path = "canary/here.rs"]
mod here;
#[path = "canary/router.rs"]
mod router;

use here::{
    a_server_on_our_own_address_works_by_marks_too, our_own_addresses_are_known_whatever_may_be_bound,
    servers_on_this_host_need_their_rule, without_a_route_or_a_family_nothing_is_asked,
    without_capabilities_it_says_so_and_net_raw_is_enough,
};
use router::{
    a_reset_for_foreign_addresses_only_is_not_a_closed_port,
    a_router_that_forbids_foreign_addresses_only_is_named, a_router_that_forbids_is_named,
};

const TESTS: &[Named] = &[
    (
        "the_way_back_works_and_the_application_sees_nothing",
        the_way_back_works_and_the_application_sees_nothing,
    ),
    (
        "linux_answers_every_address_that_could_be_the_default",
        linux_answers_every_address_that_could_be_the_default,
    ),
    ("a_closed_port_is_refused", a_closed_port_is_refused),
    ("without_the_divert_there_is_no_way_back", without_the_divert_there_is_no_way_back),
    ("without_a_default_route_there_is_no_way_back", without_a_default_route_there_is_no_way_back),
    ("with_another_gateway_there_is_no_way_back", with_another_gateway_there_is_no_way_back),
    ("a_strict_reverse_path_filter_is_no_way_back", a_strict_reverse_path_filter_is_no_way_back),
    ("a_host_that_is_not_there_is_named_by_our_kernel", a_host_that_is_not_there_is_named_by_our_kernel),
    ("a_filter_without_a_word_is_silence", a_filter_without_a_word_is_silence),
    ("a_router_that_forbids_is_named", a_router_that_forbids_is_named),
    (
        "a_router_that_forbids_foreign_addresses_only_is_named",
        a_router_that_forbids_foreign_addresses_only_is_named,
    ),
    (
        "a_reset_for_foreign_addresses_only_is_not_a_closed_port",
        a_reset_for_foreign_addresses_only_is_not_a_closed_port,
    ),
    ("servers_on_this_host_need_their_rule", servers_on_this_host_need_their_rule),
    ("a_server_on_our_own_address_works_by_marks_too", a_server_on_our_own_address_works_by_marks_too),
    ("without_a_route_or_a_family_nothing_is_asked", without_a_route_or_a_family_nothing_is_asked),
    (
        "without_capabilities_it_says_so_and_net_raw_is_enough",
        without_capabilities_it_says_so_and_net_raw_is_enough,
    ),
    ("many_servers_take_one_limit_and_leave_nothing", many_servers_take_one_limit_and_leave_nothing),
    ("our_own_addresses_are_known_whatever_may_be_bound", our_own_addresses_are_known_whatever_may_be_bound),
];

const HELPERS: &[Named] = &[("probe", probe_server)];

/// For what ends in silence: a SYN and its repetitions after one second and after three.
const SHORT: Duration = Duration::from_secs(4);

/// For what is to be known long before: a probe that waits for this limit has waited for nothing.
const FAR: Duration = Duration::from_mins(1);

/// By how much later than its limit a probe may end on a busy machine, and still has not waited for anything else: a
/// kernel repeats a SYN for more than two minutes.
const LATE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    inside::main(TESTS, HELPERS)
}

/// The port on which every host serves.
const PORT: u16 = 80;

/// A host beside another one, with a server.
struct Host {
    host: Namespace,
    _server: Server,
}

impl Host {
    fn beside(here: &Namespace, number: u8, gateway: Gateway) -> Result<Self> {
        let host = beside(here, number, gateway)?;
        let server = Server::start(&host, "server", &[format!("[::]:{PORT}").parse()?], Mode::Line)?;
        Ok(Self { host, _server: server })
    }

    /// Without a route to anywhere else.
    fn wired(number: u8) -> Result<Self> {
        Self::beside(&Namespace::host()?, number, Gateway::None)
    }

    /// Everything that it does not know goes to us.
    fn behind_us(number: u8) -> Result<Self> {
        Self::beside(&Namespace::host()?, number, Gateway::Here)
    }

    fn run(&self, line: &str) -> Result<String> {
        self.host.run(line)
    }

    fn filter(&self, chain: &str, rules: &str) -> Result<()> {
        let hook = format!("type filter hook {chain} priority 0");
        self.host.nft(&format!("table inet filter {{\nchain {chain} {{\n{hook}\n{rules}\n}}\n}}\n"))
    }

    /// How many connections there were for its application to accept.
    fn accepted(&self) -> Result<u64> {
        Ok(counters(&self.host)?.get("TcpPassiveOpens").copied().unwrap_or(0))
    }
}

/// Asks 10.2.0.2 and prints the outcome as JSON.
fn probe_server() -> Result<()> {
    println!("{}", serde_json::to_string(&ask("10.2.0.2:80", LIMIT)?)?);
    Ok(())
}

fn ask(server: &str, limit: Duration) -> Result<ProbeOutcome> {
    let server: SocketAddr = server.parse()?;
    let mut all = probe_all(&[server], ProbeAddresses::default(), limit, |_| ControlFlow::Continue(()));
    let (asked, outcome) = all.pop().context("no outcome")?;
    ensure!(asked == server && all.is_empty());
    println!("{server}: {outcome}");
    Ok(outcome)
}

/// Both addresses of host 2.
fn ask_both(port: u16, limit: Duration) -> Result<Vec<ProbeOutcome>> {
    let servers = [format!("10.2.0.2:{port}").parse()?, format!("[fd02::2]:{port}").parse()?];
    let all = probe_all(&servers, ProbeAddresses::default(), limit, |_| ControlFlow::Continue(()));
    for (server, outcome) in &all {
        println!("{server}: {outcome}");
    }
    Ok(all.into_iter().map(|(_, outcome)| outcome).collect())
}

fn all_are(outcomes: &[ProbeOutcome], wanted: impl Fn(&ProbeOutcome) -> bool) -> Result<()> {
    ensure!(outcomes.iter().all(wanted), "{outcomes:#?}");
    Ok(())
}

fn works(outcome: &ProbeOutcome) -> bool {
    matches!(outcome, ProbeOutcome::WayBack { .. })
}

fn no_way_back(outcome: &ProbeOutcome) -> bool {
    *outcome == ProbeOutcome::NoWayBack { server: ServerLocation::Elsewhere, own: ProbeAnswer::Accepts }
}

fn plumbing() -> Result<Plumbing> {
    Ok(Plumbing::install(None, None, &PlumbingNeeds::default())?.0)
}

/// Every TCP socket but those that listen, in whatever state.
fn sockets() -> Result<String> {
    run("ss -Htan state connected state time-wait")
}

fn descriptors() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

fn the_way_back_works_and_the_application_sees_nothing() -> Result<()> {
    let server = Host::behind_us(2)?;
    // Packets with a strange source are dropped, if there is anything strange about it.
    server.run("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.lan.rp_filter=1")?;
    let _plumbing = plumbing()?;
    let (before, open) = (state()?, descriptors()?);
    // It sees a connection if this process had to wait for 200 ms between the answer and its reset, which says nothing;
    // were it always so, it would see some every time.
    let mut unseen = 0;
    for _ in 0..20 {
        let before = server.accepted()?;
        all_are(&ask_both(PORT, LIMIT)?, works)?;
        unseen += u32::from(server.accepted()? == before);
    }
    ensure!(unseen > 0, "the application has seen something of each probe");
    nothing_is_left_at(&server)?;
    ensure!(sockets()?.is_empty(), "left here: {}", sockets()?);
    ensure!(descriptors()? == open, "descriptors are left");
    same(&before, &state()?, "after the probes")
}

/// Its kernel may not have come to the last reset yet.
fn nothing_is_left_at(server: &Host) -> Result<()> {
    let left = || server.run("ss -Htan state connected state time-wait");
    until("nothing to be left at the server", || Ok(left()?.is_empty()))
}

fn linux_answers_every_address_that_could_be_the_default() -> Result<()> {
    let server = Host::behind_us(2)?;
    server.run("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.lan.rp_filter=1")?;
    let _plumbing = plumbing()?;
    for from in
        ["198.18.179.1", "192.0.2.1", "100.64.0.1", "240.0.0.1", "2001:2::179", "2001:db8::1", "100::1"]
    {
        let from: IpAddr = from.parse()?;
        let server = if from.is_ipv4() { "10.2.0.2:80" } else { "[fd02::2]:80" };
        let outcome = probe(server.parse()?, from, LIMIT);
        ensure!(works(&outcome), "{from}: {outcome}");
    }
    // Also where the server is written in the clothes of the other family.
    ensure!(works(&ask("[::ffff:10.2.0.2]:80", LIMIT)?));
    Ok(())
}

fn a_closed_port_is_refused() -> Result<()> {
    let _server = Host::behind_us(2)?;
    let _plumbing = plumbing()?;
    let begun = Instant::now();
    let outcomes = ask_both(PORT + 1, FAR)?;
    all_are(&outcomes, |outcome| *outcome == ProbeOutcome::Refused { own: ProbeAnswer::Refuses })?;
    all_are(&outcomes, |outcome| outcome.verdict() == CanaryVerdict::Down)?;
    ensure!(begun.elapsed() < FAR, "it waited for nothing");
    Ok(())
}

fn without_the_divert_there_is_no_way_back() -> Result<()> {
    let _server = Host::behind_us(2)?;
    all_are(&ask_both(PORT, SHORT)?, no_way_back)?;
    let mut plumbing = plumbing()?;
    all_are(&ask_both(PORT, LIMIT)?, works)?;
    plumbing.remove()?;
    let outcomes = ask_both(PORT + 1, SHORT)?;
    all_are(&outcomes, |outcome| matches!(outcome, ProbeOutcome::NoWayBack { own: ProbeAnswer::Refuses, .. }))
}

fn without_a_default_route_there_is_no_way_back() -> Result<()> {
    let server = Host::wired(2)?;
    let _plumbing = plumbing()?;
    let begun = Instant::now();
    all_are(&ask_both(PORT, SHORT)?, no_way_back)?;
    ensure!(begun.elapsed() < SHORT + LATE, "{:?}", begun.elapsed());
    let left = half_open(&server)?;
    ensure!(left == 0, "{left} half-open connections without a route");
    Ok(())
}

fn half_open(server: &Host) -> Result<usize> {
    Ok(server.run("ss -Htan state syn-recv")?.lines().count())
}

fn with_another_gateway_there_is_no_way_back() -> Result<()> {
    let server = Host::wired(2)?;
    // Its default gateway is a host that swallows what it gets.
    server.run("ip link add away type veth peer name nowhere")?;
    server.run("ip link set away up")?;
    server.run("ip link set nowhere up")?;
    server.run("ip route add default dev away")?;
    server.run("ip -6 route add default dev away")?;
    server.run("sysctl -qw net.ipv4.tcp_synack_retries=1")?;
    let _plumbing = plumbing()?;
    all_are(&ask_both(PORT, SHORT)?, no_way_back)?;
    ensure!(server.accepted()? == 0);
    // One for each family whatever was repeated, and gone when the server has repeated itself often enough.
    ensure!(half_open(&server)? <= 2, "{} half-open connections", half_open(&server)?);
    until("the half-open connections to go", || Ok(half_open(&server)? == 0))?;
    ensure!(sockets()?.is_empty(), "left here: {}", sockets()?);
    // As soon as the server knows the way it works.
    server.run("ip route replace default via 10.2.0.1")?;
    server.run("ip -6 route replace default via fd02::1")?;
    all_are(&ask_both(PORT, LIMIT)?, works)
}

fn a_strict_reverse_path_filter_is_no_way_back() -> Result<()> {
    let server = Host::wired(2)?;
    server.run("ip link add away type veth peer name nowhere")?;
    server.run("ip link set away up")?;
    server.run("ip link set nowhere up")?;
    server.run("ip route add default dev away")?;
    server.run("sysctl -qw net.ipv4.conf.lan.rp_filter=1")?;
    let _plumbing = plumbing()?;
    ensure!(no_way_back(&ask("10.2.0.2:80", SHORT)?));
    ensure!(half_open(&server)? == 0, "the server has let a packet pass");
    Ok(())
}

fn a_host_that_is_not_there_is_named_by_our_kernel() -> Result<()> {
    let _neighbour = Host::wired(2)?;
    let _plumbing = plumbing()?;
    let servers = ["10.2.0.77:80".parse()?, "[fd02::77]:80".parse()?];
    for (server, outcome) in
        probe_all(&servers, ProbeAddresses::default(), LIMIT, |_| ControlFlow::Continue(()))
    {
        println!("{server}: {outcome}");
        let ProbeOutcome::Silent { own: ProbeAnswer::Unreachable(told) } = &outcome else {
            bail!("{server}: {outcome}")
        };
        ensure!(told.what == IcmpKind::Host && told.here, "{told:?}");
        ensure!(outcome.verdict() == CanaryVerdict::Down);
    }
    Ok(())
}

fn a_filter_without_a_word_is_silence() -> Result<()> {
    let server = Host::behind_us(2)?;
    server.filter("input", "tcp dport 80 drop")?;
    let _plumbing = plumbing()?;
    let begun = Instant::now();
    all_are(&ask_both(PORT, SHORT)?, |outcome| {
        *outcome == ProbeOutcome::Silent { own: ProbeAnswer::Silent }
    })?;
    ensure!(begun.elapsed() >= SHORT && begun.elapsed() < SHORT + LATE, "{:?}", begun.elapsed());
    Ok(())
}

fn many_servers_take_one_limit_and_leave_nothing() -> Result<()> {
    let server = Host::behind_us(2)?;
    // Fewer than are asked at the same time with the 1,024 descriptors that a process has at least.
    let count = 120;
    for last in 0..count {
        server.run(&format!("ip addr add 10.2.1.{last}/32 dev lan"))?;
    }
    run("ip route add 10.2.1.0/24 via 10.2.0.2")?;
    server.filter("input", "tcp dport 82 drop")?;
    let _plumbing = plumbing()?;
    let open = descriptors()?;
    // Every third accepts, refuses, or is silent.
    let all = (0..count).map(|last| format!("10.2.1.{last}:{}", 80 + last % 3).parse());
    let all = all.collect::<Result<Vec<SocketAddr>, _>>()?;
    for servers in [&all[..60], &all[..]] {
        let begun = Instant::now();
        let outcomes = probe_all(servers, ProbeAddresses::default(), SHORT, |_| ControlFlow::Continue(()));
        let took = begun.elapsed();
        println!("{} servers: {took:?}", servers.len());
        // One after the other, the silent third alone would take twenty times this limit and more.
        ensure!(took < SHORT + LATE, "{} servers: {took:?}", servers.len());
        ensure!(outcomes.iter().map(|(server, _)| server).eq(servers), "not in order");
        for (server, outcome) in outcomes {
            let right = match server.port() {
                80 => works(&outcome),
                81 => outcome == ProbeOutcome::Refused { own: ProbeAnswer::Refuses },
                _ => outcome == ProbeOutcome::Silent { own: ProbeAnswer::Silent },
            };
            ensure!(right, "{server}: {outcome:?}");
        }
        ensure!(descriptors()? == open, "descriptors are left");
        ensure!(sockets()?.is_empty(), "left here: {}", sockets()?);
        nothing_is_left_at(&server)?;
    }
    Ok(())
}
