//! Where the master CLI listens, and what is said of an address that cannot be had.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind};
use clearway_lab::wait::eventually;
use rustix::process::Signal;
use serde_json::Value;

use super::{Answering, ask};
use crate::stage::{SOON, Stage, assert_code, complained, haproxy_version, said};

crate::tests![
    it_listens_where_and_for_which_users_it_is_told,
    it_takes_a_socket_that_it_was_given,
    what_cannot_be_a_master_cli_is_refused_at_the_start,
    check_names_what_an_address_lacks,
    the_doctor_says_whether_it_answers,
];

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

fn check_names_what_an_address_lacks() -> Result<()> {
    let stage = Stage::new("mclicheck")?;
    stage.write(&stage.plain())?;
    let file = stage.file().display().to_string();
    let (free, nowhere) =
        (stage.path("m.sock").display().to_string(), stage.path("none/m.sock").display().to_string());
    let unknown = format!("{free},user,nosuchuser");
    let held = format!("(pid {})", std::process::id());
    let _listener = stage.hosts.balancer.enter(|| std::net::TcpListener::bind("127.0.0.1:9999"))??;
    for (address, code, words) in [
        (&*free, 0, ""),
        ("/x,ssl", 2, "not `ssl`"),
        (&nowhere, 2, "does not exist"),
        // HAProxy up to 3.0 looks at these itself.
        (&unknown, if haproxy_version()? < (3, 1) { 65 } else { 2 }, "nosuchuser"),
        ("192.0.2.77:99", 2, "192.0.2.77 is not an address of this host"),
        ("127.0.0.1:9999", 0, &held),
    ] {
        let output = stage.clearway(&["check", "haproxy", "-f", &file, "-S", address])?;
        let text = said(&output) + &complained(&output);
        assert_code(output.status, code).with_context(|| format!("{address}: {text}"))?;
        let named = text.contains(&format!(": `-S {address}`: "));
        ensure!(named != (words.is_empty() || code == 65) && text.contains(words), "{address}: {text}");
    }
    ensure!(!stage.path("m.sock").exists(), "it was listened at");
    // What listens there is named at the start, too.
    let mut balancer = stage.launch(&["-S", "127.0.0.1:9999"], &[])?;
    assert_code(balancer.wait_exit(SOON)?, 72)?;
    ensure!(balancer.stderr()?.contains(&held), "{}", balancer.stderr()?);
    stage.assert_clean()
}

fn the_doctor_says_whether_it_answers() -> Result<()> {
    let cli = Answering::new("mclidoctor")?;
    let found = || -> Result<Value> {
        let output = cli.stage.clearway(&["doctor", "--json"])?;
        let all: Value = serde_json::from_slice(&output.stdout)?;
        let findings = all["findings"].as_array().cloned().unwrap_or_default();
        let one = findings.into_iter().find(|one| one["kind"] == "master-cli");
        one.with_context(|| format!("no finding about the master CLI: {all}"))
    };
    let good = found()?;
    ensure!(good["severity"] == "good" && good["subject"] == *cli.path.display().to_string(), "{good}");
    std::fs::remove_file(&cli.path)?;
    let gone = found()?;
    ensure!(gone["severity"] == "problem", "{gone}");
    // A takeover without a name of the instance is none: the second one takes the path away.
    let directory = cli.stage.path("second").display().to_string();
    let words = ["-S", &cli.path.display().to_string()];
    let file = cli.stage.path("second.cfg");
    std::fs::write(
        &file,
        "listen l\n    mode tcp\n    timeout client 1s\n    timeout server 1s\n    timeout connect 1s\n    bind 127.0.0.1:7000\n",
    )?;
    let variables = [("CLEARWAY_RUN_DIRECTORY", &*directory)];
    let mut second = Balancer::start(&cli.stage.hosts.balancer, Kind::Clearway, &file, &words, &variables)?;
    eventually(SOON, "the other one to answer", || {
        cli.ask("show proc\n").ok().filter(|shown| shown.contains(&format!("\n{:<15} master", second.pid())))
    })?;
    let other = found()?;
    ensure!(
        other["severity"] == "problem"
            && other["saw"].as_str().is_some_and(|saw| saw.contains(&second.pid().to_string())),
        "{other}"
    );
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    cli.end()
}
