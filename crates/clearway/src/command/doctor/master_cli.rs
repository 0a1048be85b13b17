//! Where the master CLI of a running Clearway is, and whether it answers.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::Endpoint;
use clearway_haproxy::master_cli::address::MasterCliAddress;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::command::doctor::finding::{Finding, FindingKind};
use crate::front::api::Status;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of an answer is read: the processes of many generations.
const MOST: u64 = 1 << 20;

/// One finding for each `-S` that this Clearway was started with.
pub async fn found(status: &Status) -> Vec<Finding> {
    let words = status.started.iter().flat_map(|started| &started.haproxy).map(OsString::from);
    let values = Invocation::parse(words).map(|invocation| invocation.master_cli).unwrap_or_default();
    let mut findings = Vec::new();
    for value in values {
        let value = value.to_string_lossy();
        // One of a later version may take what we do not.
        if let Ok(address) = MasterCliAddress::parse(&value) {
            let answer = timeout(PATIENCE, ask(&address.endpoint)).await;
            findings.push(
                judge(&value, answer.unwrap_or(Err(io::ErrorKind::TimedOut.into())), status.pid).about(value),
            );
        }
    }
    findings
}

/// `answer`: the process that answers as the master, if clients there may know.
fn judge(value: &str, answer: io::Result<Option<u32>>, ours: u32) -> Finding {
    let kind = FindingKind::MasterCli;
    let problem = |why: String, remedy: &str| {
        let saw = format!("the master CLI (`-S {value}`): {why}");
        Finding::problem(
            kind,
            saw,
            "what speaks to HAProxy's master there cannot reload or see workers",
            remedy,
        )
    };
    match answer {
        Ok(Some(pid)) if pid != ours => problem(
            format!("not process {ours} of the Clearway that runs here answers, but process {pid}"),
            "an address of its own for each Clearway, then a restart",
        ),
        Ok(_) => Finding::good(kind, format!("the master CLI (`-S {value}`) answers")),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => problem(
            format!("no answer within {} s", PATIENCE.as_secs()),
            "64 clients are served at a time: end those that keep a connection open",
        ),
        Err(error) => problem(
            error.to_string(),
            "start Clearway again: it makes the socket at its start; `clearway reload` works meanwhile",
        ),
    }
}

async fn ask(endpoint: &Endpoint) -> io::Result<Option<u32>> {
    match endpoint {
        Endpoint::Unix(path) => master(UnixStream::connect(path).await?).await,
        Endpoint::Abstract(name) => master(UnixStream::connect(format!("\0{name}")).await?).await,
        endpoint => match endpoint.socket_addresses().next() {
            Some(address) => master(TcpStream::connect(address).await?).await,
            // A socket that was given: there is no way to it from here.
            None => Ok(None),
        },
    }
}

/// The process that calls itself the master.
async fn master(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<Option<u32>> {
    stream.write_all(b"show proc;quit\n").await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.starts_with("Permission denied") {
        return Ok(None);
    }
    let row = answer.lines().find(|line| line.contains(" master "));
    let pid = row.and_then(|line| line.split(' ').next()?.parse().ok());
    pid.map(Some).ok_or_else(|| {
        let first = answer.lines().next().unwrap_or_default();
        io::Error::other(format!("`show proc` is answered with {first:?}"))
    })
}
