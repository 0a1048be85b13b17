//! What is heard when others remove rules and routes, as the kernel tells it; and what is not.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_kernel::plumbing::{Plumbing, PlumbingNeeds};
use clearway_kernel::routing::{Block, Removals};
use clearway_lab::inside::{self, Named, run};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size;

const TESTS: &[Named] = &[
    ("each_way_to_remove_something_of_ours_is_heard", each_way_to_remove_something_of_ours_is_heard),
    ("what_is_not_ours_wakes_nothing", what_is_not_ours_wakes_nothing),
    ("a_hundred_thousand_changes_of_routes_wake_nothing", a_hundred_thousand_changes_of_routes_wake_nothing),
    ("an_overrun_is_a_hint", an_overrun_is_a_hint),
    ("no_capability_is_needed", no_capability_is_needed),
];

const HELPERS: &[Named] = &[("listen", listen)];

fn main() -> ExitCode {
    inside::main(TESTS, HELPERS)
}

/// Whether something has come to the socket: an event loop would wake.
fn is_awake(ear: &Removals, within: Duration) -> Result<bool> {
    let mut descriptors = [PollFd::new(ear, PollFlags::IN)];
    Ok(poll(&mut descriptors, Some(&Timespec::try_from(within)?))? > 0)
}

/// The kernel tells within the call that changes something.
fn wakes(ear: &Removals) -> Result<bool> {
    is_awake(ear, Duration::ZERO)
}

fn each_way_to_remove_something_of_ours_is_heard() -> Result<()> {
    let (mut plumbing, _) = Plumbing::install(None, None, &PlumbingNeeds::default())?;
    let table = plumbing.describe().route_table;
    for line in [
        "ip rule del pref 901".to_owned(),
        "ip rule del pref 902".to_owned(),
        "ip -6 rule del pref 903".to_owned(),
        "ip rule flush proto 179".to_owned(),
        "ip -6 rule flush proto 179".to_owned(),
        format!("ip route flush table {table}"),
        format!("ip -6 route del local default dev lo table {table}"),
        "ip -6 route flush proto 179 table all".to_owned(),
    ] {
        let ear = plumbing.removals()?;
        ensure!(!ear.heard(), "something is heard before anything happened");
        run(&line)?;
        ensure!(wakes(&ear)? && ear.heard(), "`{line}` is not heard");
        let ear = plumbing.removals()?;
        ensure!(!plumbing.repair()?.is_empty(), "`{line}` took nothing");
        // Where only an IPv6 route was gone, a rule comes and goes: one more look, which finds nothing.
        if line.starts_with("ip -6 route") {
            let ear = plumbing.removals()?;
            ensure!(plumbing.repair()?.is_empty() && !wakes(&ear)?, "`{line}` is repaired for ever");
        } else {
            ensure!(!wakes(&ear)?, "our own repair of `{line}` wakes us");
        }
    }
    // IPv6 routes go when `lo` does, and IPv4 routes, silently, when it has no address any more.
    for (away, back) in [("ip link set lo down", "ip link set lo up"), ("ip -4 address flush dev lo", "true")]
    {
        let ear = plumbing.removals()?;
        run(away)?;
        ensure!(wakes(&ear)? && ear.heard(), "`{away}` is not heard");
        let ear = plumbing.removals()?;
        run(back)?;
        ensure!(back == "true" || ear.heard(), "`{back}` is not heard");
        ensure!(!plumbing.repair()?.is_empty(), "`{away}` took nothing");
    }
    let ear = plumbing.removals()?;
    plumbing.remove()?;
    ensure!(ear.heard());
    Ok(())
}

