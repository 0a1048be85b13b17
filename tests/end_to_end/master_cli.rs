//! The master CLI (`-S`): Clearway answers as HAProxy's master does.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
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
    a_payload_reaches_a_worker_as_it_is,
    the_client_library_of_the_data_plane_api_gets_its_answers,
    it_listens_where_and_for_which_users_it_is_told,
    it_takes_a_socket_that_it_was_given,
    what_cannot_be_a_master_cli_is_refused_at_the_start,
    a_worker_that_hangs_stalls_only_its_client,
    clients_that_misbehave_harm_none,
    a_newcomer_answers_at_the_same_path,
];

/// What Clearway is started with for a master CLI at a path.
fn start(stage: &Stage, path: &Path) -> Result<Balancer> {
    stage.write(&stage.plain())?;
    stage.start_with(&["-S", &path.display().to_string()], &[])
}

fn connect(path: &Path) -> Result<UnixStream> {
    let stream = UnixStream::connect(path).with_context(|| path.display().to_string())?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_write_timeout(Some(SOON))?;
    Ok(stream)
}

/// Says all of it, closes its side, and gives what is answered to the end.
fn ask(path: &Path, text: &str) -> Result<String> {
    let mut stream = connect(path)?;
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
        ask(path, "@1 show version\n").ok().filter(|text| text.ends_with("\n\n"))
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
];

