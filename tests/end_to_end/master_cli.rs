//! The master CLI (`-S`): Clearway answers as HAProxy's master does.

pub mod addresses;
pub mod tools;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, haproxy_program};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, signal};

crate::tests![
    a_client_is_told_what_haproxys_master_tells_it,
    a_reload_is_answered_when_it_is_known_how_it_went,
    workers_are_reached_old_ones_too,
    the_first_client_finds_all_programs,
    a_worker_that_hangs_stalls_only_its_client,
    clients_that_misbehave_harm_none,
    clients_that_left_or_never_read_give_up_their_places,
    a_newcomer_answers_at_the_same_path,
];

/// A Clearway that answers at a path.
pub struct Answering {
    pub stage: Stage,
    pub path: PathBuf,
    pub balancer: Balancer,
}

impl Answering {
    /// With the plain configuration.
    pub fn new(name: &str) -> Result<Self> {
        Self::with(Stage::new(name)?, Stage::plain)
    }

    /// With another one.
    pub fn with(stage: Stage, text: impl Fn(&Stage) -> String) -> Result<Self> {
        stage.write(&text(&stage))?;
        let path = stage.path("m.sock");
        let balancer = stage.start_with(&["-S", &path.display().to_string()], &[])?;
        Ok(Self { stage, path, balancer })
    }

    pub fn ask(&self, text: &str) -> Result<String> {
        ask(&self.path, text)
    }

    pub fn connect(&self) -> Result<UnixStream> {
        connect(&self.path)
    }

    pub fn reload(&self) -> Result<()> {
        let answer = self.ask("reload\n")?;
        ensure!(answer.starts_with("Success=1\n"), "{answer}");
        Ok(())
    }

    /// Stops it; nothing may be left.
    pub fn end(mut self) -> Result<()> {
        assert_code(self.balancer.stop(Signal::TERM, SOON)?, 0)?;
        ensure!(!self.path.exists(), "the socket was left");
        self.stage.assert_clean()
    }
}

pub fn connect(path: &Path) -> Result<UnixStream> {
    let stream = UnixStream::connect(path).with_context(|| path.display().to_string())?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_write_timeout(Some(SOON))?;
    Ok(stream)
}

/// Says all of it, closes its side, and gives what is answered to the end.
pub fn ask(path: &Path, text: &str) -> Result<String> {
    ask_within(path, text, SOON)
}

fn ask_within(path: &Path, text: &str, limit: Duration) -> Result<String> {
    let mut stream = connect(path)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        read => drop(read.with_context(|| format!("the answer to {text:?}"))?),
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Numbers, and blanks that pad them, are not the same twice. In `show proc debug` those of Clearway are -1.
fn normalised(text: &str) -> String {
    let mut normal = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_digit() { '9' } else { c };
        if !((c == '9' || c == ' ') && normal.ends_with(c)) {
            normal.push(c);
        }
    }
    normal.replace("-9", "9")
}

/// A real `haproxy -W -S`; ends with the test.
struct Real(Child);

impl Drop for Real {
    fn drop(&mut self) {
        let _ = signal(self.0.id(), Signal::TERM);
        let _ = self.0.wait();
    }
}

