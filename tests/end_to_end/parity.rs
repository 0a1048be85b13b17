//! As good as `haproxy -W`: what survives its reload (SIGUSR2) survives Clearway's. Each test runs both, so that a
//! difference is a finding.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clearway_lab::balancer::{Balancer, Kind};
use clearway_lab::kernel::processes_in;
use clearway_lab::load::Ask;
use clearway_lab::session::{Session, State};
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;

use crate::stage::{CannotRun, EVENTS, SOON, Stage, assert_code, haproxy_version};
use crate::transaction::only_the_newest_listens;

crate::tests![
    stick_tables_pass_through_the_local_peer,
    stick_tables_outlive_reloads_in_quick_succession,
    stick_tables_outlive_quick_reloads_beside_a_peer_out_of_reach,
    server_states_pass_through_their_file,
    counters_pass_through_the_stats_file,
    unix_sockets_keep_their_modes_and_owners,
    haproxys_own_log_goes_on_over_standard_output,
    old_workers_outlive_as_many_reloads_as_the_file_says,
    each_stop_signal_gives_the_same_exit_code,
];

/// Does the same with both, each on hosts of its own.
fn with_both(name: &str, test: impl Fn(&Stage, Kind) -> Result<()>) -> Result<()> {
    for kind in [Kind::PlainMasterWorker, Kind::Clearway] {
        let stage = Stage::new(&format!("{name}{}", if kind == Kind::Clearway { "c" } else { "p" }))?;
        test(&stage, kind).with_context(|| format!("with {kind:?}"))?;
    }
    Ok(())
}

fn start(stage: &Stage, kind: Kind) -> Result<Balancer> {
    start_with(stage, kind, &["-L", "me"])
}

fn start_with(stage: &Stage, kind: Kind, arguments: &[&str]) -> Result<Balancer> {
    let directory = stage.run_directory();
    let variables = [("CLEARWAY_RUN_DIRECTORY", directory.as_str()), EVENTS];
    let mut balancer = Balancer::start(&stage.hosts.balancer, kind, &stage.file(), arguments, &variables)?;
    stage.wait_ready(&mut balancer)?;
    Ok(balancer)
}

/// Asks HAProxy's own stats socket.
pub fn ask(socket: &Path, command: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket).context("connecting to the stats socket")?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Reloads, and waits until another worker answers on the stats socket and the former one is gone.
fn reload(balancer: &mut Balancer, socket: &Path) -> Result<()> {
    let before = pid_of(&ask(socket, "show info")?).context("a worker")?;
    let former = balancer.haproxy_processes().last().copied().context("a worker")?;
    balancer.reload()?;
    eventually(SOON, "another worker to answer", || {
        let now = pid_of(&ask(socket, "show info").ok()?)?;
        (now != before).then_some(())
    })?;
    eventually(SOON, "the former worker to end", || {
        (!balancer.haproxy_processes().contains(&former)).then_some(())
    })
}

/// Writes it, with a stats socket for [`ask`].
pub fn with_socket(stage: &Stage, text: &str) -> Result<std::path::PathBuf> {
    let socket = stage.path("stats.sock");
    stage.write(&format!("global\n    stats socket {} level admin\n{text}", socket.display()))?;
    Ok(socket)
}

fn end(balancer: &mut Balancer) -> Result<()> {
    match balancer.kind() {
        Kind::Clearway => assert_code(balancer.stop(Signal::TERM, SOON)?, 0),
        Kind::PlainMasterWorker => balancer.stop(Signal::TERM, SOON).map(|_| ()),
    }
}

fn stick_tables_pass_through_the_local_peer() -> Result<()> {
    with_both("peer", |stage, kind| {
        let table = "    stick-table type string size 1k expire 1h store gpc0 peers mates\n";
        let text = stage.plain() + "peers mates\n    peer me 127.0.0.1:10000\nbackend counts\n" + table;
        let socket = with_socket(stage, &text)?;
        let mut balancer = start(stage, kind)?;
        for round in 0..2 {
            // HAProxy teaches no peer before it has given up waiting to be taught itself, which takes it five seconds.
            eventually(SOON, "HAProxy to know that it is alone", || {
                ask(&socket, "show peers").ok()?.contains("resync_timeout=<PAST>").then_some(())
            })?;
            if round == 0 {
                ask(&socket, "set table counts key client data.gpc0 42")?;
            }
            reload(&mut balancer, &socket)?;
            eventually_because(SOON, "the entry to be there", || {
                let answer = ask(&socket, "show table counts")?;
                ensure!(answer.contains("key=client") && answer.contains("gpc0=42"), "{answer}");
                Ok(())
            })?;
        }
        end(&mut balancer)
    })
}

fn stick_tables_outlive_reloads_in_quick_succession() -> Result<()> {
    quick_reloads("peerq", "")
}

fn stick_tables_outlive_quick_reloads_beside_a_peer_out_of_reach() -> Result<()> {
    // Port 9 of a loopback address refuses; HAProxy tries again and again, and does not know that it is alone.
    quick_reloads("peerr", "    peer other 127.0.0.77:9\n")
}

