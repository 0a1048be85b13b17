//! Pieces of a configuration with sockets of some kind, where they are to be seen, and whether they answer.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::haproxy_program;
use clearway_lab::load::{Ask, ask_once};
use clearway_lab::wait::eventually_because;

use super::datagrams::SINK;
use crate::stage::{CannotRun, SOON, Stage, complained, said};

/// In which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// HAProxy's.
    Here,
    /// The server's, by `namespace` on the line.
    There,
}

/// Some lines and the sockets that they make.
pub struct Piece {
    pub text: String,
    pub place: Where,
    /// As [`super::sockets`] names them.
    pub sockets: Vec<String>,
    pub answers: fn(&Stage) -> Result<()>,
}

/// What the log lines of [`logs`] and of [`not_recognised`] are sent to.
pub const LOGS: [&str; 3] = ["10.1.0.1:514", "10.1.0.1:515", "[fd01::1]:516"];
pub const NOT_RECOGNISED: &str = "[fd01::1]:517";

const TIMEOUTS: &str = "    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n";
const SERVER: &str = "    server s 10.2.0.2:8080\n";

/// A name that is unique on this machine: Unix sockets with abstract names are one namespace per network.
fn name(stage: &Stage, suffix: &str) -> String {
    format!("{}-{suffix}", stage.hosts.balancer.name())
}

/// TCP in its forms, Unix sockets with a path and without, stats sockets, peers.
pub fn streams(stage: &Stage) -> Piece {
    let (path, stats) = (stage.path("front.sock"), stage.path("stats.sock"));
    let (front, statistics) = (name(stage, "front"), name(stage, "stats"));
    let text = format!(
        "global\n    stats socket {stats} level admin\n    stats socket abns@{statistics} level user\n    \
         stats socket ipv4@127.0.0.1:9000\n\
         peers p\n    bind 10.1.0.1:1024\n    server me\n\
         listen streams\n    mode tcp\n{TIMEOUTS}    bind 10.1.0.1:9001 interface clients\n    bind :::9002 v6only\n    \
         bind :9003 transparent\n    bind 10.1.0.1:9004-9005\n    bind {path}\n    bind abns@{front}\n{SERVER}",
        stats = stats.display(),
        path = path.display(),
    );
    let sockets = vec![
        "tcp 127.0.0.1:9000".to_owned(),
        "tcp 10.1.0.1:1024".to_owned(),
        "tcp 10.1.0.1%clients:9001".to_owned(),
        "tcp [::]:9002".to_owned(),
        "tcp 0.0.0.0:9003".to_owned(),
        "tcp 10.1.0.1:9004".to_owned(),
        "tcp 10.1.0.1:9005".to_owned(),
        format!("unix {}", path.display()),
        format!("unix {}", stats.display()),
        format!("abstract {front}"),
        format!("abstract {statistics}"),
    ];
    Piece { text, place: Where::Here, sockets, answers: streams_answer }
}

fn streams_answer(stage: &Stage) -> Result<()> {
    for target in ["10.1.0.1:9001", "[fd01::1]:9002", "10.1.0.1:9003", "10.1.0.1:9004", "10.1.0.1:9005"] {
        line_of(stage, target)?;
    }
    let near = |name: &str| {
        // HAProxy fills such names up with zero bytes.
        let address = UnixAddress::from_abstract_name(format!("{name:\0<107}"))?;
        stage.hosts.balancer.enter(|| UnixStream::connect_addr(&address))?.context("connecting")
    };
    for stream in [UnixStream::connect(stage.path("front.sock"))?, near(&name(stage, "front"))?] {
        says(stream, "", "s1").context("the server, through a Unix socket")?;
    }
    for stream in [UnixStream::connect(stage.path("stats.sock"))?, near(&name(stage, "stats"))?] {
        says(stream, "show info\n", "Pid:").context("a stats socket")?;
    }
    let peers = || TcpStream::connect_timeout(&([10, 1, 0, 1], 1024).into(), Duration::from_secs(5));
    stage.hosts.client.enter(peers)?.context("connecting to the peers section").map(|_| ())
}

/// Whether a line of the answer has this in it.
fn says(mut stream: UnixStream, question: &str, wanted: &str) -> Result<()> {
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(question.as_bytes())?;
    let mut lines = BufReader::new(stream).lines();
    let found = lines.find(|line| line.as_ref().map_or(true, |line| line.contains(wanted)));
    found.with_context(|| format!("the connection ended without `{wanted}`"))??;
    Ok(())
}

fn line_of(stage: &Stage, target: &str) -> Result<()> {
    let target = target.parse()?;
    let answer = stage.hosts.client.enter(|| ask_once(target, Ask::Line, SOON))?;
    ensure!(answer.is_ok(), "{target}: {answer:?}");
    Ok(())
}

/// UDP, also where HAProxy does not say what it compares (`interface`), and TCP beside it.
pub fn logs(_: &Stage) -> Piece {
    let text = format!(
        "log-forward logs\n    dgram-bind {}\n    dgram-bind {} interface clients\n    dgram-bind fd01::1:516 v6only \
         interface clients\n    bind 10.1.0.1:514\n    log {SINK} local0\n",
        LOGS[0], LOGS[1]
    );
    let sockets =
        ["udp 10.1.0.1:514", "udp 10.1.0.1%clients:515", "udp [fd01::1]%clients:516", "tcp 10.1.0.1:514"];
    let sockets = sockets.map(str::to_owned).to_vec();
    // Whether the datagrams arrive is seen all the time.
    Piece { text, place: Where::Here, sockets, answers: |_| Ok(()) }
}

