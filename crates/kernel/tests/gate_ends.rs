//! Whatever happens to the process that has closed a gate, no client is kept waiting: SIGKILL, SIGSTOP, and what is left.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_kernel::gate::{Gate, GateLimits, Manner};
use clearway_kernel::plumbing::{Plumbing, PlumbingNeeds, residue, sweep};
use clearway_lab::inside::{self, Named, helper, run, same, state};
use clearway_lab::kernel::has_owner_tables;
use clearway_lab::sockets::{DEADLINE, begin, connected, listen};
use clearway_lab::wait::until;
use rustix::process::{Pid, Signal, kill_process};

const TESTS: &[Named] = &[
    ("a_killed_process_drops_no_packet_any_more", || killed(Manner::Drop, true)),
    ("a_killed_process_holds_no_packet_any_more", || killed(Manner::Hold, true)),
    ("a_killed_process_without_owner_table_drops_no_packet_any_more", || killed(Manner::Drop, false)),
    ("a_killed_process_without_owner_table_holds_no_packet_any_more", || killed(Manner::Hold, false)),
    ("a_stopped_process_drops_no_packet_any_more", || stopped(Manner::Drop)),
    ("a_stopped_process_holds_no_packet_any_more", || stopped(Manner::Hold)),
    ("what_a_dead_gate_leaves_is_shown_and_swept", what_a_dead_gate_leaves_is_shown_and_swept),
    ("a_gate_is_no_sign_of_life_of_the_plumbing", a_gate_is_no_sign_of_life_of_the_plumbing),
    ("a_program_that_is_started_inherits_nothing", a_program_that_is_started_inherits_nothing),
];

const HELPERS: &[Named] = &[("closer", closer)];

/// What the helper is to do.
const MANNER: &str = "CLEARWAY_TEST_GATE_MANNER";
const OWNER: &str = "CLEARWAY_TEST_GATE_OWNER";
const ADDRESS: &str = "CLEARWAY_TEST_GATE_ADDRESS";

/// Within which a new SYN has to get through.
const PROMISE: Duration = Duration::from_secs(1);
/// The machine may be busy with something else just then; a gate that does not open by itself never does it in time.
const ATTEMPTS: usize = 5;

fn main() -> ExitCode {
    inside::main(TESTS, HELPERS)
}

/// The helper: closes, says so, and waits for its end.
fn closer() -> Result<()> {
    let manner = if std::env::var(MANNER)? == "hold" { Manner::Hold } else { Manner::Drop };
    let limits = GateLimits { owner: std::env::var(OWNER)? == "true", ..GateLimits::default() };
    let address: SocketAddr = std::env::var(ADDRESS)?.parse()?;
    let gate = Gate::close_within(Some(&"edge".parse()?), manner, &[address.into()], &[], limits)?;
    println!("closed");
    std::io::stdin().read_line(&mut String::new())?;
    gate.open()?;
    Ok(())
}

/// A process that has closed a gate for the port.
struct Closer(Child);