/// Reloads that follow one another before the newest process would have given up to be taught (five seconds).
fn quick_reloads(name: &str, other: &str) -> Result<()> {
    with_both(name, |stage, kind| {
        let table = "    stick-table type string size 1k expire 1h store gpc0 peers mates\n";
        let text =
            stage.plain() + "peers mates\n    peer me 127.0.0.1:10000\n" + other + "backend counts\n" + table;
        let socket = with_socket(stage, &text)?;
        let mut balancer = start(stage, kind)?;
        // The very first process has no peer to learn from: it teaches after five seconds, also below `haproxy -W`.
        eventually(SOON, "HAProxy to know that it is alone", || {
            ask(&socket, "show peers").ok()?.contains("resync_timeout=<PAST>").then_some(())
        })?;
        ask(&socket, "set table counts key client data.gpc0 42")?;
        for round in 1..=5 {
            reload(&mut balancer, &socket)?;
            eventually_because(SOON, "the entry to be there", || {
                let answer = ask(&socket, "show table counts")?;
                ensure!(answer.contains("key=client") && answer.contains("gpc0=42"), "{answer}");
                Ok(())
            })
            .with_context(|| format!("reload {round}"))?;
            if kind == Kind::Clearway {
                look_at_the_stand_in(stage, &balancer, round == 2)?;
            }
        }
        end(&mut balancer)?;
        if kind == Kind::Clearway { stage.assert_clean() } else { Ok(()) }
    })
}

/// There is one process that HAProxy is told of as its predecessor; it has nothing open, and if it dies, the next
/// reload gets another.
fn look_at_the_stand_in(stage: &Stage, balancer: &Balancer, kill: bool) -> Result<()> {
    let processes = processes_in(&stage.hosts.balancer)?;
    let found: Vec<u32> = processes
        .iter()
        .filter(|(_, line)| line.starts_with("clearway-stand-in"))
        .map(|(pid, _)| *pid)
        .collect();
    let [pid] = found[..] else { bail!("stand-ins: {found:?} of {processes:?}") };
    let mut open: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        open.push(std::fs::read_link(entry?.path())?.display().to_string());
    }
    ensure!(open.iter().all(|target| target == "/dev/null"), "open in the stand-in: {open:?}");
    if kill {
        balancer.kill_descendant(pid)?;
        eventually(SOON, "the stand-in to be reaped", || {
            (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
        })?;
    }
    Ok(())
}

fn server_states_pass_through_their_file() -> Result<()> {
    with_both("state", |stage, kind| {
        let states = stage.path("states");
        let text = format!(
            "    server-state-file {}\n{}",
            states.display(),
            stage.plain().replace("defaults\n", "defaults\n    load-server-state-from-file global\n")
        );
        let socket = with_socket(stage, &text)?;
        let mut balancer = start(stage, kind)?;
        ask(&socket, "set server f0/s weight 7")?;
        std::fs::write(&states, ask(&socket, "show servers state")?)?;
        reload(&mut balancer, &socket)?;
        let weight = ask(&socket, "get weight f0/s")?;
        ensure!(weight.starts_with("7 "), "{weight}");
        end(&mut balancer)
    })
}

/// How many connections each object with a `guid` has counted: lines such as `f0,3,...` under `#fe guid,stot,...`.
pub fn counted(dump: &str) -> BTreeMap<String, u64> {
    let mut side = "";
    let mut counted = BTreeMap::new();
    for line in dump.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            side = heading.split(' ').next().unwrap_or_default();
        }
        let mut cells = line.split(',');
        if let (Some(guid), Some(Ok(total))) = (cells.next(), cells.next().map(str::parse)) {
            counted.insert(format!("{side} {guid}"), total);
        }
    }
    counted
}

fn counters_pass_through_the_stats_file() -> Result<()> {
    let (major, minor) = haproxy_version()?;
    if major < 3 {
        let why = format!("`stats-file` and `guid` came with HAProxy 3.0; this is {major}.{minor}");
        return Err(CannotRun(why).into());
    }
    with_both("stats", |stage, kind| {
        let counters = stage.path("counters");
        std::fs::write(&counters, "")?;
        let plain = stage.plain().replace("listen f0\n", "listen f0\n    guid front\n");
        let server = plain.lines().find(|line| line.contains("    server ")).context("a server")?;
        let plain = plain.replacen(server, &format!("{server} guid back"), 1);
        let socket = with_socket(stage, &format!("    stats-file {}\n{plain}", counters.display()))?;
        let mut balancer = start(stage, kind)?;
        let connect = |balancer: &mut Balancer| {
            balancer.wait_ready(&stage.hosts.client, stage.fronts()[0], Ask::Line, SOON)
        };
        for _ in 0..5 {
            connect(&mut balancer)?;
        }
        for round in 0..2 {
            let before = ask(&socket, "dump stats-file")?;
            let total = counted(&before);
            ensure!(total.len() == 3 && total.values().all(|count| *count >= 5 + round), "{before}");
            std::fs::write(&counters, &before)?;
            reload(&mut balancer, &socket)?;
            let after = counted(&ask(&socket, "dump stats-file")?);
            ensure!(after == total, "counted before: {total:?}; after the reload: {after:?}");
            // It goes on from there.
            connect(&mut balancer)?;
            let after = counted(&ask(&socket, "dump stats-file")?);
            let more = |(guid, count): (&String, &u64)| after.get(guid).is_some_and(|now| now > count);
            ensure!(total.iter().all(more), "counted before: {total:?}; with one more: {after:?}");
        }
        end(&mut balancer)
    })
}