fn what_is_not_ours_wakes_nothing() -> Result<()> {
    let (plumbing, _) = Plumbing::install(None, None, &PlumbingNeeds::default())?;
    let ear = plumbing.removals()?;
    run("ip link add one type veth peer name two")?;
    run("ip link set one up")?;
    run("ip address add 192.0.2.1/24 dev one")?;
    for family in ["-4", "-6"] {
        run(&format!("ip {family} rule add pref 100 fwmark 0x1 lookup 100"))?;
        run(&format!("ip {family} rule add pref 901 fwmark 0x1 lookup 100 protocol 3"))?;
        run(&format!("ip {family} route add blackhole default table 100"))?;
        run(&format!("ip {family} route flush table 100"))?;
        run(&format!("ip {family} rule del pref 901 protocol 3"))?;
        run(&format!("ip {family} rule del pref 100"))?;
    }
    run("ip link del one")?;
    ensure!(!wakes(&ear)?, "what others do to theirs wakes us");
    // Another Clearway comes and goes: that wakes, but does not count.
    let (mut other, _) = Plumbing::install(None, None, &PlumbingNeeds::default())?;
    ensure!(!wakes(&ear)?, "another Clearway that comes wakes us");
    other.remove()?;
    ensure!(!ear.heard(), "what another Clearway removes is taken for ours");
    Ok(())
}

/// Runs `ip` on many lines.
fn batch(lines: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), lines)?;
    run(&format!("ip -batch {}", file.path().display())).map(|_| ())
}

fn a_hundred_thousand_changes_of_routes_wake_nothing() -> Result<()> {
    const ROUTES: u32 = 50_000;
    let (plumbing, _) = Plumbing::install(None, None, &PlumbingNeeds::default())?;
    let lines = |what: &str| {
        (0..ROUTES).fold(String::new(), |mut lines, number| {
            let [_, a, b, c] = number.to_be_bytes();
            let _ = writeln!(lines, "route {what} blackhole 10.{a}.{b}.{c}/32 proto bgp");
            lines
        })
    };
    let deaf = Instant::now();
    batch(&lines("add"))?;
    batch(&lines("del"))?;
    let (deaf, hearing) = (deaf.elapsed(), Instant::now());
    let ear = plumbing.removals()?;
    batch(&lines("add"))?;
    batch(&lines("del"))?;
    println!("{} changes: {deaf:?} without an ear, {:?} with one", 2 * ROUTES, hearing.elapsed());
    ensure!(!wakes(&ear)?, "routes of others wake us");
    ensure!(!ear.heard());
    run("ip rule del pref 902")?;
    ensure!(ear.heard(), "after that, what is ours is not heard");
    Ok(())
}

fn an_overrun_is_a_hint() -> Result<()> {
    // What there is room for concerns another block only.
    let ear = Removals::hear(Block::new(5).context("a block")?)?;
    let (mut other, _) = Plumbing::install(None, None, &PlumbingNeeds::default())?;
    other.remove()?;
    ensure!(!ear.heard());
    set_socket_recv_buffer_size(&ear, 1)?;
    for _ in 0..10 {
        let (mut other, _) = Plumbing::install(None, None, &PlumbingNeeds::default())?;
        other.remove()?;
    }
    ensure!(ear.heard(), "messages were lost, and that is not told");
    ensure!(!ear.heard(), "it is told again and again");
    Ok(())
}

/// Says that it listens, and ends when it has heard something.
fn listen() -> Result<()> {
    let ear = Removals::hear(Block::new(0).context("a block")?)?;
    println!("listening");
    ensure!(is_awake(&ear, Duration::from_secs(10))? && ear.heard(), "nothing was heard");
    Ok(())
}

fn no_capability_is_needed() -> Result<()> {
    let (_plumbing, _) = Plumbing::install(None, None, &PlumbingNeeds::default())?;
    let none = ["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"];
    // The program may lie where only root can go.
    let folder = tempfile::tempdir_in("/tmp")?;
    run(&format!("chmod 755 {}", folder.path().display()))?;
    let copy = folder.path().join("removals");
    std::fs::copy(std::env::current_exe()?, &copy)?;
    let mut command = Command::new(none[0]);
    command.args(&none[1..]).arg(copy).env(inside::HELPER, "listen");
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    let removed = run("ip rule del pref 902");
    let status = child.wait()?;
    removed?;
    ensure!(line == "listening\n" && status.success(), "{line:?}, {status}");
    Ok(())
}