impl Closer {
    fn start(manner: Manner, owner: bool, port: u16) -> Result<Self> {
        let mut child = helper("closer", &[])?
            .env(MANNER, if manner == Manner::Hold { "hold" } else { "drop" })
            .env(OWNER, owner.to_string())
            .env(ADDRESS, format!("[::]:{port}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let closer = Self(child);
        ensure!(line == "closed\n", "{line:?}");
        Ok(closer)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.0.id().cast_signed()).context("no process")?;
        Ok(kill_process(pid, signal)?)
    }

    fn kill(mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn everywhere() -> Result<(TcpListener, u16)> {
    let listener = listen("[::]:0", false)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// How long it takes until a SYN that is sent now or later gets through, not one that is sent again: clients begin all
/// the time.
fn until_a_new_one_connects(port: u16) -> Result<Duration> {
    let begun = Instant::now();
    let mut clients = Vec::new();
    while begun.elapsed() < DEADLINE {
        let newest = begin(&format!("127.0.0.1:{port}"))?;
        sleep(Duration::from_millis(5));
        if connected(&newest)? {
            return Ok(begun.elapsed());
        }
        clients.push(newest);
    }
    anyhow::bail!("no new client gets through")
}

/// Closes and ends it somehow; then the listener gets new clients in time, and in the end the old ones.
fn ends(
    manner: Manner,
    owner: bool,
    end: impl Fn(Closer) -> Result<Option<Closer>>,
    after: impl Fn() -> Result<()>,
) -> Result<()> {
    let mut took = Vec::new();
    for _ in 0..ATTEMPTS {
        let (_listener, port) = everywhere()?;
        let closer = Closer::start(manner, owner, port)?;
        let client = begin(&format!("[::1]:{port}"))?;
        ensure!(!connected(&client)?, "it is not closed");
        let closer = end(closer)?;
        took.push(until_a_new_one_connects(port)?);
        until("a client from before to send again", || connected(&client))?;
        if let Some(closer) = closer {
            closer.kill()?;
        }
        after()?;
        if took.last() < Some(&PROMISE) {
            println!("{manner:?}, owner {owner}: {took:?}");
            return Ok(());
        }
    }
    anyhow::bail!("a new client got through after {took:?}, never within {PROMISE:?}")
}

fn killed(manner: Manner, owner: bool) -> Result<()> {
    let left = || Ok::<_, anyhow::Error>(run("nft list tables")?.matches("_gate_").count());
    let killed = |closer: Closer| closer.kill().map(|()| None);
    let plain = usize::from(!owner || !has_owner_tables());
    let before = state()?;
    ends(manner, owner, killed, || {
        ensure!(left()? == plain, "{}", run("nft list ruleset")?);
        ensure!(std::fs::read_to_string("/proc/self/net/netfilter/nfnetlink_queue")?.is_empty());
        ensure!(sweep()?.removed.len() == plain);
        same(&before, &state()?, "after the sweep")
    })
}

fn stopped(manner: Manner) -> Result<()> {
    let stopped = |closer: Closer| {
        closer.signal(Signal::STOP)?;
        Ok(Some(closer))
    };
    ends(manner, true, stopped, || sweep().map(drop).map_err(Into::into))
}

fn what_a_dead_gate_leaves_is_shown_and_swept() -> Result<()> {
    let before = state()?;
    let (_listener, port) = everywhere()?;
    let living = Closer::start(Manner::Drop, false, port)?;
    Closer::start(Manner::Hold, false, port)?.kill()?;
    let shown = residue()?;
    ensure!(
        shown.len() == 2 && shown.iter().all(|line| line.starts_with("table inet clearway_edge_gate_")),
        "{shown:?}"
    );
    let swept = sweep()?;
    ensure!(swept.removed.len() == 1 && shown.contains(&swept.removed[0]), "{swept}");
    ensure!(sweep()?.removed.is_empty(), "the gate of a living process is swept");
    living.kill()?;
    ensure!(sweep()?.removed.len() == 1 && residue()?.is_empty());
    same(&before, &state()?, "after the sweeps")
}

/// [`state`] without the clocks of elements.
fn still() -> Result<String> {
    let state = state()?;
    Ok(state.lines().filter(|line| !line.contains("elements =")).collect::<Vec<_>>().join("\n"))
}

fn a_gate_is_no_sign_of_life_of_the_plumbing() -> Result<()> {
    // An instance with the name of a block: `clearway_0_gate_...`.
    let instance = "0".parse()?;
    let before = still()?;
    let gate = Gate::close(Some(&instance), Manner::Drop, &[], &[80])?;
    let closed = still()?;
    run("ip rule add pref 902 fwmark 0x20000000/0x20000000 lookup 7900 protocol 179")?;
    ensure!(sweep()?.removed.len() == 1, "a gate keeps a rule alive");
    same(&closed, &still()?, "a sweep took more than it was to")?;
    let (mut plumbing, _) = Plumbing::install(Some(&instance), None, &PlumbingNeeds::default())?;
    plumbing.remove()?;
    same(&closed, &still()?, "the plumbing took the gate along")?;
    gate.open()?;
    same(&before, &still()?, "something is left")
}

fn a_program_that_is_started_inherits_nothing() -> Result<()> {
    let descriptors = || Ok::<_, anyhow::Error>(run("ls -l /proc/self/fd")?.lines().count());
    let before = descriptors()?;
    let gate = Gate::close(None, Manner::Hold, &[], &[80])?;
    ensure!(descriptors()? == before, "{}", run("ls -l /proc/self/fd")?);
    gate.open()?;
    Ok(())
}