fn unix_sockets_keep_their_modes_and_owners() -> Result<()> {
    with_both("modes", |stage, kind| {
        let front = stage.path("front.sock");
        let text = stage.plain().replace(
            "listen f0\n",
            &format!("listen f0\n    bind unix@{} mode 640 uid 1234 gid 2345\n", front.display()),
        );
        let socket = with_socket(stage, &text)?;
        let mut balancer = start(stage, kind)?;
        let look = || -> Result<(u32, u32, u32)> {
            let file = std::fs::metadata(&front)?;
            Ok((file.mode() & 0o777, file.uid(), file.gid()))
        };
        ensure!(look()? == (0o640, 1234, 2345), "{:?}", look()?);
        for _ in 0..2 {
            reload(&mut balancer, &socket)?;
            ensure!(look()? == (0o640, 1234, 2345), "after a reload: {:?}", look()?);
            let mut greeting = [0; 4];
            let mut stream = UnixStream::connect(&front).context("connecting after a reload")?;
            stream.set_read_timeout(Some(SOON))?;
            stream.read_exact(&mut greeting).context("a greeting after a reload")?;
        }
        end(&mut balancer)
    })
}

fn haproxys_own_log_goes_on_over_standard_output() -> Result<()> {
    with_both("stdout", |stage, kind| {
        let text = stage.plain().replace("defaults\n", "defaults\n    log global\n    option tcplog\n");
        let socket = with_socket(stage, &format!("    log stdout format raw local0\n{text}"))?;
        let mut balancer = start(stage, kind)?;
        for round in 1..3 {
            balancer.wait_ready(&stage.hosts.client, stage.fronts()[0], Ask::Line, SOON)?;
            eventually(SOON, "a line of this round in the log", || {
                (balancer.stdout().ok()?.matches(" f0/s ").count() >= round).then_some(())
            })?;
            reload(&mut balancer, &socket)?;
        }
        end(&mut balancer)
    })
}

/// `mworker-max-reloads 2`: after five reloads, each with a session open, two old workers are left.
fn old_workers_outlive_as_many_reloads_as_the_file_says() -> Result<()> {
    with_both("most", |stage, kind| {
        let text = format!("    mworker-max-reloads 2\n{}", stage.plain());
        let socket = with_socket(stage, &text)?;
        let mut balancer = start(stage, kind)?;
        let mut sessions = Vec::new();
        for _ in 0..5 {
            only_the_newest_listens(stage, &balancer)?;
            sessions.push(Session::open(&stage.hosts.client, stage.fronts()[0], None)?);
            let pid = pid_of(&ask(&socket, "show info")?);
            balancer.reload()?;
            eventually(SOON, "another worker to answer", || {
                (pid_of(&ask(&socket, "show info").ok()?) != pid).then_some(())
            })?;
        }
        // Each with a master of its own, or all with one, which is the balancer itself.
        let wanted = if kind == Kind::Clearway { 6 } else { 3 };
        eventually_because(SOON, "two old workers to be left", || {
            let left = balancer.haproxy_processes();
            ensure!(left.len() == wanted, "{wanted} processes are wanted: {left:?}");
            Ok(())
        })?;
        for (index, session) in sessions.iter_mut().enumerate() {
            let state = session.beat();
            ensure!((state == State::Alive) == (index >= 3), "session {index} is {state:?}");
        }
        if kind == Kind::Clearway {
            let over = [("generation", &1 as &dyn std::fmt::Display), ("sessions", &1)];
            balancer.wait_for_event(0, "generation.over-budget", &over, SOON)?;
        }
        drop(sessions);
        end(&mut balancer)
    })
}

fn pid_of(info: &str) -> Option<String> {
    info.lines().find(|line| line.starts_with("Pid:")).map(str::to_owned)
}

fn each_stop_signal_gives_the_same_exit_code() -> Result<()> {
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 130), (Signal::USR1, 0)] {
        with_both("stopcode", |stage, kind| {
            stage.write(&stage.plain())?;
            let mut balancer = start_with(stage, kind, &["-W"])?;
            // A master executes itself anew when its worker is there (up to 3.0), and loses what came before; only then
            // it catches SIGUSR2.
            let is_ready = || [signal, Signal::USR2].iter().all(|one| catches(balancer.pid(), *one));
            eventually(SOON, "the signal to be caught", || is_ready().then_some(()))?;
            assert_code(balancer.stop(signal, SOON)?, code).with_context(|| format!("{signal:?}"))
        })?;
    }
    Ok(())
}

fn catches(pid: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}