/// UDP that HAProxy does not recognise.
pub fn not_recognised(_: &Stage) -> Piece {
    let text = format!("log-forward logs\n    dgram-bind fd01::1:517\n    log {SINK} local0\n");
    Piece { text, place: Where::Here, sockets: vec!["udp [fd01::1]:517".to_owned()], answers: |_| Ok(()) }
}

/// TCP and UDP in the server's network namespace.
pub fn elsewhere(stage: &Stage) -> Result<Piece> {
    needs_feature("NS")?;
    let there = stage.hosts.server.name();
    let text = format!(
        "listen elsewhere\n    mode tcp\n{TIMEOUTS}    bind 10.2.0.2:9020 namespace {there}\n{SERVER}\
         log-forward elsewhere-logs\n    dgram-bind 10.2.0.2:514 namespace {there}\n    dgram-bind 10.2.0.2:515 \
         namespace {there} interface lan\n    log stderr local0\n"
    );
    let sockets =
        ["tcp 10.2.0.2:9020", "udp 10.2.0.2:514", "udp 10.2.0.2%lan:515"].map(str::to_owned).to_vec();
    Ok(Piece { text, place: Where::There, sockets, answers: |stage| line_of(stage, "10.2.0.2:9020") })
}

/// MPTCP, where this HAProxy and this kernel have it. `haproxy -vv` does not tell.
pub fn mptcp() -> Result<Piece> {
    if !Path::new("/proc/sys/net/mptcp/enabled").exists() {
        return Err(CannotRun("this kernel has no MPTCP".to_owned()).into());
    }
    let text = format!("listen multi\n    mode tcp\n{TIMEOUTS}    bind mptcp4@10.1.0.1:9010\n{SERVER}");
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, &text)?;
    let checked = haproxy(&["-c", "-f", &file.path().display().to_string()])?;
    if !checked.status.success() {
        let words = complained(&checked);
        ensure!(words.contains("mptcp4@"), "{words}");
        return Err(CannotRun("this HAProxy has no MPTCP".to_owned()).into());
    }
    let sockets = vec!["mptcp 10.1.0.1:9010".to_owned()];
    Ok(Piece { text, place: Where::Here, sockets, answers: |stage| line_of(stage, "10.1.0.1:9010") })
}

/// QUIC, where this HAProxy has it, with an interface too.
pub fn quic(stage: &Stage) -> Result<Piece> {
    let features = needs_feature("QUIC")?;
    let pem = stage.path("quic.pem").display().to_string();
    let words = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=quic -keyout";
    let words: Vec<&str> = words.split(' ').chain([pem.as_str(), "-out", pem.as_str()]).collect();
    // Both into one file, one after the other.
    let made = Command::new("openssl").args(words).output();
    let Ok(made) = made else { return Err(CannotRun("`openssl` is not installed".to_owned()).into()) };
    ensure!(made.status.success(), "{}", complained(&made));
    let limited = if features.contains("+QUIC_OPENSSL_COMPAT") { "global\n    limited-quic\n" } else { "" };
    let text = format!(
        "{limited}frontend h3\n    mode http\n    timeout client 5s\n    bind quic4@10.1.0.1:9011 ssl crt {pem} alpn h3\n    \
         bind quic4@10.1.0.1:9012 interface clients ssl crt {pem} alpn h3\n    http-request return status 200\n"
    );
    let sockets = ["udp 10.1.0.1:9011", "udp 10.1.0.1%clients:9012"].map(str::to_owned).to_vec();
    Ok(Piece { text, place: Where::Here, sockets, answers: quic_answers })
}

/// A client that speaks an unknown version is told which ones there are (RFC 9000, 6.1): version 0 in the answer.
fn quic_answers(stage: &Stage) -> Result<()> {
    let mut hello = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9];
    hello.resize(1200, 0);
    for port in [9011, 9012] {
        let socket = stage.hosts.client.enter(|| UdpSocket::bind("0.0.0.0:0"))??;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        eventually_because(SOON, "an answer over QUIC", || {
            socket.send_to(&hello, ("10.1.0.1", port))?;
            let mut answer = [0; 1500];
            let length = socket.recv(&mut answer)?;
            ensure!(length > 6 && answer[0] & 0x80 != 0 && answer[1..5] == [0; 4], "{:?}", &answer[..length]);
            Ok(())
        })?;
    }
    Ok(())
}

/// What `haproxy -vv` lists, if this is among it.
fn needs_feature(name: &str) -> Result<String> {
    let all = said(&haproxy(&["-vv"])?);
    let features =
        all.lines().find(|line| line.starts_with("Feature list")).context("no list of features")?;
    if !features.split(' ').any(|feature| feature.strip_prefix('+') == Some(name)) {
        return Err(CannotRun(format!("this HAProxy was built without {name}")).into());
    }
    Ok(features.to_owned())
}

fn haproxy(words: &[&str]) -> Result<Output> {
    Command::new(haproxy_program()).args(words).output().context("asking HAProxy")
}