fn real(stage: &Stage, path: &Path) -> Result<Real> {
    let file = stage.path("real.cfg");
    let socket = stage.path("real.sock").display().to_string();
    let text = format!("frontend f\n mode http\n timeout client 1s\n bind unix@{socket}\n");
    std::fs::write(&file, text)?;
    let mut command = Command::new(haproxy_program());
    command.arg("-W").arg("-db").arg("-S").arg(path).arg("-f").arg(&file);
    let real = Real(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    eventually(SOON, "a real master", || {
        // A master of 3.4 never answers what comes before its worker is there.
        let limit = Duration::from_secs(1);
        ask_within(path, "@1 show version\n", limit).ok().filter(|text| text.ends_with("\n\n"))
    })?;
    Ok(real)
}

/// Conversations of clients, each in one piece.
const CONVERSATIONS: &[&str] = &[
    "show proc\n",
    "show proc debug\n",
    "show version\n",
    "help\n",
    "\n",
    " \t \n",
    "foo\n",
    "help foo\n",
    "show\n",
    "show proc; show version\n",
    "show version;;\n",
    "show\\ version\n",
    "show version\r\n",
    "@1 show version\n",
    "@1 show version; show proc\n",
    "@1 help show\n",
    "@1 foo\n",
    "@1 show cli level\n",
    "@2 show version\n",
    "@x show version\n",
    "@!1 show version\n",
    "@master show proc\n",
    "@ show proc\n",
    "@1\n",
    "@1; show version; @; show proc\n",
    "@master @1 show version\n",
    "quit\n",
    "quit; show proc\n",
    "show proc",
    "show cli level\n",
    "show cli sockets x\n",
    "operator; show cli level\n",
    "operator; @1 show cli level\n",
    "user; show cli level; reload\n",
    "user; @1 show cli level\n",
    "user; operator\n",
    "user; expert-mode on\n",
    "expert-mode on; @1 expert-mode\n",
    "experimental-mode on; @1 experimental-mode\n",
    "mcli-debug-mode on; show cli level\n",
    "show info\n",
    "@1 clear counters\n",
    "@1 show map\n",
    "prompt\n",
    "prompt\nshow proc\n@\nexpert-mode on\nexperimental-mode on\nmcli-debug-mode on\nexpert-mode\n",
    "prompt\n@1\nshow version\n\n@1 show version\n@master\nshow version\nquit\n",
    "prompt\n@9\nshow version\n",
    "prompt;prompt;show version\n",
    "prompt i\nshow version\n",
    "prompt p\nshow version\n",
    "prompt x\nshow version\n",
    "show version <<\nx\n\nshow version\n",
    "prompt\n@1 add map #0 <<\na b\nc d\n\nshow version\n",
    "@1 add map #0 <<END\na b\nEND\n\nshow version\n",
    "set severity-output none; show version\n",
    "set severity-output number;@1 show version;quit\n",
    "set severity-output number;@1 set server x/y weight 5;quit\n",
];

fn a_client_is_told_what_haproxys_master_tells_it() -> Result<()> {
    let cli = Answering::new("mclisame")?;
    let theirs = cli.stage.path("theirs.sock");
    let real = real(&cli.stage, &theirs)?;
    let mut different = Vec::new();
    for text in CONVERSATIONS {
        let (we, they) = (normalised(&cli.ask(text)?), normalised(&ask(&theirs, text)?));
        if we != they {
            different.push(format!("{text:?}\n  HAProxy: {they:?}\n  Clearway: {we:?}"));
        }
    }
    ensure!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    // A client that does not close its side is not closed either.
    for path in [&cli.path, &theirs] {
        let mut stream = connect(path)?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(b"show version\n")?;
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        ensure!(end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{} closed", path.display());
        ensure!(!answer.is_empty(), "{}", path.display());
    }
    drop(real);
    cli.end()
}

fn a_reload_is_answered_when_it_is_known_how_it_went() -> Result<()> {
    let cli = Answering::new("mclireload")?;
    let answer = cli.ask("reload\n")?;
    ensure!(answer.starts_with("Success=1\n--\n[NOTICE]") && answer.ends_with("\n\n"), "{answer:?}");
    cli.balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    let logs = cli.ask("show startup-logs\n")?;
    ensure!(answer.ends_with(&logs), "{logs:?} after {answer:?}");
    let shown = cli.ask("show proc\n")?;
    ensure!(shown.contains("master          1 [failed: 0]"), "{shown}");
    ensure!(shown.contains(&format!("\n{:<15} master ", cli.balancer.pid())), "{shown}");

    cli.stage.write(&format!("{}    nonsense\n", cli.stage.plain()))?;
    for number in 1..=2 {
        let answer = cli.ask("prompt; hard-reload\n")?;
        let answer = answer.split_once("> ").context("a prompt")?.1;
        ensure!(answer.starts_with("Success=0\n--\n[") && answer.contains("nonsense"), "{answer:?}");
        let shown = cli.ask("prompt\nshow proc\n")?;
        ensure!(shown.starts_with("master[ReloadFailed]> "), "{shown}");
        ensure!(shown.contains(&format!("master          {} [failed: {number}]", number + 1)), "{shown}");
    }
    ensure!(cli.ask("show startup-logs\n")?.contains("nonsense"), "the words of a failed attempt");
    cli.stage.write(&cli.stage.plain())?;
    cli.reload()?;
    ensure!(cli.ask("show proc\n")?.contains("master          4 [failed: 0]"), "{}", cli.ask("show proc\n")?);
    cli.end()
}

/// The processes that `show proc` lists below a line.
pub fn listed(shown: &str, head: &str) -> Vec<u32> {
    let after = shown.split(&format!("{head}\n")).nth(1).unwrap_or_default();
    let rows = after.lines().take_while(|line| !line.starts_with('#'));
    rows.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

fn workers_are_reached_old_ones_too() -> Result<()> {
    let cli = Answering::new("mcliold")?;
    let mut session = Session::open(&cli.stage.hosts.client, cli.stage.fronts()[0], None)?;
    cli.reload()?;
    let shown = cli.ask("show proc\n")?;
    let (new, old) = (listed(&shown, "# workers"), listed(&shown, "# old workers"));
    ensure!(new.len() == 1 && old.len() == 1, "{shown}");
    ensure!(shown.contains(&format!("{:<15} worker          1 ", old[0])), "{shown}");
    let pid_of = |prefix: &str| -> Result<String> {
        let info = cli.ask(&format!("{prefix} show info\n"))?;
        Ok(info.lines().find_map(|line| line.strip_prefix("Pid: ")).unwrap_or_default().to_owned())
    };
    ensure!(pid_of("@1")? == new[0].to_string(), "@1");
    ensure!(pid_of(&format!("@!{}", old[0]))? == old[0].to_string(), "@!{}", old[0]);
    // One that keeps to a worker.
    let kept = cli.ask(&format!("prompt\n@!{}\nshow info\n", old[0]))?;
    ensure!(
        kept.contains(&format!("\nPid: {}\n", old[0])) && kept.ends_with(&format!("{}> ", old[0])),
        "{kept}"
    );
    ensure!(session.beat() == State::Alive, "the session was cut");
    ensure!(cli.ask(&format!("@!{} shutdown sessions server f0/s\n", new[0]))? == "\n", "a command");
    drop(session);
    eventually(SOON, "the old one to be gone", || {
        cli.ask("show proc\n").ok().filter(|shown| !shown.contains("old workers"))
    })?;
    let gone = cli.ask(&format!("@!{} show info\n", old[0]))?;
    ensure!(gone.starts_with("Can't find the target PID matching the prefix"), "{gone}");
    let own = cli.ask(&format!("@!{} show info\n", cli.balancer.pid()))?;
    ensure!(own.starts_with("Can't find the target PID"), "a process that is no worker: {own}");
    cli.end()
}

/// Without a wait, as HAProxy's own `mcli_start_progs.vtc`.
fn the_first_client_finds_all_programs() -> Result<()> {
    let stage = Stage::new("mcprog")?;
    let programs = "program foo\n    command sleep 1000\nprogram bar\n    command sleep 1000\n";
    stage.write(&format!("{}{programs}", stage.plain()))?;
    let path = stage.path("m.sock");
    let mut balancer = stage.launch(&["-S", &path.display().to_string()], &[])?;
    let answer = eventually(SOON, "a master CLI", || ask(&path, "show proc\n").ok())?;
    ensure!(answer.contains(" foo ") && answer.contains(" bar "), "{answer}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_worker_that_hangs_stalls_only_its_client() -> Result<()> {
    let cli = Answering::new("mclihung")?;
    let session = Session::open(&cli.stage.hosts.client, cli.stage.fronts()[0], None)?;
    cli.reload()?;
    let old = listed(&cli.ask("show proc\n")?, "# old workers");
    signal(old[0], Signal::STOP)?;
    // More than HAProxy's master has connections for.
    let stalled: Vec<UnixStream> = (0..20).map(|_| cli.connect()).collect::<Result<_>>()?;
    for mut stream in &stalled {
        stream.write_all(format!("@!{} show info\n", old[0]).as_bytes())?;
    }
    for _ in 0..5 {
        let begun = Instant::now();
        ensure!(cli.ask("@1 show info\n")?.contains("Pid: "), "the other worker");
        ensure!(cli.ask("show proc\n")?.contains("# old workers"), "show proc");
        ensure!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    }
    cli.reload()?;
    signal(old[0], Signal::CONT)?;
    for mut stream in &stalled {
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.contains(&format!("\nPid: {}\n", old[0])), "{answer:?}");
    }
    drop(session);
    cli.end()
}

fn clients_that_misbehave_harm_none() -> Result<()> {
    let cli = Answering::new("mclirude")?;
    let memory = || cli.balancer.facts().map(|facts| facts.resident_kib);
    let before = memory()?;
    // What is too long is answered with the help, again and again.
    let mut endless = cli.connect()?;
    let mut reader = endless.try_clone()?;
    let reading = std::thread::spawn(move || {
        let mut answer = Vec::new();
        let _ = reader.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    endless.write_all(&vec![b'x'; 1 << 20])?;
    endless.shutdown(Shutdown::Write)?;
    let help = reading.join().unwrap_or_default();
    ensure!(help.contains("show proc") && help.contains("show processes status"), "{help:.300}");
    // A payload without an end, too.
    let mut endless = cli.connect()?;
    endless.write_all(b"@1 add map #0 <<\n")?;
    let _ = endless.write_all(&vec![b'x'; 1 << 20]);
    drop(endless);
    // Some never read, some never write, many come.
    let deaf = cli.connect()?;
    (&deaf).write_all("@1 show info;".repeat(1000).as_bytes())?;
    let idle: Vec<UnixStream> = (0..40).map(|_| cli.connect()).collect::<Result<_>>()?;
    for mut one in &idle {
        one.write_all(b"show pr")?;
    }
    ensure!(cli.ask("show proc\n")?.contains("# workers"), "beside them");
    drop(idle);
    let many: Vec<UnixStream> = (0..1000).map(|_| cli.connect()).collect::<Result<_>>()?;
    let more = memory()?.saturating_sub(before);
    ensure!(more < 8 << 10, "{more} KiB more");
    drop(many);
    ensure!(cli.ask("show proc\n")?.contains("# workers"), "after them");
    cli.stage.clearway(&["reload"])?;
    drop(deaf);
    cli.end()
}

/// Each of them has a minute.
fn clients_that_left_or_never_read_give_up_their_places() -> Result<()> {
    let cli = Answering::new("mcliplaces")?;
    let session = Session::open(&cli.stage.hosts.client, cli.stage.fronts()[0], None)?;
    cli.reload()?;
    let old = listed(&cli.ask("show proc\n")?, "# old workers");
    signal(old[0], Signal::STOP)?;
    for _ in 0..32 {
        (&cli.connect()?).write_all(format!("@!{} show info\n", old[0]).as_bytes())?;
    }
    let deaf: Vec<UnixStream> = (0..32).map(|_| cli.connect()).collect::<Result<_>>()?;
    for mut one in &deaf {
        one.write_all("show proc;@1 show info;".repeat(600).as_bytes())?;
    }
    let begun = Instant::now();
    let shown = eventually(Duration::from_mins(2), "a place", || cli.ask("show proc\n").ok())?;
    ensure!(shown.contains("# old workers"), "{shown}");
    ensure!(
        begun.elapsed() > Duration::from_secs(30),
        "there was a place at once: it took {:?}",
        begun.elapsed()
    );
    signal(old[0], Signal::CONT)?;
    drop((session, deaf));
    cli.end()
}

fn a_newcomer_answers_at_the_same_path() -> Result<()> {
    let stage = Stage::new("mclitake")?;
    let path = stage.path("m.sock");
    let address = path.display().to_string();
    let (words, named) = (["-S", &*address, "-S", "abns@mclitake"], [("CLEARWAY_INSTANCE", "mclitake")]);
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&words, &named)?;
    let master =
        |shown: &str| -> Option<u32> { shown.lines().nth(1)?.split_whitespace().next()?.parse().ok() };
    ensure!(master(&ask(&path, "show proc\n")?) == Some(first.pid()), "the first one");
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut second = stage.start_with(&words, &named)?;
    eventually(SOON, "the newcomer to answer", || {
        ask(&path, "show proc\n").ok().filter(|shown| master(shown) == Some(second.pid()))
    })?;
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    ensure!(ask(&path, "@1 show info\n")?.contains("Pid: "), "after the end of the first one");
    let ours = &stage.hosts.balancer;
    eventually(SOON, "the abstract name", || {
        let answered = ours.enter(|| {
            let name = std::os::unix::net::SocketAddr::from_abstract_name("mclitake").ok()?;
            let mut stream = UnixStream::connect_addr(&name).ok()?;
            stream.write_all(b"show proc\nquit\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            master(&answer)
        });
        answered.ok().flatten().filter(|pid| *pid == second.pid())
    })?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(!path.exists(), "the socket was left");
    stage.assert_clean()
}