fn a_client_is_told_what_haproxys_master_tells_it() -> Result<()> {
    let stage = Stage::new("mclisame")?;
    let (ours, theirs) = (stage.path("ours.sock"), stage.path("theirs.sock"));
    let mut balancer = start(&stage, &ours)?;
    let real = real(&stage, &theirs)?;
    let mut different = Vec::new();
    for text in CONVERSATIONS {
        let (we, they) = (normalised(&ask(&ours, text)?), normalised(&ask(&theirs, text)?));
        if we != they {
            different.push(format!("{text:?}\n  HAProxy: {they:?}\n  Clearway: {we:?}"));
        }
    }
    ensure!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    // A client that does not close its side is not closed either.
    for path in [&ours, &theirs] {
        let mut stream = connect(path)?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(b"show version\n")?;
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        ensure!(end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{} closed", path.display());
        ensure!(!answer.is_empty(), "{}", path.display());
    }
    drop(real);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(!ours.exists(), "the socket was left");
    stage.assert_clean()
}

fn a_reload_is_answered_when_it_is_known_how_it_went() -> Result<()> {
    let stage = Stage::new("mclireload")?;
    let path = stage.path("m.sock");
    let mut balancer = start(&stage, &path)?;
    let answer = ask(&path, "reload\n")?;
    ensure!(answer.starts_with("Success=1\n--\n[NOTICE]") && answer.ends_with("\n\n"), "{answer:?}");
    balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    let logs = ask(&path, "show startup-logs\n")?;
    ensure!(answer.ends_with(&logs), "{logs:?} after {answer:?}");
    let shown = ask(&path, "show proc\n")?;
    ensure!(shown.contains("master          1 [failed: 0]"), "{shown}");
    ensure!(shown.contains(&format!("\n{:<15} master ", balancer.pid())), "{shown}");

    stage.write(&format!("{}    nonsense\n", stage.plain()))?;
    for number in 1..=2 {
        let answer = ask(&path, "prompt; hard-reload\n")?;
        let answer = answer.split_once("> ").context("a prompt")?.1;
        ensure!(answer.starts_with("Success=0\n--\n[") && answer.contains("nonsense"), "{answer:?}");
        let shown = ask(&path, "prompt\nshow proc\n")?;
        ensure!(shown.starts_with("master[ReloadFailed]> "), "{shown}");
        ensure!(shown.contains(&format!("master          {} [failed: {number}]", number + 1)), "{shown}");
    }
    ensure!(ask(&path, "show startup-logs\n")?.contains("nonsense"), "the words of a failed attempt");
    stage.write(&stage.plain())?;
    ensure!(ask(&path, "reload\n")?.starts_with("Success=1\n"), "once more");
    ensure!(
        ask(&path, "show proc\n")?.contains("master          4 [failed: 0]"),
        "{}",
        ask(&path, "show proc\n")?
    );
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The processes that `show proc` lists below a line.
fn listed(shown: &str, head: &str) -> Vec<u32> {
    let after = shown.split(&format!("{head}\n")).nth(1).unwrap_or_default();
    let rows = after.lines().take_while(|line| !line.starts_with('#'));
    rows.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

fn workers_are_reached_old_ones_too() -> Result<()> {
    let stage = Stage::new("mcliold")?;
    let path = stage.path("m.sock");
    let mut balancer = start(&stage, &path)?;
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    ensure!(ask(&path, "reload\n")?.starts_with("Success=1\n"), "a reload");
    let shown = ask(&path, "show proc\n")?;
    let (new, old) = (listed(&shown, "# workers"), listed(&shown, "# old workers"));
    ensure!(new.len() == 1 && old.len() == 1, "{shown}");
    ensure!(shown.contains(&format!("{:<15} worker          1 ", old[0])), "{shown}");
    let pid_of = |prefix: &str| -> Result<String> {
        let info = ask(&path, &format!("{prefix} show info\n"))?;
        Ok(info.lines().find_map(|line| line.strip_prefix("Pid: ")).unwrap_or_default().to_owned())
    };
    ensure!(pid_of("@1")? == new[0].to_string(), "@1");
    ensure!(pid_of(&format!("@!{}", old[0]))? == old[0].to_string(), "@!{}", old[0]);
    // One that keeps to a worker.
    let kept = ask(&path, &format!("prompt\n@!{}\nshow info\n", old[0]))?;
    ensure!(
        kept.contains(&format!("\nPid: {}\n", old[0])) && kept.ends_with(&format!("{}> ", old[0])),
        "{kept}"
    );
    ensure!(session.beat() == State::Alive, "the session was cut");
    ensure!(ask(&path, &format!("@!{} shutdown sessions server f0/s\n", new[0]))? == "\n", "a command");
    drop(session);
    eventually(SOON, "the old one to be gone", || {
        ask(&path, "show proc\n").ok().filter(|shown| !shown.contains("old workers"))
    })?;
    let gone = ask(&path, &format!("@!{} show info\n", old[0]))?;
    ensure!(gone.starts_with("Can't find the target PID matching the prefix"), "{gone}");
    let own = ask(&path, &format!("@!{} show info\n", balancer.pid()))?;
    ensure!(own.starts_with("Can't find the target PID"), "a process that is no worker: {own}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_payload_reaches_a_worker_as_it_is() -> Result<()> {
    let stage = Stage::new("mclipay")?;
    let (path, map) = (stage.path("m.sock"), stage.path("x.map"));
    std::fs::write(&map, "")?;
    let rule = format!("    tcp-request connection reject if {{ src,map({}) -m found }}\n", map.display());
    stage.write(&stage.plain().replace("    server s", &format!("{rule}    server s")))?;
    let mut balancer = stage.start_with(&["-S", &path.display().to_string()], &[])?;
    let map = map.display();
    let rows: Vec<String> = (0..200).map(|number| format!("key{number} v;{number}\\ \u{e4}\n")).collect();
    let rows = rows.concat();
    let answer = ask(&path, &format!("@1 add map {map} <<\n{rows}\nshow version\n"))?;
    ensure!(answer.starts_with('\n') && answer.len() < 100, "{answer:?}");
    let shown = ask(&path, &format!("@1 show map {map}\n"))?;
    ensure!(shown.lines().filter(|line| line.contains(" key")).count() == 200, "{shown}");
    ensure!(shown.contains("key7 v;7\\ \u{e4}\n"), "{shown}");
    // Byte by byte, as a terminal sends it.
    let mut slow = connect(&path)?;
    for byte in format!("prompt\n@1 add map {map} <<\nslow one\n\nquit\n").bytes() {
        slow.write_all(&[byte])?;
    }
    let mut answer = String::new();
    slow.read_to_string(&mut answer)?;
    ensure!(answer == "master> + + \nmaster> master> ", "{answer:?}");
    ensure!(ask(&path, &format!("@1 show map {map}\n"))?.contains("slow one"), "the slow one");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// As `client-native` (`runtime/runtime_single_client.go`) does it: one write, then reads of 1,024 bytes until the end.
fn as_the_client_library(path: &Path, text: &str) -> Result<String> {
    let mut stream = connect(path)?;
    stream.write_all(text.as_bytes())?;
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
}

fn the_client_library_of_the_data_plane_api_gets_its_answers() -> Result<()> {
    let stage = Stage::new("mclidata")?;
    let (path, map) = (stage.path("m.sock"), stage.path("x.map"));
    std::fs::write(&map, "old value\n")?;
    let rule = format!("    tcp-request connection reject if {{ src,map({}) -m found }}\n", map.display());
    stage.write(&stage.plain().replace("    server s", &format!("{rule}    server s")))?;
    let mut balancer = stage.start_with(&["-S", &path.display().to_string()], &[])?;
    let map = map.display();
    let worker =
        |text: &str| as_the_client_library(&path, &format!("@1 set severity-output number;@1 {text};quit\n"));
    // The first command answers with an empty line, then the second one as if it were alone.
    ensure!(worker("show info")?.contains("\nPid: "), "{}", worker("show info")?);
    ensure!(worker("show stat")?.contains("f0,FRONTEND,"), "{}", worker("show stat")?);
    ensure!(worker("set server f0/s weight 50%")?.trim().is_empty(), "weight");
    ensure!(worker("show servers state f0")?.contains(" f0 1 s "), "state");
    ensure!(worker(&format!("show map {map}"))?.contains(" old value\n"), "a map");
    ensure!(worker(&format!("set map {map} old new"))?.trim().is_empty(), "set map");
    let added = as_the_client_library(&path, &format!("@1 add map {map} <<\na b\nc d\n\nquit\n"))?;
    ensure!(added.trim().is_empty(), "add map: {added}");
    let shown = worker(&format!("show map {map}"))?;
    ensure!(["old new", "a b", "c d"].iter().all(|row| shown.contains(row)), "{shown}");
    ensure!(worker(&format!("del map {map} a"))?.trim().is_empty(), "del map");
    let created = worker("new ssl cert /nowhere/x.pem")?;
    ensure!(created.contains("New empty certificate store '/nowhere/x.pem'!"), "{created}");
    ensure!(worker("show ssl cert")?.contains("/nowhere/x.pem"), "a certificate");
    ensure!(worker("del ssl cert /nowhere/x.pem")?.contains("deleted"), "del ssl cert");
    // For the master there is no newline at the end.
    let answer = as_the_client_library(&path, "reload;quit")?;
    ensure!(answer.starts_with("Success=1\n--\n"), "{answer}");
    let shown = as_the_client_library(&path, "show proc;quit\n")?;
    ensure!(
        shown.contains("master          1 [failed: 0]") && listed(&shown, "# workers").len() == 1,
        "{shown}"
    );
    stage.write("nonsense\n")?;
    ensure!(as_the_client_library(&path, "reload;quit")?.starts_with("Success=0\n--\n"), "a broken file");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn it_listens_where_and_for_which_users_it_is_told() -> Result<()> {
    let stage = Stage::new("mcliwhere")?;
    let path = stage.path("m.sock");
    stage.write(&stage.plain())?;
    let file = format!("{},mode,640,uid,65534,gid,65534,level,operator", path.display());
    let words =
        ["-S", &file, "-S", "127.0.0.1:9999", "-S", "ipv6@[::1]:9998,level,user", "-S", "abns@mcliwhere"];
    // A file of one that was killed is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&path)?);
    let mut balancer = stage.start_with(&words, &[])?;
    let made = std::fs::metadata(&path)?;
    ensure!(made.permissions().mode() & 0o777 == 0o640, "{made:?}");
    ensure!((made.uid(), made.gid()) == (65534, 65534), "{made:?}");
    ensure!(ask(&path, "show cli level\n")? == "operator\n\n", "{}", ask(&path, "show cli level\n")?);
    ensure!(ask(&path, "expert-mode on\n")?.starts_with("Permission denied!\n"), "an operator is no admin");
    let ours = &stage.hosts.balancer;
    let tcp = |address: &str| -> Result<String> {
        let address: SocketAddr = address.parse()?;
        ours.enter(|| {
            let mut stream = std::net::TcpStream::connect_timeout(&address, SOON)?;
            stream.set_read_timeout(Some(SOON))?;
            stream.write_all(b"show cli level\nquit\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            anyhow::Ok(answer)
        })?
    };
    ensure!(tcp("127.0.0.1:9999")? == "admin\n\n", "IPv4");
    ensure!(tcp("[::1]:9998")? == "user\n\n", "IPv6");
    let answer = ours.enter(|| {
        let name = std::os::unix::net::SocketAddr::from_abstract_name("mcliwhere")?;
        let mut stream = UnixStream::connect_addr(&name)?;
        stream.write_all(b"show cli level\nquit\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        anyhow::Ok(answer)
    })??;
    ensure!(answer == "admin\n\n", "{answer}");
    ensure!(!balancer.stderr()?.contains("`-S"), "{}", balancer.stderr()?);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    ensure!(!path.exists(), "the socket was left");
    stage.assert_clean()
}

/// Executes the rest of its words with a socket that listens, and with one end of a pair, over whose other end a child then asks.
const GIVER: &str = r#"
import os, socket, sys
path, answer = sys.argv[1:3]
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen()
ours, theirs = socket.socketpair()
if os.fork() == 0:
    theirs.close()
    client, given = socket.socketpair()
    socket.send_fds(ours, [b"\0\0"], [given.fileno()])
    given.close()
    client.sendall(b"show cli level\nquit\n")
    said = b""
    while piece := client.recv(4096):
        said += piece
    with open(answer, "wb") as file:
        file.write(said)
    os._exit(0)
ours.close()
for one in listening, theirs:
    os.set_inheritable(one.fileno(), True)
words = ["-S", "fd@%d" % listening.fileno(), "-S", "sockpair@%d,level,user" % theirs.fileno()]
os.execvp(sys.argv[3], sys.argv[3:] + words)
"#;

fn it_takes_a_socket_that_it_was_given() -> Result<()> {
    let stage = Stage::new("mcligiven")?;
    let (path, answer) = (stage.path("m.sock"), stage.path("answer"));
    stage.write(&stage.plain())?;
    let words = [path.display().to_string(), answer.display().to_string()];
    let mut balancer = stage.launch_under(&["python3", "-c", GIVER, &words[0], &words[1]], &[])?;
    stage.wait_ready(&mut balancer)?;
    ensure!(ask(&path, "show cli level\n")? == "admin\n\n", "over the socket that listens");
    let said = eventually(SOON, "an answer over the pair", || {
        std::fs::read_to_string(&answer).ok().filter(|text| !text.is_empty())
    })?;
    ensure!(said == "user\n\n", "{said:?}");
    ensure!(ask(&path, "reload\n")?.starts_with("Success=1\n"), "a reload");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn what_cannot_be_a_master_cli_is_refused_at_the_start() -> Result<()> {
    let stage = Stage::new("mclibad")?;
    stage.write(&stage.plain())?;
    let nowhere = stage.path("none/m.sock").display().to_string();
    let unknown = format!("{},user,nosuchuser", stage.path("m.sock").display());
    for (address, code) in [
        ("/x,ssl", 64),
        ("nothing", 64),
        ("fd@99", 64),
        ("127.0.0.1:80-81", 64),
        (&nowhere, 65),
        (&unknown, 65),
        ("192.0.2.77:99", 72),
    ] {
        let mut balancer = stage.launch(&["-S", address], &[])?;
        assert_code(balancer.wait_exit(SOON)?, code).context(address.to_owned())?;
        let log = balancer.stderr()?;
        ensure!(log.contains(&format!("-S {address}`")), "{address}: {log}");
    }
    ensure!(
        std::fs::read_dir(stage.path("x").parent().context("a folder")?)?.count() <= 3,
        "something is left"
    );
    stage.assert_clean()
}

fn a_worker_that_hangs_stalls_only_its_client() -> Result<()> {
    let stage = Stage::new("mclihung")?;
    let path = stage.path("m.sock");
    let mut balancer = start(&stage, &path)?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    ensure!(ask(&path, "reload\n")?.starts_with("Success=1\n"), "a reload");
    let old = listed(&ask(&path, "show proc\n")?, "# old workers");
    signal(old[0], Signal::STOP)?;
    // More than HAProxy's master has connections for.
    let stalled: Vec<UnixStream> = (0..20).map(|_| connect(&path)).collect::<Result<_>>()?;
    for mut stream in &stalled {
        stream.write_all(format!("@!{} show info\n", old[0]).as_bytes())?;
    }
    for _ in 0..5 {
        let begun = Instant::now();
        ensure!(ask(&path, "@1 show info\n")?.contains("Pid: "), "the other worker");
        ensure!(ask(&path, "show proc\n")?.contains("# old workers"), "show proc");
        ensure!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    }
    ensure!(ask(&path, "reload\n")?.starts_with("Success=1\n"), "a reload");
    signal(old[0], Signal::CONT)?;
    for mut stream in &stalled {
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.contains(&format!("\nPid: {}\n", old[0])), "{answer:?}");
    }
    drop(session);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn clients_that_misbehave_harm_none() -> Result<()> {
    let stage = Stage::new("mclirude")?;
    let path = stage.path("m.sock");
    let mut balancer = start(&stage, &path)?;
    let memory = || balancer.facts().map(|facts| facts.resident_kib);
    let before = memory()?;
    // What is too long is answered with the help, again and again.
    let mut endless = connect(&path)?;
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
    // Some never read, some never write, many come.
    let deaf = connect(&path)?;
    (&deaf).write_all("@1 show info;".repeat(1000).as_bytes())?;
    let idle: Vec<UnixStream> = (0..40).map(|_| connect(&path)).collect::<Result<_>>()?;
    for mut one in &idle {
        one.write_all(b"show pr")?;
    }
    ensure!(ask(&path, "show proc\n")?.contains("# workers"), "beside them");
    drop(idle);
    let many: Vec<UnixStream> = (0..1000).map(|_| connect(&path)).collect::<Result<_>>()?;
    let more = memory()?.saturating_sub(before);
    ensure!(more < 8 << 10, "{more} KiB more");
    drop(many);
    ensure!(ask(&path, "show proc\n")?.contains("# workers"), "after them");
    stage.clearway(&["reload"])?;
    drop(deaf);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
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
